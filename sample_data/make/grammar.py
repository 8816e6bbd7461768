"""Small pieces of generated English: articles, plurals, invented names, numbers and times."""

from random import Random

from words import ENDS, MIDDLES, NUMBERS, STARTS


def a(noun: str) -> str:
    """The noun with the article that fits it."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def plural(noun: str) -> str:
    """The plural of a regular noun."""
    irregular = {"mouse": "mice", "sheep": "sheep", "deer": "deer", "fish": "fish", "salmon": "salmon",
                 "trout": "trout", "wolf": "wolves", "knife": "knives", "shelf": "shelves", "cherry": "cherries",
                 "strawberry": "strawberries", "toy": "toys", "key": "keys"}  # fmt: skip
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("s", "x", "ch", "sh")) or noun in ("tomato", "potato"):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def town(rng: Random) -> str:
    """A place name that exists nowhere else."""
    return rng.choice(STARTS) + rng.choice(MIDDLES) + rng.choice(ENDS)


def order_number(rng: Random) -> str:
    """Four digits, as shops print them."""
    return str(rng.randrange(1000, 10000))


def clock_time(rng: Random) -> str:
    """A time of day in words or digits."""
    if rng.random() < 0.5:
        return f"{rng.randrange(6, 22)}:{rng.choice(['00', '15', '30', '45'])}"
    return f"{rng.choice(['half past', 'a quarter past', 'almost', 'just after'])} {rng.choice(NUMBERS[2:12])}"


def some(rng: Random, items: list, count: int) -> list:
    """`count` different items in random order."""
    pool = list(items)
    rng.shuffle(pool)
    return pool[:count]
