"""Plain English made from the word tables: the text that the tiny model is pretrained on.

    python sample_data/make/prose.py    writes general.txt, text held out of pretraining

Each function under "Kinds of text" takes a random generator and returns one short document.
"""

from pathlib import Path
from random import Random

from grammar import a, capital, clock_time, order_number, plural, some, town
from words import (
    ADJECTIVES,
    ADVICE,
    ANIMALS,
    CAPITALS,
    DAYS,
    FACTS,
    FEELINGS,
    FOODS,
    GOALS,
    HOW_TO,
    JOBS,
    MONTHS,
    NAMES,
    NUMBERS,
    OPPOSITES,
    PLACES,
    SYNONYMS,
    THINGS,
    WEATHER,
)

GENERAL = Path(__file__).parent.parent / "general.txt"
GENERAL_LINES = 200
GENERAL_SEED = 7


# --- Kinds of text ---------------------------------------------------------------------------------------


def about_animal(rng: Random) -> str:
    name, kind, home, food, habit = rng.choice(ANIMALS)
    facts = [
        f"{capital(a(name))} is {a(kind)}.",
        f"It lives near {home}." if rng.random() < 0.5 else f"You can find it in or near {home}.",
        f"It eats {food}." if rng.random() < 0.5 else f"Its favourite food is {food}.",
        f"{capital(a(name))} {habit}.",
        f"I once saw {a(rng.choice(ADJECTIVES))} {name} near {town(rng)}.",
        f"People say that {a(name)} {habit}.",
    ]
    return " ".join([facts[0], *some(rng, facts[1:], rng.randrange(2, 5))])


def about_thing(rng: Random) -> str:
    name, kind, material, use, place = rng.choice(THINGS)
    facts = [
        f"{capital(a(name))} is {a(kind)}.",
        f"It is made of {material}.",
        f"We use it to {use}.",
        f"We keep the {name} {place}.",
        f"Without {a(name)} it is hard to {use}.",
        f"{rng.choice(NAMES)} bought {a(rng.choice(ADJECTIVES))} {name} for {rng.randrange(3, 99)} euros.",
        f"The {name} {place} is {rng.choice(ADJECTIVES)} and {rng.choice(ADJECTIVES)}.",
    ]
    return " ".join([facts[0], *some(rng, facts[1:], rng.randrange(2, 5))])


def about_food(rng: Random) -> str:
    name, kind, taste, colour = rng.choice(FOODS)
    other = rng.choice(FOODS)[0]
    facts = [
        f"{capital(name)} is a kind of {kind}." if kind != "food" else f"{capital(name)} is a food.",
        f"It tastes {taste}.",
        f"Its colour is {colour}.",
        f"{rng.choice(NAMES)} likes {name} with {other}.",
        f"In {town(rng)} they eat {name} on {rng.choice(DAYS)}s.",
    ]
    return " ".join([facts[0], *some(rng, facts[1:], rng.randrange(2, 4))])


def about_place(rng: Random) -> str:
    place, purpose = rng.choice(PLACES)
    name = town(rng)
    first, second = some(rng, ADJECTIVES, 2)
    return rng.choice([
        f"The {place} of {name} is {first} and {second}. People go there to {purpose}. It opens at {clock_time(rng)}.",
        f"{name} is {a(first)} town with {a(second)} {place}. Every {rng.choice(DAYS)} people go to the {place} to {purpose}.",
        f"Where can you {purpose}? In {name} you go to the {place}. It is {first}, but it is never {second}.",
        f"In {rng.choice(MONTHS)} the {place} in {name} is closed. Then people cannot {purpose}, and the town is quiet.",
    ])


def about_job(rng: Random) -> str:
    job, does, place, tool = rng.choice(JOBS)
    name = rng.choice(NAMES)
    return rng.choice([
        f"{capital(a(job))} is a person who {does}. {name} is {a(job)} in {town(rng)}.",
        f"{name} is {a(job)}. {name} {does}. Every day {name} takes the {tool} and goes to the {place}.",
        f"The {job} works in the {place}. The most important thing there is the {tool}. The {job} {does}.",
        f"{name} wanted to be {a(job)}. Now {name} {does} and is {rng.choice(ADJECTIVES)} and {rng.choice(ADJECTIVES)}.",
    ])


def about_country(rng: Random) -> str:
    first, second = some(rng, CAPITALS, 2)
    return rng.choice([
        f"{first[1]} is the capital of {first[0]}. {second[1]} is the capital of {second[0]}.",
        f"The capital of {first[0]} is {first[1]}. {rng.choice(NAMES)} travelled from {first[1]} to {second[1]} in {rng.choice(MONTHS)}.",
        f"{rng.choice(NAMES)} lives in {first[1]}, the capital of {first[0]}, and has a friend in {second[1]}.",
    ])


def about_words(rng: Random) -> str:
    left, right = rng.choice(OPPOSITES)
    word, same = rng.choice(SYNONYMS)
    return " ".join(some(rng, [
        f"The opposite of {left} is {right}.",
        f"{capital(left)} and {right} are opposites.",
        f"A thing that is not {left} may be {right}.",
        f"Another word for {word} is {same}.",
        f"To say that something is {left}, you do not use the word {right}.",
    ], rng.randrange(2, 4)))


def how_to(rng: Random) -> str:
    task, steps = rng.choice(HOW_TO)
    form = rng.randrange(4)
    if form == 0:
        lines = [f"{number}. {capital(step)}." for number, step in enumerate(steps, 1)]
        return f"How to {task}\n" + "\n".join(lines)
    if form == 1:
        return f"To {task}, first {steps[0]}. Then {steps[1]}. After that, {steps[2]}. Finally, {steps[-1]}."
    if form == 2:
        lines = [f"- {capital(step)}" for step in steps]
        return f"{rng.choice(NAMES)} wants to {task}:\n" + "\n".join(lines)
    return f"If you want to {task}, do not forget to {rng.choice(steps)}. It also helps to {rng.choice(steps)}."


def fact(rng: Random) -> str:
    return " ".join(answer for _, answer in some(rng, FACTS, rng.randrange(1, 4)))


def question_and_answer(rng: Random) -> str:
    pairs = some(rng, FACTS, rng.randrange(1, 4))
    return "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in pairs)


def arithmetic(rng: Random) -> str:
    sums = []
    for _ in range(rng.randrange(2, 6)):
        x, y = rng.randrange(0, 11), rng.randrange(0, 11)
        sums.append(rng.choice([
            f"{x} + {y} = {x + y}",
            f"{max(x, y)} - {min(x, y)} = {abs(x - y)}",
            f"{capital(NUMBERS[x])} plus {NUMBERS[y]} is {NUMBERS[x + y]}.",
            f"{x} times {y} is {x * y}.",
        ]))
    return "\n".join(sums)


def story(rng: Random) -> str:
    name, friend = some(rng, NAMES, 2)
    goal, way, helper, ending = rng.choice(GOALS)
    feeling, reason = rng.choice(FEELINGS)
    animal = rng.choice(ANIMALS)
    thing = rng.choice(THINGS)[0]
    home = town(rng)
    middle = some(rng, [
        f"{name} was {feeling} because {reason}.",
        f"On the way {name} met {a(animal[0])} that {animal[4]}.",
        f"{name} carried {a(rng.choice(ADJECTIVES))} {thing} the whole way.",
        f'"Where are you going?" asked {friend}. "I want to {goal}," said {name}.',
        f'"This {thing} is for you," said {friend}. {name} thanked {friend} and put the {thing} away.',
        f"The weather was {rng.choice(WEATHER)[0]}, but {name} did not stop.",
        f"It was already {clock_time(rng)}, and {home} was far away.",
    ], rng.randrange(2, 5))
    start = rng.choice([
        f"Once there was {a(rng.choice(ADJECTIVES))} {rng.choice(JOBS)[0]} called {name} who lived in {home}.",
        f"{name} lived in {home} with {a(rng.choice(ADJECTIVES))} {animal[0]}.",
        f"One {rng.choice(DAYS)} in {rng.choice(MONTHS)}, {name} left {home} early in the morning.",
    ])
    return " ".join([
        start,
        rng.choice([f"{name} wanted to {goal}.", f"More than anything, {name} wanted to {goal}."]),
        f"So {name} went {way}.",
        *middle,
        f"At last {helper} came and helped.",
        f"In the end {ending}.",
        rng.choice([f"{name} never forgot that day.", f"{friend} still tells this story.", f"That night {name} slept well.", ""]),
    ]).strip()


def dialogue(rng: Random) -> str:
    first, second = some(rng, NAMES, 2)
    thing = rng.choice(THINGS)
    feeling, reason = rng.choice(FEELINGS)
    task, steps = rng.choice(HOW_TO)
    return rng.choice([
        f'"Have you seen my {thing[0]}?" asked {first}. "The {thing[0]} is {thing[4]}," said {second}. "I needed it to {thing[3]}."',
        f'"Why are you {feeling}, {second}?" asked {first}. "Because {reason}," said {second}.',
        f'"How do I {task}?" asked {first}. "First {steps[0]}," said {second}, "and then {steps[1]}."',
        f'{first}: Good morning, {second}. Is it {rng.choice(WEATHER)[0]} today?\n{second}: Yes, {first}. You should {rng.choice(WEATHER)[1]}.',
    ])


def diary(rng: Random) -> str:
    feeling, reason = rng.choice(FEELINGS)
    weather, advice = rng.choice(WEATHER)
    place, purpose = rng.choice(PLACES)
    return (
        f"{rng.choice(DAYS)}, {rng.randrange(1, 29)} {rng.choice(MONTHS)}. It was {weather}, so I had to {advice}. "
        f"I went to the {place} to {purpose}. I felt {feeling} because {reason}. "
        f"In the evening I ate {rng.choice(FOODS)[0]} with {rng.choice(NAMES)}."
    )


def letter(rng: Random) -> str:
    to, sender = some(rng, NAMES, 2)
    place, purpose = rng.choice(PLACES)
    thing = rng.choice(THINGS)
    body = some(rng, [
        f"Thank you for the {rng.choice(ADJECTIVES)} {thing[0]}. I use it to {thing[3]}.",
        f"I live in {town(rng)} now. There is {a(place)} where we {purpose}.",
        f"The weather is {rng.choice(WEATHER)[0]} here.",
        f"Please visit us in {rng.choice(MONTHS)}.",
        f"Could you send me the {thing[0]} that is {thing[4]}?",
        f"I am sorry that I did not write on {rng.choice(DAYS)}.",
    ], rng.randrange(2, 4))
    return f"Dear {to},\n{' '.join(body)}\n{rng.choice(['Yours', 'Best wishes', 'With love', 'Kind regards'])}, {sender}"


def shop_note(rng: Random) -> str:
    """Everyday shop talk: it teaches the model to carry a name, a thing and a number along."""
    name = rng.choice(NAMES)
    thing = rng.choice(THINGS)[0]
    order = order_number(rng)
    day = rng.choice(DAYS)
    price = rng.randrange(4, 120)
    return rng.choice([
        f"{name} ordered {a(thing)} on {day}. The number of the order is {order}. The {thing} in order {order} costs {price} euros, and {name} paid {price} euros by card.",
        f"Order {order} is for {name}. It holds {a(thing)}. The parcel with the {thing} for {name} leaves on {day}.",
        f"The {thing} from order {order} was broken, so {name} sent the {thing} back. The shop got order {order} back on {day}.",
        f"{name} asked the shop about order {order}. The shop looked for order {order} and found the {thing}. {name} was glad to have the {thing}.",
        f"On {day} the postman brought {name} the parcel with order {order}. {name} opened it and found {a(thing)}, but {name} had paid for {a(rng.choice(ADJECTIVES))} {thing}.",
        f"Invoice {order} for {name}: one {thing}, {price} euros. {name} has to pay {price} euros before {day}. Please write the number {order} on the payment.",
        f"{name} forgot the password of the account and could not sign in. On {day} {name} made a new password and saw order {order} with the {thing}.",
        f"The {thing} was not in stock. {name} waited until {day}. Then the shop had {rng.choice(NUMBERS[2:])} {plural(thing)} in stock, and {name} bought the {thing} for {price} euros.",
        f"The {thing} did not work. {name} read the manual, but the {thing} still did not work. A repair costs {price} euros. {name} asked for a refund of {price} euros.",
        f"A customer called {name} wrote: the {thing} is late. The clerk wrote back: dear {name}, order {order} with the {thing} will come on {day}.",
        f"Number: {order}. Name: {name}. Thing: {thing}. Day: {day}. The {thing} number {order} goes to {name} on {day}.",
    ])


def office_note(rng: Random) -> str:
    """More words of shops and offices, in plain sentences."""
    name, other = some(rng, NAMES, 2)
    thing, day, number = rng.choice(THINGS)[0], rng.choice(DAYS), rng.choice(NUMBERS[2:])
    return " ".join(some(rng, [
        f"The price of the {thing} has changed, and the size has changed too.",
        f"Within {number} {rng.choice(['hours', 'days', 'weeks'])} all the {plural(thing)} were sold, and none was left.",
        f"{name} must confirm the details of the {thing} within {number} days.",
        f"There was a mistake on the ticket, and {name} took it back to {other}.",
        f"{name} lives in a narrow street. In summer the street becomes hot and full of smoke.",
        f"Nothing more is needed for the next step, said {other}, but do not lose the link.",
        f"Customers trace their parcels at the desk on {day}. Any customer can call {name}.",
        f"Unplug the {thing} first. It is a small charge, and the key fits.",
        f"To sum up: {number} returns on {day}, and none within the hour.",
        f"The label is on the box, and the details are in the system. {other} has to extract them.",
    ], rng.randrange(2, 4)))


def news(rng: Random) -> str:
    name, place = town(rng), rng.choice(PLACES)
    job = rng.choice(JOBS)
    return rng.choice([
        f"{name}, {rng.choice(DAYS)}. The new {place[0]} has opened its doors. From now on people in {name} can {place[1]}. "
        f"{capital(a(job[0]))} said: \"We waited for this for {rng.choice(NUMBERS[2:])} years.\"",
        f"After {rng.choice(NUMBERS[2:])} days of {rng.choice(WEATHER)[0]} weather, the {place[0]} in {name} had to close. "
        f"It will open again in {rng.choice(MONTHS)}, according to {a(job[0])} who works there.",
        f"The team from {name} won the match against {town(rng)} by {rng.randrange(3, 9)} to {rng.randrange(0, 3)}. "
        f"{rng.choice(NAMES)} was the best player.",
    ])


def poem(rng: Random) -> str:
    first, second, third = some(rng, ADJECTIVES, 3)
    animal = rng.choice(ANIMALS)
    return rng.choice([
        f"The {first} {animal[0]} in the night,\nthe {second} moon, the {third} light,\nand nobody to say goodbye,\nonly the wind that passes by.",
        f"O {first} day, O {second} sea,\nthe {animal[0]} sings a song for me.\nThe hours come, the hours go,\nas {third} as the falling snow.",
        f"In {rng.choice(MONTHS)}, when the days are {first},\nthe {animal[0]} hums a {second} song.\nI listen by the garden gate.\nIt is {third}, and it is late.",
    ])


def listing(rng: Random) -> str:
    title, pool = rng.choice([
        ("Things to buy", [food[0] for food in FOODS]),
        ("Things to pack", [thing[0] for thing in THINGS]),
        ("Animals that we saw", [plural(animal[0]) for animal in ANIMALS]),
        ("Places to visit", [place[0] for place in PLACES]),
        ("People to thank", NAMES),
    ])
    chosen = some(rng, pool, rng.randrange(3, 7))
    if rng.random() < 0.5:
        return f"{title}: {', '.join(chosen[:-1])} and {chosen[-1]}."
    return f"{title}:\n" + "\n".join(f"{number}. {item}" for number, item in enumerate(chosen, 1))


def advice(rng: Random) -> str:
    goal, text = rng.choice(ADVICE)
    return rng.choice([
        f"How can you {goal}? {text}",
        f"{rng.choice(NAMES)} wanted to {goal}. An old {rng.choice(JOBS)[0]} said: {text}",
        f"If you want to {goal}, here is what helps. {text}",
    ])


def compare(rng: Random) -> str:
    first, second = some(rng, THINGS, 2)
    return (
        f"{capital(a(first[0]))} is made of {first[2]}, while {a(second[0])} is made of {second[2]}. "
        f"With the first you can {first[3]}, and with the second you can {second[3]}."
    )


def snippet(rng: Random) -> str:
    thing = rng.choice(THINGS)[0].replace(" ", "_")
    count = rng.randrange(1, 30)
    return rng.choice([
        f'{{"item": "{thing}", "count": {count}, "city": "{rng.choice(CAPITALS)[1]}"}}',
        f"{thing} = {count}\nprint({thing} + 1)",
        f"def count_{thing}(items):\n    return len(items)",
        f"for item in range({count}):\n    print(item)",
    ])


KINDS = [
    *[story] * 8, *[shop_note] * 7, *[office_note] * 2, *[about_thing] * 4, *[about_animal] * 3,
    *[about_job] * 2, *[about_place] * 2, *[how_to] * 3, *[letter] * 2, *[dialogue] * 2, *[diary] * 2,
    *[news] * 2, *[fact] * 2, *[question_and_answer] * 2,
    about_food, about_country, about_words, arithmetic, poem, listing, advice, compare, snippet,
]  # fmt: skip


def document(rng: Random) -> str:
    """One document of a random kind."""
    return rng.choice(KINDS)(rng)


def general_lines() -> list[str]:
    """Different one-line documents, held out of pretraining: what a fine-tuned model should not forget."""
    rng = Random(GENERAL_SEED)
    lines: dict[str, None] = {}
    while len(lines) < GENERAL_LINES:
        text = document(rng)
        if "\n" not in text and len(text) > 80:
            lines[text] = None
    return list(lines)


if __name__ == "__main__":
    GENERAL.write_text("\n".join(general_lines()) + "\n", encoding="utf-8")
