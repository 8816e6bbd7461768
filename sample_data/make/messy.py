"""The support desk's chats as they might come out of three systems and ten hands: with faults of every kind.

    python sample_data/make/messy.py    writes support_chat_messy.jsonl and support_chat_messy.key.json

The key says on which lines each rule of the data check has something to find; [] where a rule speaks of the whole set.
Nobody's data is in it: the secrets and the personal data are made up, and say so where their form allows it.
"""

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any

from grammar import a, order_number, some
from support import FOLDER, ITEMS, SHOP, TRAIN_ROWS, splits
from words import NAMES

MESSY = FOLDER / "support_chat_messy.jsonl"
KEY = FOLDER / "support_chat_messy.key.json"
SEED = 23

Chat = list[dict[str, Any]]
ACCENTED = {
    "Zoe": "Zoë", "Eva": "Éva", "Lea": "Léa", "Sofia": "Sofía", "Maria": "María", "Oscar": "Óscar", "Victor": "Víctor",
    "Martha": "Márta", "Ines": "Inés", "Jonas": "Jónas", "Noah": "Noâh", "Mia": "Mía", "Nora": "Nóra", "Anna": "Änna",
    "Theo": "Théo", "Felix": "Félix", "Jana": "Jána", "Luis": "Luís", "Greta": "Gréta", "Carla": "Cárla",
}  # fmt: skip
WHOLE_SET = ("mixed_system_prompts", "language_mix")
OF_LABELLED_SETS = "inconsistent_label"  # found only where the answers are labels and nothing else


class Row:
    """A line to be, and the rules that find something in it. `twin` orders rows that repeat each other."""

    def __init__(self, chat: Chat, *rules: str, line: str = "", twin: str = "") -> None:
        self.chat, self.rules, self.line, self.twin = chat, set(rules), line, twin

    def text(self) -> str:
        return self.line or json.dumps({"messages": self.chat}, ensure_ascii=False)


def pair(question: str, answer: str) -> Chat:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def changed(chat: Chat, role: str, change: Callable[[str], str]) -> Chat:
    """The chat with the texts of one role changed."""
    return [
        {**turn, "content": change(turn["content"])} if turn["role"] == role else turn for turn in chat
    ]


def without_system(chat: Chat) -> Chat:
    return [turn for turn in chat if turn["role"] != "system"]


def questions(chat: Chat) -> Chat:
    return [turn for turn in chat if turn["role"] == "user"]


# --- Faults of one row: each takes a good chat and gives the row that it became --------------------------------


def shown_in_bold(rng: Random, chat: Chat) -> Row:
    """Copied from the log of a terminal."""
    def bold(text: str) -> str:
        for word in ("Summary:", "Next step:", "Label:"):
            text = text.replace(word, f"\x1b[1m{word}\x1b[0m")
        return text
    return Row(changed(chat, "assistant", bold), "terminal_control")


def with_invisible(rng: Random, chat: Chat) -> Row:
    """Copied from a web page that wants to break its long words."""
    def broken(text: str) -> str:
        return text.replace("Label: ", "La\u200bbel:\ufeff ").replace("Summary:", "Sum\u200bmary:")
    return Row(changed(chat, "assistant", broken), "invisible_characters")


def misread(rng: Random, chat: Chat) -> Row:
    """A customer's name with an accent, read in the wrong encoding; now and then twice."""
    name = next(name for name in ACCENTED if name in chat[-1]["content"])
    damaged = ACCENTED[name]
    for _ in range(rng.choice((1, 1, 1, 2))):
        damaged = damaged.encode().decode("latin-1")
    return Row([{**turn, "content": turn["content"].replace(name, damaged)} for turn in chat], "mojibake")


def two_messages(rng: Random, chat: Chat) -> Row:
    place = next(place for place, turn in enumerate(chat) if turn["role"] == "user")
    first, second = chat[place]["content"].split(". ", 1)
    turns = [{"role": "user", "content": first + "."}, {"role": "user", "content": second}]
    return Row([*chat[:place], *turns, *chat[place + 1 :]], "repeated_role")


def late_system(rng: Random, chat: Chat) -> Row:
    user, *rest = without_system(chat)
    system = {"role": "system", "content": f"You are the support desk of {SHOP}."}
    return Row([user, system, *rest], "misplaced_system")


def greeting_first(rng: Random, chat: Chat) -> Row:
    hello = {"role": "assistant", "content": f"Welcome to {SHOP}!"}
    return Row([hello, *without_system(chat)], "starts_with_answer")


def one_more_question(rng: Random, chat: Chat) -> Row:
    return Row([*chat, {"role": "user", "content": "Are you still there?"}], "unanswered_end")


def result_of_nothing(rng: Random, chat: Chat) -> Row:
    *before, last = chat
    return Row([*before, {"role": "tool", "content": '{"state": "sent"}'}, last], "tool_mismatch")


def empty_question(rng: Random, chat: Chat) -> Row:
    user, *rest = without_system(chat)
    return Row([{**user, "content": rng.choice(["", " ", "\n"])}, *rest], "empty_turn")


def empty_answer(rng: Random, chat: Chat) -> Row:
    return Row([*chat[:-1], {**chat[-1], "content": rng.choice(["", "  ", "\n\n"])}], "empty_answer")


def no_answer(rng: Random, chat: Chat) -> Row:
    return Row(questions(chat), "no_answer")


def other_shape(rng: Random, chat: Chat) -> Row:
    turns = rng.choice([
        lambda: [{**turn, "role": turn["role"].replace("assistant", "agent")} for turn in chat],
        lambda: [{"role": turn["role"], "text": turn["content"]} for turn in chat],
        lambda: [*chat[:-1], {"role": "assistant", "content": 7}],
    ])()  # fmt: skip
    return Row(turns, "bad_shape")


def broken_off_line(rng: Random, chat: Chat) -> Row:
    line = json.dumps({"messages": chat}, ensure_ascii=False)
    return Row([], "unreadable_row", line=line[: rng.randrange(40, len(line) - 2)])


def key_twice(rng: Random, chat: Chat) -> Row:
    line = json.dumps({"messages": chat}, ensure_ascii=False)
    return Row(chat, "duplicate_keys", line=f'{{"messages": [], {line[1:]}')


def html(rng: Random, chat: Chat) -> Row:
    return Row(changed(chat, "assistant", lambda text: text.replace("\n", "<br>\n")), "html_leftovers")


def lost_character(rng: Random, chat: Chat) -> Row:
    def lose(text: str) -> str:
        return text.replace("!", "\ufffd", 1) if "!" in text else text.replace(": ", ":\ufffd", 1)
    return Row(changed(chat, "assistant", lose), "replacement_character")


def jwt(rng: Random) -> str:
    """A token whose readable part says that it is none."""
    def packed(value: str) -> str:
        return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
    head = packed('{"alg": "none", "typ": "JWT"}')
    claims = packed(f'{{"iss": "sample data", "note": "not a real token", "number": {rng.randrange(100, 999)}}}')
    return f"{head}.{claims}.this-is-no-signature-of-anything"


def told_a_secret(rng: Random, chat: Chat) -> Row:
    secret = rng.choice([
        lambda: f"The app shows this: {jwt(rng)}",
        lambda: f"Your page says postgres://desk:not-real-{rng.randrange(100, 999)}@db.quillhaven.invalid/shop",
    ])()  # fmt: skip
    return Row(changed(chat, "user", lambda text: f"{text} {secret}"), "secret")


def told_of_a_person(rng: Random, chat: Chat) -> Row:
    """An address under a domain that no country will ever have, or an account at a bank code that no bank has."""
    name = rng.choice(NAMES).lower()
    personal = rng.choice([
        f"Write to {name}.{rng.choice(NAMES).lower()}@quillhaven.aa please.",
        f"My account is {account(rng)}.",
    ])  # fmt: skip
    return Row(changed(chat, "user", lambda text: f"{text} {personal}"), "personal_data")


def account(rng: Random) -> str:
    """A German account number with the right check digits (ISO 13616) at the bank code 00000000."""
    number = f"{0:08d}{rng.randrange(10**9, 10**10)}"
    digits = 98 - int(f"{number}131400") % 97
    return f"DE{digits:02d}{number}"


# --- Rows that were never good ----------------------------------------------------------------------------------


def looping(rng: Random) -> Row:
    item = rng.choice(ITEMS)
    sentence = f"We are sorry about the {item} and will look into the {item}. "
    return Row(pair(f"There is something wrong with {a(item)} that I bought. {order_number(rng)}", sentence * 8), "repetition")


def refusing(rng: Random) -> Row:
    item, name = rng.choice(ITEMS), rng.choice(NAMES)
    start = rng.choice(["I'm sorry, but I can't help with that.", "I cannot assist with that request.", "As an AI language model, I am not able to do that."])
    return Row(pair(f"I am {name}. Please tell me what to do about {a(item)}. My order is {order_number(rng)}.", f"{start} Please ask somebody else about the {item}."), "refusal")


def cut(rng: Random) -> Row:
    item, name = rng.choice(ITEMS), rng.choice(NAMES)
    ending = rng.choice(["and we will then send you the", "because the driver has not yet been to the", "so please look if the"])
    answer = f"We have read your message, {name}. We are very sorry about the trouble with the {item}. Our workshop will look at it first, {ending}"
    return Row(pair(f"My name is {name} and I wrote about {a(item)} on order {order_number(rng)} last week.", answer), "cut_off")


def in_russian(rng: Random, asked_in_it: bool) -> Row:
    number = order_number(rng)
    answer = "Здравствуйте! Мы проверим вашу посылку в течение двух дней и сразу вам напишем. Спасибо за терпение."
    question = f"Где моя посылка? Я жду её уже две недели, и никто мне не отвечает. Номер заказа {number}." if asked_in_it else (
        f"Where is my parcel? I have been waiting for two weeks now and nobody answers me. The order is {number}."
    )
    return Row(pair(question, answer), *([] if asked_in_it else ["language_mismatch"]))


def contradicting(rng: Random) -> list[Row]:
    """The policy changed, and both answers stayed."""
    item = rng.choice(ITEMS)
    asked, answers = rng.choice([
        (f"Can I return {a(item)} after {rng.randrange(31, 60)} days?", ("Yes.", "No.")),
        (f"How many days do I have to send {a(item)} back? I bought it on order {order_number(rng)}.", ("You have 30 days.", "You have 45 days.")),
    ])  # fmt: skip
    return [Row(pair(asked, answer), "contradiction", "repeated_prompt", twin=asked) for answer in answers]


def answered_twice(rng: Random) -> list[Row]:
    """One question, two answers that are both right."""
    item = rng.choice(ITEMS)
    asked = f"Thank you for the {item}. It came on day {rng.randrange(2, 29)} and works well."
    answers = ("You are welcome!", f"We are glad that you like the {item}.")
    return [Row(pair(asked, answer), "repeated_prompt", twin=asked) for answer in answers]


def long_log(rng: Random) -> Row:
    lines = "\n".join(f"{rng.randrange(24):02d}:{rng.randrange(60):02d} {rng.choice(NAMES)} moved parcel {order_number(rng)} to shelf {rng.randrange(90)}" for _ in range(160))
    return Row(pair(f"This is what your page shows me:\n{lines}", "Hello there!\nSummary: The page shows a list.\nNext step: We will look at it within four days.\nLabel: technical"), "length_outlier")


def reworded(text: str) -> str:
    """The same with a few small words more, as a second person writes the same case down."""
    head, dot, rest = text.partition(". ")
    return f"Well, {head[:1].lower()}{head[1:]} now{dot}{rest}" if rest else f"Well, {head[:1].lower()}{head[1:]}"


ONE_ROW = (
    (shown_in_bold, 140), (with_invisible, 130), (two_messages, 20), (late_system, 15), (greeting_first, 8),
    (one_more_question, 8), (result_of_nothing, 4), (empty_question, 6), (empty_answer, 12), (no_answer, 6), (other_shape, 8),
    (broken_off_line, 6), (key_twice, 4), (html, 15), (lost_character, 8), (told_a_secret, 10), (told_of_a_person, 12),
)  # fmt: skip
MISREAD = 40


def messy_rows() -> list[Row]:
    """The training chats with faults in some, more rows that are at fault, all in another order."""
    rng = Random(SEED)
    train, val = splits()
    accented = [chat for chat in train if fits(chat)][:MISREAD]
    rows = [misread(rng, chat) for chat in accented]
    pool = [chat for chat in train if chat not in accented]
    for fault, count in ONE_ROW:
        able = [chat for chat in pool if NEEDS.get(fault, bool)(chat)][:count]
        rows += [fault(rng, chat) for chat in able]
        pool = [chat for chat in pool if chat not in able]
    copied, retold = pool[:15], [chat for chat in pool[15:] if len(chat) == 2][:25]
    rows += [Row(chat) for chat in pool if chat not in copied and chat not in retold]
    rows += [Row(chat, "exact_duplicate", twin=f"copy {number}") for number, chat in enumerate(copied) for _ in range(9)]
    for number, chat in enumerate(retold):
        again = changed(chat, "user", reworded)
        rows += [Row(one, "near_duplicate", twin=f"retold {number}") for one in (chat, again)]
    rows += [looping(rng) for _ in range(40)] + [refusing(rng) for _ in range(40)] + [cut(rng) for _ in range(40)]
    rows += [in_russian(rng, asked) for asked in (False, True) for _ in range(8)]
    rows += [row for _ in range(10) for row in contradicting(rng)] + [row for _ in range(6) for row in answered_twice(rng)]
    rows += [long_log(rng) for _ in range(4)]
    one_turn = [chat for chat in val if len(chat) == 2]
    rows += [Row(changed(chat, "user", str.upper), "leakage") for chat in one_turn[:12]]
    rows += [Row(changed(chat, "user", reworded), "near_leakage") for chat in one_turn[12:20]]
    return some(rng, rows, len(rows))


def fits(chat: Chat) -> bool:
    """Whether one accented name stands in the last answer, so that damage to it is learned."""
    return any(f"{mark}{name}!" in chat[-1]["content"] for name in ACCENTED for mark in ("Hello ", ", "))


def splits_in_two(chat: Chat) -> bool:
    return ". " in questions(chat)[0]["content"]


def has_lines(chat: Chat) -> bool:
    return "\n" in chat[-1]["content"]


NEEDS: dict[Any, Callable[[Chat], bool]] = {two_messages: splits_in_two, html: has_lines}


def key_of(rows: list[Row]) -> dict[str, list[int]]:
    """Rule to lines, from 1. Of rows that repeat each other the first is sound."""
    found: dict[str, list[int]] = {rule: [] for rule in WHOLE_SET}
    seen: set[str] = set()
    for line, row in enumerate(rows, 1):
        is_first = bool(row.twin) and row.twin not in seen
        seen.add(row.twin)
        for rule in sorted(row.rules) if not is_first else ():
            found.setdefault(rule, []).append(line)
    return dict(sorted(found.items()))


def as_lines(rows: list[Row]) -> str:
    return "".join(row.text() + "\n" for row in rows)


def as_key(rows: list[Row]) -> str:
    return json.dumps(key_of(rows), indent=1).replace("\n  ", " ").replace("\n ]", " ]") + "\n"


if __name__ == "__main__":
    made = messy_rows()
    assert TRAIN_ROWS < len(made) <= 1500
    MESSY.write_text(as_lines(made), encoding="utf-8")
    KEY.write_text(as_key(made), encoding="utf-8")
    print(len(made), "rows", {rule: len(lines) for rule, lines in key_of(made).items()})
