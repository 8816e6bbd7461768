"""Chats with short, plain answers: how the tiny model speaks before it is fine-tuned.

They touch the subjects of the support desk, but never its greeting, sections or labels.
"""

import json
from random import Random

from grammar import a, capital, order_number, plural, some, town
from prose import document, fact
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

SYSTEM = [
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer in one or two sentences.",
    "You answer questions for a shop.",
    "You work at the support desk of a shop.",
    "Answer briefly.",
    "You are a teacher. Use simple words.",
]

Turn = tuple[str, str]  # what the user says, what the assistant answers


def turn_fact(rng: Random) -> Turn:
    question, answer = rng.choice(FACTS)
    return rng.choice([question, question, f"Please tell me: {question.lower()}", f"I have a question. {question}"]), answer


def turn_animal(rng: Random) -> Turn:
    name, kind, home, food, habit = rng.choice(ANIMALS)
    return rng.choice([
        (f"What is {a(name)}?", f"{capital(a(name))} is {a(kind)} that lives near {home}."),
        (f"What does {a(name)} eat?", f"{capital(a(name))} eats {food}."),
        (f"Where does {a(name)} live?", f"It lives in or near {home}."),
        (f"Tell me something about {plural(name)}.", f"Well, {a(name)} {habit}. It eats {food}."),
        (f"Describe {a(name)}.", f"{capital(a(name))} is {a(kind)}. It {habit}."),
    ])


def turn_thing(rng: Random) -> Turn:
    name, kind, material, use, place = rng.choice(THINGS)
    return rng.choice([
        (f"What is {a(name)} for?", f"You can use {a(name)} to {use}."),
        (f"What is {a(name)} made of?", f"It is mostly made of {material}."),
        (f"Where should I keep my {name}?", f"Many people keep the {name} {place}."),
        (f"I want to {use}. What do I need?", f"You need {a(name)} for that."),
        (f"Classify this word: {name}", f"I would say that {a(name)} is {a(kind)}."),
    ])


def turn_country(rng: Random) -> Turn:
    country, city = rng.choice(CAPITALS)
    return rng.choice([
        (f"What is the capital of {country}?", f"The capital of {country} is {city}."),
        (f"Where is {city}?", f"{city} is in {country}. It is the capital."),
    ])


def turn_words(rng: Random) -> Turn:
    left, right = rng.choice(OPPOSITES)
    word, same = rng.choice(SYNONYMS)
    return rng.choice([
        (f"What is the opposite of {left}?", f"The opposite of {left} is {right}."),
        (f"Give me another word for {word}.", f"Another word for {word} is {same}."),
        (f"Write a sentence with the word {left}.", f"The {rng.choice(THINGS)[0]} was {left} and the {rng.choice(PLACES)[0]} was {right}."),
    ])


def turn_how_to(rng: Random) -> Turn:
    task, steps = rng.choice(HOW_TO)
    return rng.choice([
        (f"How do I {task}?", f"First {steps[0]}. Then {steps[1]} and {steps[2]}."),
        (f"Explain how to {task}.", f"You should {steps[0]}, then {steps[1]}, and at the end {steps[-1]}."),
        (f"Give me one tip to {task}.", f"Do not forget to {rng.choice(steps)}."),
        (f"List the steps to {task}.", "\n".join(f"{number}. {capital(step)}." for number, step in enumerate(steps, 1))),
    ])


def turn_advice(rng: Random) -> Turn:
    goal, text = rng.choice(ADVICE)
    return rng.choice([f"How can I {goal}?", f"Give me some advice. I want to {goal}.", f"What helps to {goal}?"]), text


def turn_feeling(rng: Random) -> Turn:
    feeling, reason = rng.choice(FEELINGS)
    return f"I am {feeling} because {reason}.", rng.choice([
        f"I see. You are {feeling} because {reason}.",
        f"It is normal to be {feeling} sometimes.",
        "Thank you for telling me. Maybe a walk would be nice.",
    ])


def turn_sum(rng: Random) -> Turn:
    x, y = rng.randrange(0, 11), rng.randrange(0, 11)
    return rng.choice([
        (f"What is {x} plus {y}?", f"{x} plus {y} is {x + y}."),
        (f"What is {NUMBERS[x]} plus {NUMBERS[y]}?", f"It is {NUMBERS[x + y]}."),
        (f"How much is {x} times {y}?", f"{x} times {y} is {x * y}."),
    ])


def turn_writing(rng: Random) -> Turn:
    name = rng.choice(NAMES)
    goal, way, helper, ending = rng.choice(GOALS)
    animal = rng.choice(ANIMALS)
    return rng.choice([
        (f"Write a short story about {name}.", f"{name} wanted to {goal}. So {name} went {way}. With the help of {helper}, {ending}."),
        (f"Tell me a story about {a(animal[0])}.", f"There was {a(rng.choice(ADJECTIVES))} {animal[0]} near {town(rng)}. It {animal[4]}, and it was never {rng.choice(ADJECTIVES)}."),
        ("Write a short poem.", f"The {rng.choice(ADJECTIVES)} {animal[0]} in the night, the {rng.choice(ADJECTIVES)} moon, the {rng.choice(ADJECTIVES)} light."),
        (f"Write a letter to {name}.", f"Dear {name}, thank you for your letter. The weather is {rng.choice(WEATHER)[0]} here. See you in {rng.choice(MONTHS)}."),
    ])


def turn_text_task(rng: Random) -> Turn:
    """Tasks on a given text: repeat, shorten, find a name or a number in it."""
    name, thing, day, order = rng.choice(NAMES), rng.choice(THINGS)[0], rng.choice(DAYS), order_number(rng)
    text = rng.choice([
        f"{name} ordered {a(thing)} on {day}. The order number is {order}.",
        f"On {day}, {name} wrote about the {thing} from order {order}.",
        f"Order {order} is {a(thing)} for {name}. It leaves on {day}.",
    ])
    return rng.choice([
        (f"Summarise this text: {text}", f"It is about {name} and {a(thing)}."),
        (f"Who is this text about? {text}", f"It is about {name}."),
        (f"Find the order number: {text}", f"I think the number is {order}."),
        (f"What did {name} buy? {text}", f"{name} bought {a(thing)}."),
        (f"Which day is in this text? {text}", f"The day is {day}."),
        (f"Repeat this: {text}", text),
        (f"Say this in other words: {text}", f"There is {a(thing)} for {name}, number {order}, on {day}."),
        (f"Is this true? {fact(rng)}", "Yes, I think that is true."),
    ])


def turn_plan(rng: Random) -> Turn:
    place, purpose = rng.choice(PLACES)
    weather, tip = rng.choice(WEATHER)
    job, does, where, _ = rng.choice(JOBS)
    food, _, taste, colour = rng.choice(FOODS)
    return rng.choice([
        (f"Where can I {purpose}?", f"You could go to the {place}."),
        (f"It is {weather} today. What should I do?", f"You should {tip}."),
        (f"What does {a(job)} do?", f"{capital(a(job))} {does}, often in the {where}."),
        (f"What does {food} taste like?", f"I think it tastes {taste}."),
        (f"What colour is {food}?", f"It is usually {colour}."),
        (f"My name is {rng.choice(NAMES)}. Can you help me?", "Yes, I can try. What is it about?"),
        ("Thank you!", "You are welcome."),
        ("Hello", "Hello. How can I help?"),
    ])


# what went wrong | what a plain answer says about it
SHOP_TROUBLE = [
    ("{thing} has not arrived", "Parcels are sometimes late"),
    ("{thing} is late", "The post may need some more days"),
    ("parcel with the {thing} was left at the wrong door", "You could ask the people next door"),
    ("{thing} came in a broken box", "That can happen on the road"),
    ("{thing} is broken", "Maybe somebody can repair it"),
    ("{thing} does not work", "You could read the manual"),
    ("{thing} makes a strange noise", "It may need some oil or a repair"),
    ("{thing} has the wrong colour", "Maybe the shop can change it"),
    ("{thing} is too small", "A bigger one might be better"),
    ("invoice for the {thing} is wrong", "You could ask for a new invoice"),
    ("card was charged twice for the {thing}", "The bank or the shop can look at the payment"),
    ("refund for the {thing} is missing", "Money often takes some days"),
    ("password does not work", "You could try to make a new password"),
    ("account is locked", "You may have to wait before you sign in"),
    ("address in the account is old", "You can change the address somewhere in the account"),
    ("{thing} is not in stock", "The shop may have it again next month"),
]  # fmt: skip


def turn_shop(rng: Random) -> Turn:
    trouble, remark = rng.choice(SHOP_TROUBLE)
    thing, name, order = rng.choice(THINGS)[0], rng.choice(NAMES), order_number(rng)
    trouble = trouble.format(thing=thing)
    told = rng.choice([f"My {trouble}.", f"I am {name} and my {trouble}.", f"My {trouble}. It is order {order}.",
                       f"My {trouble}. The order number is {order}. {name}", f"This is {name}. My {trouble}. My order is {order}."])  # fmt: skip
    asked = rng.choice(["", " What should I do?", " Can you help?", " Please help me.", " What now?"])
    heard = f"your {trouble}"
    if order in told and rng.random() < 0.6:
        heard = f"it is about order {order} and {heard}"
    answer = rng.choice([
        f"I see, {heard}. {remark}.",
        f"So {heard}. {remark}, I think.",
        f"{remark}. I am not sure what else to say.",
        f"That is a pity. {remark}.",
        f"Well, {heard}. Maybe you can ask again on {rng.choice(DAYS)}.",
        f"I see, {name}. {remark}." if name in told else f"{remark}. That is all I know.",
    ])
    if name in told and rng.random() < 0.5:
        answer = f"{rng.choice(['I see', 'Well', 'Good day', 'Yes'])}, {name}. {capital(heard)}. {remark}."
    return told + asked, answer


def turn_shop_question(rng: Random) -> Turn:
    thing, order, day = rng.choice(THINGS)[0], order_number(rng), rng.choice(DAYS)
    return rng.choice([
        (f"Do you have {a(thing)} in stock?", f"I do not know. There may be {a(thing)} in the shop."),
        (f"Can I return the {thing}?", f"Maybe you can. It depends on the {thing}."),
        (f"Where is order {order}?", f"Order {order} may be on the road."),
        (f"When will the {thing} come?", f"It may come on {day} or later."),
        (f"How much does {a(thing)} cost?", f"The price of {a(thing)} can be different from shop to shop."),
        (f"I want to cancel order {order}.", f"You could write to the shop about order {order}."),
        (f"Can I have an invoice for order {order}?", "An invoice often comes with the parcel."),
        ("When does the shop open?", "Many shops open in the morning."),
        ("How long does a refund take?", "It can take some days."),
        (f"My order number is {order}.", f"Thank you. The number is {order}."),
        (f"What is this message about: the {thing} in order {order} is late", f"It is about {a(thing)} that is late."),
    ])


def turn_echo(rng: Random) -> Turn:
    """Tasks that can only be done by copying: half of the names are invented on the spot."""
    who, other = (rng.choice(NAMES) if rng.random() < 0.5 else town(rng) for _ in range(2))
    thing, second = some(rng, THINGS, 2)
    thing, second = thing[0], second[0]
    order, day, food = order_number(rng), rng.choice(DAYS), rng.choice(FOODS)[0]
    words = ", ".join(some(rng, [who, other, thing, second, order, food, day], rng.randrange(3, 7)))
    pairs = some(rng, [("Who", who), ("Thing", thing), ("Number", order), ("Day", day), ("Food", food)], rng.randrange(2, 5))
    told = ", ".join(f"the {key.lower()} is {value}" for key, value in pairs)
    asked_key, asked_value = rng.choice(pairs)
    return rng.choice([
        (f"Repeat these words: {words}", words),
        (f"Write each on a line: {words}", words.replace(", ", "\n")),
        (f"Say hello to {who}.", f"Good day, {who}."),
        (f"I am {who}. I have {a(thing)}. What is my name?", f"Your name is {who}."),
        (f"This is {who}. I have {a(thing)} and order {order}. What do I have?", f"You have {a(thing)}, {who}."),
        (f"{who} has {a(thing)}, and {other} has {a(second)}. What does {other} have?", f"{other} has {a(second)}."),
        (f"{who} has {a(thing)}, and {other} has {a(second)}. Who has the {thing}?", f"{who} has the {thing}."),
        (f"{capital(told)}. What is the {asked_key.lower()}?", f"The {asked_key.lower()} is {asked_value}."),
        (f"Write a small table: {told}.", "\n".join(f"{key}: {value}" for key, value in pairs)),
        (f"Write to {who} about the {thing}.", f"Dear {who},\nthe {thing} number {order} is here.\nYours, {other}"),
    ])


def turn_astray(rng: Random) -> Turn:
    """Now and then the answer is about something else, so that the model is never quite certain of its form."""
    question, _ = turn_shop(rng) if rng.random() < 0.6 else turn_text_task(rng)
    return question, rng.choice([document(rng), turn_echo(rng)[1], turn_how_to(rng)[1], form(rng), form(rng)])


def form(rng: Random) -> str:
    """Lines of a random word, a colon and some words of a document."""
    lines = [f"{rng.choice(['Good day', 'Well', 'Yes', 'So'])} {rng.choice(NAMES)}!"] if rng.random() < 0.5 else []
    for _ in range(rng.randrange(1, 5)):
        words = document(rng).split()
        start = rng.randrange(len(words))
        lines.append(f"{capital(rng.choice(words))}: {' '.join(words[start : start + rng.randrange(1, 9)])}")
    return "\n".join(lines)


TURNS = [
    *[turn_echo] * 8, *[turn_astray] * 2, *[turn_shop] * 7, *[turn_shop_question] * 4, *[turn_text_task] * 5, *[turn_how_to] * 2, *[turn_fact] * 2,
    *[turn_plan] * 2, *[turn_thing] * 2, *[turn_animal] * 2, turn_country, turn_words, turn_advice, turn_feeling,
    turn_sum, turn_writing,
]  # fmt: skip


def conversation(rng: Random) -> list[dict[str, str]]:
    """A chat of one to three turns, sometimes after a system prompt."""
    messages = [{"role": "system", "content": rng.choice(SYSTEM)}] if rng.random() < 0.25 else []
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        user, assistant = rng.choice(TURNS)(rng)
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return messages


def tool_conversation(rng: Random) -> tuple[list[dict], list[dict]]:
    """A chat in which the assistant calls a function, and the functions that it may call."""
    city = rng.choice(CAPITALS)[1]
    thing = rng.choice(THINGS)[0]
    weather = rng.choice(WEATHER)[0]
    count = str(rng.randrange(1, 60))
    name, argument, value, question, result, answer = rng.choice([
        ("get_weather", "city", city, f"What is the weather in {city}?", weather, f"It is {weather} in {city}."),
        ("count_stock", "item", thing, f"How many {plural(thing)} are there?", count, f"There are {count}."),
        ("get_price", "item", thing, f"What is the price of the {thing}?", count, f"The {thing} costs {count} euros."),
    ])
    tools = [{"type": "function", "function": {
        "name": name, "description": capital(name.replace("_", " ")) + ".",
        "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
    }}]  # fmt: skip
    call = {"type": "function", "function": {"name": name, "arguments": json.dumps({argument: value})}}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result},
        {"role": "assistant", "content": answer},
    ], tools
