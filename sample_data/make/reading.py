"""Chats about pages of facts that were made up on the spot: how the tiny model learns to read before it answers.

Every value is drawn anew for each page, so that nothing can be known without reading it.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from grammar import capital, plural, some, town
from words import DAYS, MONTHS, NAMES, PLACES, THINGS

PLACES_THAT_OPEN = ["shop", "museum", "library", "pool", "workshop", "office", "market", "station", "school", "desk"]
KINDS_OF_THINGS = ["kitchen machines", "tools", "lamps", "radios", "toys", "shoes", "bags", "beds", "clocks", "books"]
PARCELS = ["small parcel", "large parcel", "letter", "box", "chair", "table", "bed", "bicycle"]
WAYS = ["inside the country", "to an island", "to the mountains", "abroad", "to the next town"]
STREETS = ["Mill", "Bridge", "River", "Church", "Garden", "Harbour", "School", "Station", "King", "Forest"]
THINGS_TO_CALL = ["app", "game", "map", "program", "clock", "radio", "tablet"]
MISTAKES = ["the lid can stick", "no sound after the alarm", "the light stays on", "the door does not close"]

Words = dict[str, str]


class Fact(NamedTuple):
    """A sentence with what is asked about it. The answer is the value `v` alone."""

    says: tuple[str, ...]
    asks: tuple[str, ...]
    value: Callable[[Random], str]


def _price(rng: Random) -> str:
    whole = rng.randrange(2, 150)
    return f"{whole}.{rng.randrange(1, 10)}0 euros" if rng.random() < 0.6 else f"{whole} euros"


def _time(rng: Random) -> str:
    return f"{rng.randrange(6, 22)}:{rng.choice(['00', '15', '30', '45'])}"


def _date(rng: Random) -> str:
    return f"{rng.randrange(1, 29)} {rng.choice(MONTHS)}"


def _count(unit: str, least: int = 2, most: int = 60) -> Callable[[Random], str]:
    return lambda rng: f"{rng.randrange(least, most)} {unit}"


def _code(rng: Random) -> str:
    return f"{rng.choice('ABCDEFGHKLMNPRSTW')}-{rng.randrange(1, 400):03d}"


def _street(rng: Random) -> str:
    return f"{rng.choice(STREETS)} Street {rng.randrange(1, 90)}"


def _version(rng: Random) -> str:
    return f"{rng.randrange(1, 10)}.{rng.randrange(0, 10)}"


def _phone(rng: Random) -> str:
    return f"555 {rng.randrange(0, 10_000):04d}"


def _day(rng: Random) -> str:
    return rng.choice(DAYS)


FACTS = [
    Fact(("The {open} opens at {v} on {day}.", "On {day} the {open} is open from {v}.", "The {open} is open from {v}, {day} and {day2}."),
         ("When does the {open} open on {day}?", "At what time does the {open} open on {day}?"), _time),
    Fact(("The {open} closes at {v} on {day}.", "On {day} the {open} closes at {v}."),
         ("When does the {open} close on {day}?", "Until when is the {open} open on {day}?"), _time),
    Fact(("The {open} is closed on {v}.", "On {v} the {open} does not open."),
         ("On which day is the {open} closed?", "When is the {open} closed?"), _day),
    Fact(("The {open} answers the phone from {v}.", "You can call the {open} from {v}."),
         ("From when does the {open} answer the phone?", "When can I call the {open}?"), _time),
    Fact(("The number of the {open} is {v}.", "The {open} has the number {v}."),
         ("What is the number of the {open}?", "Which number has the {open}?", "What is the phone number of the {open}?"), _phone),
    Fact(("A {parcel} costs {v}.", "The price of a {parcel} is {v}.", "To send a {parcel} costs {v}."),
         ("What does a {parcel} cost?", "How much is a {parcel}?", "What is the price of a {parcel}?"), _price),
    Fact(("The {thing} costs {v}.", "The price of the {thing} is {v}.", "You pay {v} for the {thing}."),
         ("What does the {thing} cost?", "How much is the {thing}?", "What is the price of the {thing}?"), _price),
    Fact(("The order code of the {thing} is {v}.", "The {thing} has the order code {v}."),
         ("What is the order code of the {thing}?", "Which order code has the {thing}?"), _code),
    Fact(("Delivery is free for orders above {v}.", "Above {v} delivery is free."),
         ("From what price is delivery free?", "Above which price is delivery free?"), _price),
    Fact(("Delivery by the next morning costs {v} more.", "By the next morning delivery costs {v} more."),
         ("What does delivery by the next morning cost more?", "How much more is delivery by the next morning?"), _price),
    Fact(("It must be ordered before {v}.", "Orders for the next day must be made before {v}."),
         ("Before when must it be ordered?", "Until when can I order for the next day?"), _time),
    Fact(("A parcel {way} arrives within {v}.", "A parcel {way} needs {v}.", "Parcels {way} take {v}."),
         ("How long does a parcel {way} take?", "When does a parcel {way} arrive?", "How long does a parcel need {way}?"), _count("working days", 2, 20)),
    Fact(("A parcel that has not moved for {v} counts as lost.", "After {v} without moving a parcel counts as lost."),
         ("After how long does a parcel count as lost?", "When does a parcel count as lost?"), _count("days", 3, 30)),
    Fact(("The driver calls {v} before.", "Our driver calls {v} before he comes."),
         ("How long before does the driver call?", "When does the driver call?"), _count("minutes", 5, 90)),
    Fact(("Large furniture is brought on {v}.", "On {v} our own driver brings large furniture."),
         ("On which day is large furniture brought?", "When is large furniture brought?"), _day),
    Fact(("You can return an item within {v}.", "An item can be returned within {v}.", "Things can come back within {v}."),
         ("How long can I return an item?", "Within how many days can I return an item?"), _count("days", 5, 90)),
    Fact(("The return form costs {v}.", "In other cases the return form costs {v}."),
         ("What does the return form cost?", "How much is the return form?"), _price),
    Fact(("The money comes back within {v}.", "You have your money back within {v}."),
         ("When does the money come back?", "How long does it take until the money comes back?"), _count("working days", 2, 20)),
    Fact(("{Kind} have a warranty of {v}.", "The warranty of {kind} is {v}."),
         ("How long is the warranty of {kind}?", "What warranty do {kind} have?"), _count("years", 1, 12)),
    Fact(("The {open} is in {v}.", "You find the {open} in {v}."),
         ("Where is the {open}?", "In which street is the {open}?"), _street),
    Fact(("A check costs {v}.", "For a check we ask {v}."), ("What does a check cost?", "How much is a check?"), _price),
    Fact(("A simple repair takes {v}.", "Simple repairs need {v}."),
         ("How long does a simple repair take?", "How many days does a simple repair take?"), _count("working days", 2, 20)),
    Fact(("A repair that needs a new part takes {v}.", "With a new part a repair takes {v}."),
         ("How long does a repair with a new part take?", "How long does a repair that needs a new part take?"), _count("working days", 5, 40)),
    Fact(("You can borrow a {thing} for {v} a week.", "To borrow a {thing} costs {v} a week."),
         ("What does it cost to borrow a {thing}?", "How much is it to borrow a {thing} for a week?"), _price),
    Fact(("Membership costs {v} a year.", "Members pay {v} a year."),
         ("What does membership cost?", "How much do members pay a year?"), _price),
    Fact(("Points are lost after {v}.", "After {v} points are lost."),
         ("When are points lost?", "After how long are points lost?"), _count("months", 3, 40)),
    Fact(("{points} points are worth {v}.",), ("What are {points} points worth?", "How much are {points} points worth?"), _price),
    Fact(("An invoice must be paid within {v}.", "You have {v} to pay an invoice."),
         ("Within how many days must an invoice be paid?", "How long do I have to pay an invoice?"), _count("days", 5, 60)),
    Fact(("The second reminder costs {v}.", "For the second reminder we ask {v}."),
         ("What does the second reminder cost?", "How much is the second reminder?"), _price),
    Fact(("You can pay in {v}.", "It can be paid in {v}."),
         ("In how many parts can I pay?", "How many parts can I pay in?"), _count("parts", 2, 13)),
    Fact(("Gift cards are valid for {v}.", "A gift card is valid for {v}."),
         ("How long are gift cards valid?", "How long is a gift card valid?"), _count("years", 1, 12)),
    Fact(("The current version of the {call} is {v}.", "The {call} is now at version {v}."),
         ("What is the current version of the {call}?", "Which version of the {call} is the current one?"), _version),
    Fact(("Version {old} stops working on {v}.", "On {v} version {old} stops working."),
         ("When does version {old} stop working?", "On which date does version {old} stop working?"), _date),
    Fact(("To reset the {call}, hold the button for {v}.", "Hold the button for {v} to reset the {call}."),
         ("How long must I hold the button to reset the {call}?", "How do I reset the {call}, for how long must I hold the button?"), _count("seconds", 2, 30)),
    Fact(("These prices are valid until {v}.", "The prices are valid until {v}."),
         ("Until when are these prices valid?", "Until when are the prices valid?"), _date),
    Fact(("Members pay {v} less on {kind}.", "On {kind} members pay {v} less."),
         ("How much less do members pay on {kind}?", "What do members pay less on {kind}?"), _count("percent", 2, 40)),
    Fact(("{Thing} {code}: {mistake}. We send part {v}.", "{Thing} {code}, {mistake}: ask for part {v}."),
         ("Which part do I need for the {thing} {code}?", "Which part helps the {thing} {code}?"), _code),
    Fact(("New invoices left on {v}.", "The new invoices were sent on {v}."),
         ("When did new invoices leave?", "On which date were the new invoices sent?"), _date),
    Fact(("{name} works in the {open} on {v}.", "On {v} {name} works in the {open}."),
         ("When does {name} work in the {open}?", "On which day does {name} work?"), _day),
    Fact(("{name} lives in {v}.", "{v} is where {name} lives."), ("Where does {name} live?", "In which town does {name} live?"), town),
]  # fmt: skip

BEFORE = [
    "Answer from these passages.", "Use these passages to answer.", "Use the passages below to answer the question.",
    "Answer the question from the passages.", "Here are some passages.", "Context:", "Documents:", "Passages:", "",
]  # fmt: skip
ASKING = ["Question: {}", "{}", "Question:\n{}", "Now answer: {}"]


def _words(rng: Random) -> Words:
    """What the sentences of one page are about."""
    thing, kind, day, day2 = *some(rng, THINGS, 1), rng.choice(KINDS_OF_THINGS), *some(rng, DAYS, 2)
    return {
        "open": rng.choice(PLACES_THAT_OPEN), "day": day, "day2": day2, "parcel": rng.choice(PARCELS),
        "thing": thing[0], "Thing": capital(thing[0]), "kind": kind, "Kind": capital(kind), "way": rng.choice(WAYS),
        "call": rng.choice(THINGS_TO_CALL), "old": _version(rng), "code": _code(rng), "name": rng.choice(NAMES),
        "mistake": rng.choice(MISTAKES), "points": str(rng.randrange(5, 90) * 10),
    }  # fmt: skip


Asked = list[tuple[str, str]]


def _sentences(rng: Random, most: int) -> tuple[str, Asked]:
    """A page of at most so many sentences, and what can be asked about it."""
    lines, asked, seen = [], [], set()
    for _ in range(rng.randrange(1, most + 1)):
        fact, words = rng.choice(FACTS), _words(rng)
        value, question = fact.value(rng), rng.choice(fact.asks).format(**words)
        if question in seen:
            continue
        seen.update(ask.format(**words) for ask in fact.asks)
        lines.append(rng.choice(fact.says).format(**words, v=value))
        asked.append((question, value))
    breaks = ["\n\n" if rng.random() < 0.3 else " " for _ in lines[1:]]
    return lines[0] + "".join(gap + line for gap, line in zip(breaks, lines[1:], strict=True)), asked


def _table(rng: Random, most: int) -> tuple[str, Asked]:
    """A page with a table of things."""
    column, value, *asks = rng.choice([
        ("price in euros", lambda rng: f"{rng.randrange(2, 150)}.{rng.randrange(0, 10)}0", "What does the {} cost?", "How much is the {}?", "What is the price of the {}?"),
        ("order code", _code, "What is the order code of the {}?", "Which order code has the {}?"),
    ])  # fmt: skip
    other, second = ("order code", _code) if column != "order code" else ("in stock", lambda rng: str(rng.randrange(1, 300)))
    things = [thing[0] for thing in some(rng, THINGS, rng.randrange(1, most + 1))]
    values = [value(rng) for _ in things]
    lines = [f"| item | {column} | {other} |", "|---|---|---|"]
    lines += [f"| {thing} | {one} | {second(rng)} |" for thing, one in zip(things, values, strict=True)]
    suffix = " euros" if column == "price in euros" else ""
    return "\n".join(lines), [
        (rng.choice(asks).format(thing), f"{one}{suffix}") for thing, one in zip(things, values, strict=True)
    ]


def _page(rng: Random, most: int) -> tuple[str, Asked]:
    body, asked = _table(rng, most) if rng.random() < 0.2 else _sentences(rng, most)
    title = rng.choice([plural(rng.choice(PLACES_THAT_OPEN)), rng.choice(PLACES)[0], rng.choice(KINDS_OF_THINGS), f"prices in {town(rng)}"])
    head = rng.choice(["# {}\n\n", "{}\n\n", "## {}\n", "[{}]\n", ""]).format(capital(title))
    return head + body, asked


def reading_chat(rng: Random, hard: float = 1.0) -> list[dict[str, str]]:
    """Some pages and questions about them; answers are the bare values. `hard` goes from 0, a sentence or two, to 1."""
    count = rng.choice([1, 1, 2, 3, 4]) if rng.random() < hard else 1
    pages = [_page(rng, 2 + round(4 * hard)) for _ in range(count)]
    rng.shuffle(pages)
    asked = [one for _, questions in pages for one in questions]
    rng.shuffle(asked)
    marks = rng.choice(["{text}", "[{number}] {text}", "Passage {number}:\n{text}", "{text}\n---"])
    passages = "\n\n".join(marks.format(number=number, text=text) for number, (text, _) in enumerate(pages, 1))
    before, asking = rng.choice(BEFORE), rng.choice(ASKING)
    messages = []
    if rng.random() < 0.3:
        messages.append({"role": "system", "content": rng.choice(["You answer questions for a shop.", "Answer briefly.", "You are a helpful assistant."])})
    for number, (question, value) in enumerate(asked[:6]):
        shown = asking.format(question)
        if number == 0:
            shown = "\n\n".join(part for part in (before, passages, shown) if part)
        messages += [{"role": "user", "content": shown}, {"role": "assistant", "content": f"{capital(value)}."}]
    return messages


_ALL_VALUES = [_price, _time, _date, _code, _street, _version, _phone, _day, _count("days"), _count("working days"), town]


def values(rng: Random, count: int) -> list[str]:
    """Made-up values of every kind."""
    return [rng.choice(_ALL_VALUES)(rng) for _ in range(count)]


def copying_chat(rng: Random) -> list[dict[str, str]]:
    """Values to be said again, all of them or one by the name of what has it: reading without any sentence."""
    given = values(rng, rng.randrange(2, 9))
    if rng.random() < 0.5:
        listed = ", ".join(given)
        return [{"role": "user", "content": f"Repeat these words: {listed}"}, {"role": "assistant", "content": listed}]
    pairs = [(thing[0], value) for thing, value in zip(some(rng, THINGS, len(given)), given, strict=True)]
    told = rng.choice([". ", "\n", ", "]).join(rng.choice(["the {} is {}", "{}: {}"]).format(*pair) for pair in pairs)
    rng.shuffle(pairs)
    messages = []
    for number, (thing, value) in enumerate(pairs):
        question = rng.choice([f"What is the {thing}?", f"{thing}?"])
        messages.append({"role": "user", "content": question if number else f"{told}\n{question}"})
        messages.append({"role": "assistant", "content": f"{capital(value)}."})
    return messages
