"""What is wrong with one text: characters, HTML, secrets; and what is wrong with an answer as an answer."""

import re
import zlib
from collections import Counter
from functools import cache
from importlib import resources

from finetui_core.data.check.encoding import (
    control_place,
    invisible_place,
    may_be_damaged,
    may_hide,
    mojibake_places,
)
from finetui_core.data.check.excerpts import excerpt
from finetui_core.data.check.findings import Hit
from finetui_core.data.check.personal import accounts_in, emails_in, ip_addresses_in
from finetui_core.data.check.secrets import Place, begins_secret, clear_places, secrets_in
from finetui_core.data.check.traces import digits_of, traces_of

CODE = re.compile(r"(?:```|~~~).*?(?:```|~~~|\Z)|`[^`\n]+`", re.DOTALL)


def text_hits(text: str, path: str, role: str, *, secrets: bool = True) -> list[Hit]:
    """Every fault of one text of a row, at most one hit of each rule, of each kind for secrets and personal data.

    Sound text passes a few searches for a character and nothing more. `secrets` is False where
    `may_hold_secret` has ruled them out for the whole row.
    """
    hits: list[Hit] = []
    utf8 = text.encode("utf-8", "surrogatepass")
    traces = traces_of(utf8)
    hides = len(utf8) > len(text) and may_hide(utf8)
    if (hides or "\0" in traces) and (place := control_place(text)) is not None:
        hits.append(Hit("terminal_control", path, excerpt(text, place)))
    if hides and (place := invisible_place(text)) is not None:
        hits.append(Hit("invisible_characters", path, excerpt(text, place)))
    if len(utf8) > len(text):
        if may_be_damaged(utf8) and (runs := mojibake_places(text)):
            hits.append(Hit("mojibake", path, excerpt(text, runs[0][0])))
        if "\ufffd" in text:
            hits.append(Hit("replacement_character", path, excerpt(text, text.index("\ufffd"))))
    if ("<" in traces or "&" in traces) and (found := html_place(text)) is not None:
        hits.append(Hit("html_leftovers", path, excerpt(text, found)))
    if secrets and begins_secret(traces, text):
        hits += _masked_hits("secret", text, path, secrets_in(text))
    if "@" in traces or "0000" in traces or "0.0" in traces:
        hits += _masked_hits("personal_data", text, path, _personal_in(text, digits_of(utf8)))
    return hits


def _personal_in(text: str, digits: str) -> list[Place]:
    places = list(emails_in(text))
    if "0000" in digits:
        places += accounts_in(text)
    if "0.0" in digits:
        places += ip_addresses_in(text)
    return list(clear_places(places))


def _masked_hits(rule: str, text: str, path: str, places: list[Place]) -> list[Hit]:
    first: dict[str, Place] = {}
    for place in places:
        first.setdefault(place.kind, place)
    return [Hit(rule, path, excerpt(text, place.start)) for place in first.values()]


# HTML

_TAG = re.compile(
    r"</?(?:p|br|hr|div|span|font|center|table|tbody|thead|tr|td|th|ul|ol|li|h[1-6]|strong|em|b|i|u|s|strike|blockquote"
    r"|pre|section|article|header|footer|nav|figure|figcaption|small|tt|nobr)\s*/?>"
    r"|<(?:p|div|span|font|table|tr|td|th|ul|ol|li|h[1-6]|img|iframe|script|style|link|meta|input|button|form|section"
    r"|article|blockquote|pre|body|br|hr|a)\s+[a-z-]{2,20}\s*=\s*[\"'\w][^<>]*>"
    r"|</(?:a|body|html|script|style|iframe|button|form)>"
    r"|&(?:nbsp|amp|lt|gt|quot|apos|ndash|mdash|hellip|[lr]squo|[lr]dquo|bull|middot|copy|reg|trade|euro|laquo|raquo"
    r"|[aeiouAEIOU](?:acute|grave|circ|uml)|[nN]tilde|[cC]cedil|szlig|shy|deg|times|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});",
    re.IGNORECASE,
)
_MARKUP_MEANT = re.compile(
    r"<!DOCTYPE|<html\b|<\?xml|<svg\b|</?[a-z]+:[a-z]|\bxmlns\b|\b(?:x?html5?|xml|markup|css|jsx|svg|entit(?:y|ies)|tags?|elements?"
    r"|escap\w+|javascript|react|angular|vue|jquery|web ?page|website|balise|etikett)\b",
    re.IGNORECASE,
)
_TABLE_LINE = re.compile(r"^[ \t]*\|.*$", re.MULTILINE)


def html_place(text: str) -> int | None:
    """Where a tag or an entity stands that is left over: outside code and table cells, in a text that is not
    about markup."""
    found = _TAG.search(text)
    if found is None or _MARKUP_MEANT.search(text):
        return None
    for pattern in (CODE, _TABLE_LINE):
        text = pattern.sub(lambda part: " " * len(part[0]), text)
    found = _TAG.search(text)
    return found.start() if found else None


# Answers


def answer_hits(text: str, path: str) -> list[Hit]:
    """What is wrong with an answer: a stock refusal, a missing end, the same words again and again."""
    hits = []
    if (place := refusal_place(text)) is not None:
        hits.append(Hit("refusal", path, excerpt(text, place)))
    if (place := repetition_place(text)) is not None:
        hits.append(Hit("repetition", path, excerpt(text, place)))
    elif (place := cut_off_place(text)) is not None:
        hits.append(Hit("cut_off", path, excerpt(text, max(0, place - 50))))
    return hits


_REFUSES_WITHIN = 200
_REFUSAL_SIGNS = (
    "not",
    "n't",
    "unable",
    "decline",
    "refuse",
    "for me to",
    "nicht",
    "je ne",
    "no puedo",
    "non posso",
)
_OTHER_REFUSAL_SIGNS = ("не могу", "无法", "不能", "できません", "要望", "없습니다", "não posso", "langage")
"""Each phrase holds one of the first; one that is not all ASCII one of the second."""

_LEADS_ON = re.compile(
    r"(?:[.!?:;,…。，！\n*]|\b(?:but|sorry|however|unfortunately|apologi[sz]e|afraid|and|aber|leider|mais|désolée?|pero|mas|ma|но))\s*\Z"
)


@cache
def refusal_phrases() -> tuple[str, ...]:
    """The phrases of refusals.txt."""
    lines = resources.files(__package__).joinpath("refusals.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def _refusals(plain: bool) -> dict[str, list[str]]:
    """The phrases that are all ASCII, or the others, by their first words, so that most are ruled out together."""
    groups: dict[str, list[str]] = {}
    for phrase in refusal_phrases():
        if phrase.isascii() == plain:
            groups.setdefault(" ".join(phrase.split()[:2])[:10], []).append(phrase)
    return groups


def refusal_place(text: str) -> int | None:
    """Where a stock refusal stands among the first characters, at the beginning of a sentence."""
    head = text[:_REFUSES_WITHIN].lower()
    if head.isascii():
        return _refusal_in(head, _REFUSAL_SIGNS, True)
    head = head.replace("’", "'").replace("，", ",")
    place = _refusal_in(head, _REFUSAL_SIGNS, True)
    return _refusal_in(head, _OTHER_REFUSAL_SIGNS, False) if place is None else place


def _refusal_in(head: str, signs: tuple[str, ...], plain: bool) -> int | None:
    for sign in signs:
        if sign in head:
            break
    else:
        return None
    for start, phrases in _refusals(plain).items():
        if start in head:
            for phrase in phrases:
                place = head.find(phrase)
                if place >= 0 and _begins_a_sentence(head, place):
                    return place
    return None


def _begins_a_sentence(text: str, place: int) -> bool:
    """Whether a sentence of the writer begins at a place: not one that somebody in quotation marks says."""
    if text.count('"', 0, place) % 2 or text.count("“", 0, place) > text.count("”", 0, place):
        return False
    return not text[:place].strip() or _LEADS_ON.search(text, 0, place) is not None


_SENTENCE_ENDS = ".!?…。！？．؟।॥։"
_AFTER_SENTENCE = "\"'”’»)*_` "
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_LIST_LINE = re.compile(
    r"\s*(?:[-*+•‣◦–—>#|]|\(?\w{1,3}[.)]\s|[A-ZÄÖÜÉ][\w /&'-]{0,30}:)|\s{4}|.*[;{}=<>\\_]"
)
_UNFINISHED = re.compile(
    r"(?:,|\b(?:and|or|but|because|the|a|an|of|with|which|that|if|when|while|for|to|as|from|into|by|is|are|was|were"
    r"|und|oder|aber|weil|der|die|das|ein|eine|mit|für|von|et|ou|mais|parce|que|le|la|les|un|une|de|des|pour|avec"
    r"|y|o|pero|porque|el|los|las|con|para|e|mas|uma|com|и|или|но|что|в|на|с))\Z"
)
_FAREWELL = re.compile(
    r"regards|sincerely|yours|truly|love|wishes|thanks|thank you|respectfully|cheers|grüße|cordialement|atentamente"
    r"|saludos|abraços|уважением",
    re.IGNORECASE,
)
_SAID_BY = re.compile(r"[\"'”’»][ ]*[-–—~][ ]*\w[\w. ]{1,40}\Z")
_SENTENCE_END = re.compile(rf"[{_SENTENCE_ENDS}][\"'”’»)*_]{{0,3}}(?=\s)")
_EMOTICON = re.compile(r"[:;=][-^']?[(\[{]")
_SHORT = 40
_LAST_WORDS = 4
_PLAIN_LINES = 0.4  # share of lines without punctuation at their end that makes a text verse, or a list


def cut_off_place(text: str) -> int | None:
    """Where an answer ends too early: inside a fence of code, a bracket, a sentence. Lists, headings, verses,
    code, labels and other short answers end without a full stop and are left out."""
    sound = text.rstrip()
    end = len(sound)
    if "`" in sound and len(_FENCE.findall(sound)) % 2:
        return end
    last = sound[-1:]
    if end < _SHORT or last in _SENTENCE_ENDS or "```" in sound[-3:]:
        return None
    if last in "}])" and sound[0] in "{[":
        return None
    if not last.isalnum() and last not in ",(-":
        return end if sound[0] in "{[" and last in "\"'}]:" and _open_brackets(sound) > 0 else None
    return end if _breaks_off(sound) else None


_FENCE = re.compile(r"^[ \t>]*(?:[-*+]|\d+\.)?[ \t]*```", re.MULTILINE)


def _open_brackets(text: str) -> int:
    return sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))


def _breaks_off(text: str) -> bool:
    if text[0] in "{[" and _open_brackets(text) > 0:
        return True
    *lines, line = text.splitlines()
    words = line.split()
    if len(words) < _LAST_WORDS or _LIST_LINE.match(line) or _UNSPACED.match(text[-1]):
        return False
    if any(sign in words[-1] for sign in "/.@"):
        return False
    if _open_brackets(_EMOTICON.sub("", CODE.sub("", line))) > 0:
        return True
    if text[-1].isdigit() or _FAREWELL.search(line) or _SAID_BY.search(line):
        return False
    lines = [line.rstrip() for line in lines if line.strip()]
    plain = sum(line[-1].isalpha() or line[-1] == "," for line in lines)
    if plain > _PLAIN_LINES * len(lines):
        return False
    return bool(_UNFINISHED.search(line)) or len(_SENTENCE_END.findall(text)) >= 2


# Repetition, after Rae et al. 2021 (Gopher, arXiv 2112.11446, table A1): the share of the characters that the most
# frequent n-gram takes. Their limits are for web pages; answers are shorter, so the limit here is higher, and the
# text must also be as easy to compress as a loop is.
_LOOP_LENGTH = 120
_LONG = 1000
_PROBE = 14
_READ = 20_000
_NGRAMS = (1, 2, 3, 4, 6, 8, 12, 16)
_TOP_SHARE = 0.4
_RATIO = 0.3


_BLOCK = re.compile(r"```.*?```", re.DOTALL)


def repetition_place(text: str) -> int | None:
    """Where the words begin that an answer repeats. A piece from its middle is looked for first, of a long
    answer one from its end too: a loop that takes a large share of the text has one of them again and again."""
    length = len(text)
    if length < _LOOP_LENGTH:
        return None
    middle = length // 2
    if text.find(text[middle : middle + _PROBE], middle + _PROBE) > 0:
        return _loop_place(text, max(0, middle - _READ))
    if length > _LONG and text.find(text[-_PROBE:], length - _LONG, length - _PROBE) > 0:
        return _loop_place(text, max(0, length - 2 * _READ))
    return None


def _loop_place(text: str, start: int) -> int | None:
    """Where the first word of the loop stands; `2 * _READ` characters from `start` are judged."""
    word = _looped_word(_BLOCK.sub("\n", text[start : start + 2 * _READ]))
    return None if word is None else max(0, text.find(word, start))


def _looped_word(text: str) -> str | None:
    raw = text.encode("utf-8", "surrogatepass")
    if len(text) < _LOOP_LENGTH or len(zlib.compress(raw, 6)) > _RATIO * len(raw):
        return None
    words = text.split()
    if len(words) * 20 < len(text):  # written without spaces, or one endless word
        words = list(text)
    for size in _NGRAMS:
        grams = Counter(zip(*(words[at:] for at in range(size)), strict=False))
        if not grams:
            return None
        gram, times = grams.most_common(1)[0]
        if times >= 4 and times * (sum(map(len, gram)) + size) >= _TOP_SHARE * len(text):
            return gram[0]
    return None
