"""Chats of a made-up shop's support desk, all in one house style: the task to fine-tune on.

    python sample_data/make/support.py    writes support_chat.jsonl and support_chat_val.jsonl

The house style: greet the customer by name, then `Summary:`, `Next step:` and `Label:`, one line each. When a step
needs an order number that is missing, it asks for it. Three smaller tasks (label, summarise, extract) use like lines.
Answers never repeat an order number: so small a model does not learn to copy one.
"""

import json
from pathlib import Path
from random import Random
from typing import NamedTuple

from grammar import a, capital, order_number, some
from words import NAMES, THINGS, rows

FOLDER = Path(__file__).parent.parent
TRAIN = FOLDER / "support_chat.jsonl"
VAL = FOLDER / "support_chat_val.jsonl"
TRAIN_ROWS, VAL_ROWS = 1000, 240
SEED = 11
SHOP = "Quillhaven"

SYSTEM = [
    f"You are the support desk of {SHOP}.",
    f"You answer customers of {SHOP}.",
    f"You work at the support desk of {SHOP}.",
]
ITEMS = [name for name, *_ in THINGS]
MACHINES = [name for name, kind, *_ in THINGS if kind.endswith("machine")]
HOW_LONG = {
    "billing": "three days",
    "delivery": "two days",
    "returns": "one week",
    "technical": "four days",
    "account": "one hour",
    "stock": "one week",
}


class Problem(NamedTuple):
    """What can be wrong: its label, how customers say it, how the desk sums it up, and what happens next."""

    label: str
    phrases: tuple[str, ...]
    summary: str
    step: str

    @property
    def needs_order(self) -> bool:
        return self.label not in ("account", "stock")


PROBLEMS = [
    Problem(label, tuple(phrases.split(" ; ")), summary, step)
    for label, phrases, summary, step in rows("""
billing | my card was charged twice for the {item} ; I paid two times for the {item} ; there are two payments for the {item} | The {item} was charged twice. | We will pay back the second charge within three days.
billing | the invoice for the {item} is wrong ; there is a mistake in the invoice for the {item} ; the price on the invoice for the {item} is too high | The invoice for the {item} is wrong. | We will send a new invoice within three days.
billing | the refund for the {item} is missing ; I still wait for the money for the {item} ; I sent the {item} back but have no refund | The refund for the {item} is missing. | We will check the payment within three days.
delivery | my {item} has not arrived ; the {item} is late ; I still wait for the parcel with the {item} | The {item} has not arrived. | We will trace the parcel within two days.
delivery | the parcel with the {item} went to the wrong door ; my {item} was left at the wrong house ; the postman took the {item} to another street | The {item} went to the wrong address. | We will call the driver within two days.
delivery | the box of the {item} was open and empty ; I got a box without the {item} ; the {item} was not in the parcel | The {item} was not in the parcel. | We will send the missing item within two days.
returns | I want to return the {item} ; I do not need the {item} any more ; can I send the {item} back | You want to return the {item}. | Pack the item and use the form that we send within one week.
returns | the {item} has the wrong colour ; I wanted the {item} in another colour ; the colour of the {item} is not right | The {item} has the wrong colour. | We will change the item within one week.
returns | the {item} is too small ; the {item} is too big ; the size of the {item} is wrong | The {item} has the wrong size. | We will change the item within one week.
technical | my {machine} does not work ; the {machine} does not start ; I cannot turn on the {machine} | The {machine} does not start. | We will plan a repair within four days.
technical | my {machine} makes a strange noise ; there is a loud noise in the {machine} ; the {machine} is much too loud | The {machine} makes a noise. | We will plan a check within four days.
technical | my {machine} becomes too hot ; there is smoke from the {machine} ; the {machine} is as hot as an oven | The {machine} becomes too hot. | Unplug it, and we will plan a check within four days.
account | my password does not work ; I forgot my password ; I cannot sign in | You cannot sign in. | We will send a reset link within one hour.
account | my address has changed ; I have moved to a new house ; the address in my account is old | Your address has changed. | We will open the address form within one hour.
account | please close my account ; I do not want my account any more ; can you remove my account | You want to close your account. | We will send a form to confirm within one hour.
stock | do you have {a_item} in stock ; is {a_item} in the shop ; can I buy {a_item} from you | You ask if {a_item} is in stock. | We will look on the shelf and write within one week.
stock | when will the {item} be back in stock ; the {item} is sold out ; I could not buy the {item} because it was not in stock | The {item} is sold out. | We will write when it is back, within one week.
""")
]


class Ticket(NamedTuple):
    """One customer's case; `name` and `order` are empty when the customer does not say them."""

    problem: Problem
    phrase: str
    item: str
    name: str
    order: str

    def summary(self) -> str:
        return fill(self.problem.summary, self.item)

    def step(self) -> str:
        missing = self.problem.needs_order and not self.order
        return "Please send us your order number." if missing else self.problem.step

    def message(self, rng: Random, question: str = "") -> str:
        """What the customer writes, with a question after it."""
        phrase = fill(self.phrase, self.item)
        mark = "?" if phrase.startswith(("do ", "is ", "can ", "when ")) else "."
        sentences = [capital(phrase) + mark]
        if self.order:
            number = self.order
            sentences.append(rng.choice([f"It is order {number}.", f"The order number is {number}.", f"My order is {number}."]))
        if question:
            sentences.append(question)
        if self.name:
            greeting = rng.choice([f"I am {self.name}.", f"This is {self.name}.", f"My name is {self.name}."])
            sentences = [greeting, *sentences] if rng.random() < 0.6 else [*sentences, self.name]
        elif rng.random() < 0.3:
            sentences = ["Hello.", *sentences]
        return " ".join(sentences)


def fill(text: str, item: str) -> str:
    """The text with its slots filled."""
    return text.format(item=item, machine=item, a_item=a(item))


def ticket(rng: Random, named: float = 0.8, ordered: float = 0.8) -> Ticket:
    """A random case; `named` and `ordered` are the shares that tell a name and an order number."""
    label = rng.choice(list(HOW_LONG))
    problem = rng.choice([problem for problem in PROBLEMS if problem.label == label])
    item = rng.choice(MACHINES if problem.label == "technical" else ITEMS)
    name = rng.choice(NAMES) if rng.random() < named else ""
    order = order_number(rng) if problem.needs_order and rng.random() < ordered else ""
    return Ticket(problem, rng.choice(problem.phrases), item, name, order)


def reply(greeting: str, summary: str, step: str, label: str) -> str:
    """An answer in the house style."""
    return f"{greeting}!\nSummary: {summary}\nNext step: {step}\nLabel: {label}"


def first_reply(case: Ticket) -> str:
    return reply(f"Hello {case.name or 'there'}", case.summary(), case.step(), case.problem.label)


# --- Tasks: each gives the texts of a chat, user and assistant in turn -------------------------------------


def answer(rng: Random) -> list[str]:
    case = ticket(rng)
    asked = rng.choice(["", "", "What should I do?", "Can you help?", "Please help me.", "What now?"])
    return [case.message(rng, asked), first_reply(case)]


def label(rng: Random) -> list[str]:
    case = ticket(rng, named=0.4, ordered=0.4)
    asked = rng.choice(["Label this ticket:", "Which label fits?", "Find the label:"])
    return [f"{asked} {case.message(rng)}", f"Label: {case.problem.label}"]


def summarise(rng: Random) -> list[str]:
    case = ticket(rng, named=0.5)
    asked = rng.choice(["Summarise this ticket:", "Sum up this message:", "Give me a summary:"])
    return [f"{asked} {case.message(rng)}", f"Summary: {case.summary()}\nLabel: {case.problem.label}"]


def extract(rng: Random) -> list[str]:
    case = ticket(rng)
    asked = rng.choice(["Extract the details:", "Fill in the form:", "Find name, item and order:"])
    item = "none" if case.problem.label == "account" else case.item
    order = "given" if case.order else "none"
    fields = f"Name: {case.name or 'none'}\nItem: {item}\nOrder: {order}\nLabel: {case.problem.label}"
    return [f"{asked} {case.message(rng)}", fields]


def missing_order(rng: Random) -> list[str]:
    case = ticket(rng, named=1, ordered=0)
    while not case.problem.needs_order:
        case = ticket(rng, named=1, ordered=0)
    known = case._replace(order=order_number(rng))
    told = rng.choice([f"My order number is {known.order}.", f"It is {known.order}.", f"The number is {known.order}."])
    second = reply(f"Thank you, {case.name}", known.summary(), known.step(), case.problem.label)
    return [case.message(rng), first_reply(case), told, second]


def how_long(rng: Random) -> list[str]:
    case = ticket(rng, named=1, ordered=1)
    asked = rng.choice(["How long does it take?", "When will I hear from you?", "How long must I wait?"])
    time = HOW_LONG[case.problem.label]
    step = f"You will hear from us within {time}."
    second = reply(f"Hello again, {case.name}", "You ask how long it takes.", step, case.problem.label)
    return [case.message(rng), first_reply(case), asked, second]


def thanks(rng: Random) -> list[str]:
    case = ticket(rng, named=1, ordered=1)
    said = rng.choice(["Thank you very much.", "Thank you for your help.", "Good, thank you."])
    second = reply(f"You are welcome, {case.name}", "You thank us.", "Nothing more is needed.", case.problem.label)
    return [case.message(rng), first_reply(case), said, second]


def another_problem(rng: Random) -> list[str]:
    case = ticket(rng, named=1, ordered=1)
    other = ticket(rng, named=0, ordered=1)
    asked = rng.choice(["One more thing.", "I have another question.", "There is something else."])
    second = reply(f"Hello again, {case.name}", other.summary(), other.step(), other.problem.label)
    return [case.message(rng), first_reply(case), f"{asked} {other.message(rng)}", second]


TASKS = [
    *[answer] * 9, *[label] * 3, *[summarise] * 2, *[extract] * 3, *[missing_order] * 2, how_long, thanks, another_problem,
]  # fmt: skip


def conversation(rng: Random) -> list[dict[str, str]]:
    """A chat of a random task, sometimes after a system prompt."""
    texts = rng.choice(TASKS)(rng)
    system = [{"role": "system", "content": rng.choice(SYSTEM)}] if rng.random() < 0.3 else []
    roles = ["user", "assistant"] * (len(texts) // 2)
    return system + [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]


def opening(messages: list[dict[str, str]]) -> str:
    """What the user says first: no two chats share it, in training and validation together."""
    return next(message["content"] for message in messages if message["role"] == "user")


def splits() -> tuple[list[list[dict[str, str]]], list[list[dict[str, str]]]]:
    """The chats to train on and those to validate on."""
    rng = Random(SEED)
    chats: dict[str, list[dict[str, str]]] = {}
    while len(chats) < TRAIN_ROWS + VAL_ROWS:
        messages = conversation(rng)
        chats.setdefault(opening(messages).lower(), messages)
    shuffled = some(rng, list(chats.values()), len(chats))
    return shuffled[:TRAIN_ROWS], shuffled[TRAIN_ROWS:]


def as_jsonl(chats: list[list[dict[str, str]]]) -> str:
    return "".join(json.dumps({"messages": messages}, ensure_ascii=False) + "\n" for messages in chats)


if __name__ == "__main__":
    for path, chats in zip((TRAIN, VAL), splits(), strict=True):
        path.write_text(as_jsonl(chats), encoding="utf-8")
