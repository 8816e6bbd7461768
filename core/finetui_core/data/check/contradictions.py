"""Whether two answers to one prompt contradict each other. Answers that merely differ are right: they may vary."""

import re
from collections import Counter
from collections.abc import Set
from typing import Literal

Reason = Literal["yes or no", "number", "label", "opposite"]
REASONS: tuple[Reason, ...] = ("yes or no", "number", "label", "opposite")
"""The surest first."""

_VARIETY = re.compile(
    r"\b(?:random(?:ly)?|suggest|generate|invent|make up|compose|brainstorm|imagine|pretend|guess|roll|flip|"
    r"(?:pick|choose|name|tell me|give me|write|create|show me|provide|come up with|think of|list) "
    r"(?:me )?(?:a|an|any|one|some|another|several)|an? example|examples? of|your favou?rite|play)\b",
    re.IGNORECASE,
)
_POLARITY = re.compile(
    r"\W*(?:(yes|yeah|yep|true|correct|ja|oui|sí|sì|si|да|是|对)|(no|nope|false|incorrect|wrong|nein|non|нет|否|不是|不对))"
    r"(?=\W*$|\s*[,.;:!。，！—–\n]|\s+-|\s+(?:it|that|this|you|they|he|she|we|i|there|the)\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d])\s*([%°$€£]?[^\W\d_]*)")
_FINAL = re.compile(
    r"(?:####\s*|\\boxed\{\s*|\banswer(?: is|:)\s*\**\s*)\$?([-−]?\d+(?:,\d{3})*(?:\.\d+)?)", re.IGNORECASE
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|far|tall|high|deep|fast|heavy|often|big|large|wide)\b|"
    r"\b(?:what|which|in what|in which) (?:year|number|percentage|age|temperature|distance|date|population)\b|"
    r"\b(?:when|calculate|compute|solve|evaluate|count|sum|product|average|square root|number of)\b|"
    r"\d\s*[-+*/×÷^x]\s*\d",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"\s*(?i:(?:the )?(?:answer|option)(?: is)?:?\s*)?\(?([A-Ea-e])(?:\)|[.:)](?=\s)|\.?\s*$)"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SPELT_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_SPELT_NUMBERS.split())}
_SPELT = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_SHORT, _LONGEST = 14, 80  # words
_NEGATIONS = frozenset({"not", "no", "never", "neither", "nor", "without"})
_OPPOSITE_WORDS = (
    "true/false yes/no right/wrong correct/incorrect increase/decrease increases/decreases increased/decreased "
    "rise/fall rises/falls higher/lower high/low more/less most/least always/never before/after above/below "
    "up/down left/right open/closed opens/closes on/off allowed/forbidden allowed/prohibited safe/dangerous "
    "positive/negative good/bad better/worse best/worst hot/cold warm/cold fast/slow faster/slower "
    "larger/smaller bigger/smaller big/small longer/shorter long/short early/late earlier/later first/last "
    "odd/even enable/disable enabled/disabled enables/disables accept/reject accepted/rejected pass/fail "
    "passed/failed win/lose won/lost buy/sell hard/easy hard/soft legal/illegal male/female north/south "
    "east/west alive/dead old/new old/young full/empty everyone/nobody all/none everything/nothing "
    "minimum/maximum internal/external import/export public/private guilty/innocent"
)
_OPPOSITES = frozenset(frozenset(pair.split("/")) for pair in _OPPOSITE_WORDS.split())
_NEGATING_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non")


def contradiction(prompt: str, first: str, second: str, labels: Set[str] = frozenset()) -> Reason | None:
    """Why two answers to one prompt cannot both be right, or None. `labels` are the answers of a labelled set.

    Prompts that ask for something of the answerer's choice (a random number, a suggestion) allow any answer.
    """
    if first.strip().casefold() == second.strip().casefold() or _VARIETY.search(prompt[-2000:]):
        return None
    if first.strip() in labels and second.strip() in labels:
        return "label"
    if _polarity(first) and _polarity(second):
        return "yes or no" if _polarity(first) != _polarity(second) else None
    if _numbers_differ(prompt, first, second):
        return "number"
    ours, theirs = _OPTION.match(first), _OPTION.match(second)
    if ours and theirs and ours[1].casefold() != theirs[1].casefold():
        return "label"
    return "opposite" if _opposed(first, second) else None


def _polarity(answer: str) -> str:
    found = _POLARITY.match(answer)
    return "" if not found else "yes" if found[1] else "no"


def _numbers_differ(prompt: str, first: str, second: str) -> bool:
    ours, theirs = _FINAL.findall(first), _FINAL.findall(second)
    if ours and theirs:
        return not _equal(ours[-1], theirs[-1])
    first, second = _digits(first), _digits(second)
    some, others = list(_NUMBER.finditer(first)), list(_NUMBER.finditer(second))
    if not some or len(some) != len(others):
        return False
    if all(_equal(a[0], b[0]) for a, b in zip(some, others, strict=True)):
        return False
    if any(a[1] and b[1] and a[1].casefold() != b[1].casefold() for a, b in zip(some, others, strict=True)):
        return False
    ours, theirs = _words(_NUMBER.sub(" ", first)), _words(_NUMBER.sub(" ", second))
    if ours == theirs:
        return True
    short = len(ours) <= _SHORT and len(theirs) <= _SHORT
    return short and len(some) == 1 and bool(_ASKS_NUMBER.search(prompt[-2000:]))


def _digits(text: str) -> str:
    return _SPELT.sub(lambda found: _NUMBER_WORDS[found[0].lower()], text)


def _equal(first: str, second: str) -> bool:
    """Whether two numbers are the same, or one is the other rounded."""
    ours, theirs = _plain(first), _plain(second)
    places = min(len(number.partition(".")[2]) for number in (ours, theirs))
    a, b = float(ours), float(theirs)
    return a == b or (places > 0 and round(a, places) == round(b, places))


def _plain(number: str) -> str:
    found = re.search(r"[-−]?\d[\d,]*(?:\.\d+)?", number)
    return found[0].replace(",", "").replace("−", "-") if found else "0"


def _opposed(first: str, second: str) -> bool:
    """Whether two answers are the same but for a "not", or for one word and its opposite."""
    ours, theirs = _words(first), _words(second)
    if max(len(ours), len(theirs)) > _LONGEST:
        return False
    lacking, added = (
        list((Counter(ours) - Counter(theirs)).elements()),
        list((Counter(theirs) - Counter(ours)).elements()),
    )
    if _NEGATIONS.intersection(lacking + added) and _same_but_for_negation(lacking, added):
        return True
    if len(lacking) != 1 or len(added) != 1:
        return False
    a, b = sorted((lacking[0], added[0]), key=len)
    return frozenset((a, b)) in _OPPOSITES or (
        len(a) > 3 and any(b == prefix + a for prefix in _NEGATING_PREFIXES)
    )


def _same_but_for_negation(first: list[str], second: list[str]) -> bool:
    """Whether nothing but one negation is left; "does not support" is "supports" negated."""
    ours, theirs = (Counter(word.removesuffix("s") for word in words) for words in (first, second))
    left = [*(ours - theirs).elements(), *(theirs - ours).elements()]
    return len([word for word in left if word not in ("do", "doe", "did")]) == 1


def _words(text: str) -> list[str]:
    """Words in lower case, contracted negations written out."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold().replace("’", "'")):
        if word in ("can't", "cannot"):
            words += ["can", "not"]
        elif word == "won't":
            words += ["will", "not"]
        elif word.endswith("n't"):
            words += [word[:-3], "not"]
        else:
            words.append(word)
    return words
