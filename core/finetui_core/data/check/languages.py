"""The scripts of a text, and answers in another script than their question."""

import re
from bisect import bisect_right
from collections import Counter
from functools import cache

from finetui_core.data.check.excerpts import excerpt
from finetui_core.data.check.findings import Hit
from finetui_core.data.conversation import Conversation

READ = 1000
"""Characters of a text that are counted: its script shows long before."""

_RARE = 20
SURE_LETTERS = 80
_FEWEST_LETTERS = 6
_DIFFERENT = 0.8
"""Share of one script that an answer needs to be called written in it, and of another that the question needs."""

# The blocks of Unicode that hold the living scripts, as first character and name; "" where none is.
_BLOCKS = (
    (0x0000, ""), (0x0041, "Latin"), (0x005B, ""), (0x0061, "Latin"), (0x007B, ""), (0x00C0, "Latin"),
    (0x02B0, ""), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"), (0x0590, "Hebrew"),
    (0x0600, "Arabic"), (0x0700, ""), (0x0750, "Arabic"), (0x0780, ""), (0x08A0, "Arabic"),
    (0x0900, "Devanagari"), (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"),
    (0x0B00, "Odia"), (0x0B80, "Tamil"), (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"),
    (0x0D80, "Sinhala"), (0x0E00, "Thai"), (0x0E80, "Lao"), (0x0F00, "Tibetan"), (0x1000, "Burmese"),
    (0x10A0, "Georgian"), (0x1100, "Korean"), (0x1200, "Ethiopic"), (0x1400, ""), (0x1780, "Khmer"),
    (0x1800, "Mongolian"), (0x18B0, ""), (0x1C80, "Cyrillic"), (0x1CC0, ""), (0x1E00, "Latin"),
    (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Japanese"), (0x3100, "Chinese"), (0x3130, "Korean"),
    (0x3190, ""), (0x3400, "Chinese"), (0x4DC0, ""), (0x4E00, "Chinese"), (0xA000, ""), (0xAC00, "Korean"),
    (0xD7B0, ""), (0xF900, "Chinese"), (0xFB00, "Latin"), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"),
    (0xFE00, ""), (0xFE70, "Arabic"), (0xFF00, ""), (0xFF21, "Latin"), (0xFF3B, ""), (0xFF66, "Japanese"),
    (0xFFA0, ""), (0x20000, "Chinese"), (0x40000, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_NO_LETTERS = bytes(
    code for code in range(256) if not (chr(code).isalpha() and (code < 0x80 or code >= 0xC0))
)
_BEYOND = re.compile("[^\x00-\xff]+")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+", re.DOTALL)


def scripts_of(text: str) -> Counter[str]:
    """The letters by script among the first of `text`. Han characters beside kana count as Japanese; what is not
    Latin is left out where it is as rare as the quotation marks of a Latin text."""
    text = text[:READ]
    western = text.encode("latin-1", "ignore")
    latin = len(western.translate(None, _NO_LETTERS))
    counts = Counter({"Latin": latin} if latin else {})
    if (len(text) - len(western)) * _RARE <= latin:
        return counts
    for char, times in Counter("".join(_BEYOND.findall(text))).items():
        if script := _script(char):
            counts[script] += times
    if "Japanese" in counts and counts["Japanese"] * 10 >= counts["Chinese"]:
        counts["Japanese"] += counts.pop("Chinese", 0)
    return counts


@cache
def _script(char: str) -> str:
    return _BLOCKS[bisect_right(_STARTS, ord(char)) - 1][1]


def language_hits(row: Conversation) -> list[Hit]:
    """Answers in a clearly different script than the question before them, code and addresses aside. A question
    that asks for a translation, or names a language, asks for it."""
    if all(message.content.isascii() for message in row.messages):
        return []
    hits = []
    system = first = question = ""
    for index, message in enumerate(row.messages):
        if message.role == "system":
            system = message.content
        elif message.role == "user":
            question = message.content
            first = first or question
        elif message.role == "assistant" and _differ(question, message.content):
            if any(_LANGUAGE_NAMED.search(text) for text in (system, first, question)):
                continue
            path = f"$.messages[{index}].content"
            hits.append(Hit("language_mismatch", path, excerpt(message.content, 0)))
    return hits


def _beyond_latin(text: str) -> bool:
    """Whether a text has more characters outside Latin-1 than quotation marks and dashes explain."""
    return not text.isascii() and (len(text) - len(text.encode("latin-1", "ignore"))) * _RARE > len(text)


def _differ(question: str, answer: str) -> bool:
    if not _beyond_latin(question) and not _beyond_latin(answer):
        return False
    asked, answered = scripts_of(_CODE.sub(" ", question)), scripts_of(_CODE.sub(" ", answer))
    letters = min(asked.total(), answered.total())
    if letters < _FEWEST_LETTERS:
        return False
    (was, _), (now, many) = asked.most_common(1)[0], answered.most_common(1)[0]
    if was == now or {was, now} == {"Chinese", "Japanese"}:
        return False
    clear = _DIFFERENT if letters >= SURE_LETTERS else (1 + _DIFFERENT) / 2
    return many >= clear * answered.total() and asked[was] >= clear * asked.total()


_LANGUAGE_NAMED = re.compile(
    r"translat|transliterat|romaniz|translit|language|übersetz|sprache|tradu[icz]|idioma|langue|lingua|vertaal"
    r"|перев[оеё]д|язык|翻[译譯訳]|[译譯訳]成|[中英日法德俄韩韓西]文|[中英日法德俄韩韓]语|語で|语言|語言"
    r"|번역|[가-힣]+어로|ترجم|به زبان|باللغة"
    r"|अनुवाद|भाषा|तर्जुमा|μετάφρα|μεταφρά|γλώσσα|תרגם|תרגום|แปล|dịch|çevir|tłumacz"
    r"|\b(?:english|chinese|mandarin|cantonese|japanese|korean|russian|ukrainian|greek|arabic|hebrew|persian|farsi"
    r"|hindi|urdu|bengali|tamil|telugu|thai|french|german|spanish|italian|portuguese|bulgarian|serbian|marathi"
    r"|punjabi|gujarati|georgian|armenian|vietnamese|turkish|polish|dutch|swedish|cyrillic|kanji|hiragana|katakana"
    r"|hangul|pinyin|anglais|französisch|englisch|deutsch|russisch|chinesisch|japanisch|inglés|ruso|chino)\b"
    r"|англий|немец|француз|китай|испан|итальян|по-русски|на русск",
    re.IGNORECASE,
)
