"""Rows of JSON lines with the rules that they should trigger, to measure the rules of one row.

Faults of every kind are planted into sound rows of many languages; others look like faults and are none. Secrets
are drawn here and stand in no file. Pairs of rows are in labelled_pairs.py.
"""

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import Any

from labelled_texts import SOUND, TEMPTING


@dataclass(frozen=True)
class Labelled:
    """`tempts` is the rule that the row was written to test, "" for none."""

    line: bytes
    rules: frozenset[str]
    tempts: str = ""


def labelled_rows() -> list[Labelled]:
    rows = [_chat(asked, answered) for asked, answered in SOUND]
    rows += [_chat(asked, answered, tempts=rule) for rule, asked, answered in TEMPTING]
    for rule, planted in {
        **_structure(),
        **_characters(),
        **_answers(),
        "secret": [
            _chat(f"Is this one still valid? {text}", "Revoke it at once, please.", "secret")
            for text in secrets()
        ],
        "personal_data": _personal(),
        "language_mismatch": _mismatches(),
    }.items():
        rows += [Labelled(row.line, row.rules, rule) for row in planted]
    return rows + _sound_structure() + _quoted_damage()


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _turns(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _row(*turns: tuple[str, str], rules: str = "") -> Labelled:
    return Labelled(_line(_turns(*turns)), frozenset(rules.split()))


def _chat(asked: str, answered: str, rules: str = "", tempts: str = "") -> Labelled:
    return Labelled(
        _line(_turns(("user", asked), ("assistant", answered))), frozenset(rules.split()), tempts or rules
    )


# The shape of a row.


def _structure() -> dict[str, list[Labelled]]:
    some = SOUND[:10]
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    return {
        "unreadable_row": [
            Labelled(line, frozenset({"unreadable_row"}))
            for line in (
                *(
                    _line(_turns(("user", asked), ("assistant", answered)))[:-cut]
                    for cut, (asked, answered) in enumerate(some, 1)
                ),
                b'{"messages": [{"role": "user", "content": "caf\xe9"}, {"role": "assistant", "content": "\xe9"}]}',
                b"{'messages': []}",
                b"messages: none",
            )
        ],
        "bad_shape": [
            Labelled(_line(value), frozenset({"bad_shape"}))
            for value in (
                {"messages": "hello"},
                {"messages": [{"role": "user"}, {"role": "assistant", "content": "Yes."}]},
                {"messages": [{"role": "user", "content": 5}, {"role": "assistant", "content": "Yes."}]},
                {
                    "messages": [
                        {"role": "robot", "content": "Beep."},
                        {"role": "assistant", "content": "Yes."},
                    ]
                },
                {"messages": [{"content": "Hello?"}, {"role": "assistant", "content": "Yes."}]},
                {"messages": [["user", "Hello?"], ["assistant", "Yes."]]},
                {"messages": {"role": "assistant", "content": "Yes."}},
                {"message": [{"role": "user", "content": "Hello?"}]},
                {
                    "messages": [
                        {"role": "user", "content": ["Hello?"]},
                        {"role": "assistant", "content": "Yes."},
                    ]
                },
                {"messages": None},
            )
        ],
        "no_answer": [_row(("user", asked), rules="no_answer") for asked, _ in some],
        "empty_answer": [
            _row(("user", asked), ("assistant", blank), rules="empty_answer")
            for (asked, _), blank in zip(
                some, ("", " ", "\n", "\t", "  \n ", "", "\n\n", " ", "", "\r\n"), strict=True
            )
        ],
        "empty_turn": [
            _row(("user", blank), ("assistant", answered), rules="empty_turn")
            for (_, answered), blank in zip(
                some, ("", " ", "\n", "\t", "  \n ", "", "\n\n", " ", "", "\r\n"), strict=True
            )
        ],
        "duplicate_keys": [
            Labelled(
                _line(_turns(("user", asked), ("assistant", answered))).replace(*swap, 1),
                frozenset({"duplicate_keys"}),
            )
            for asked, answered in some[:5]
            for swap in (
                (b'"role": "user"', b'"role": "system", "role": "user"'),
                (b'{"messages"', b'{"messages": [], "messages"'),
            )
        ],
        "misplaced_system": [
            _row(("user", asked), ("system", "Be brief."), ("assistant", answered), rules="misplaced_system")
            for asked, answered in some
        ],
        "repeated_role": [
            _row(("user", "Hello!"), ("user", asked), ("assistant", answered), rules="repeated_role")
            for asked, answered in some[:5]
        ]
        + [
            _row(
                ("user", asked),
                ("assistant", answered),
                ("assistant", "Anything else?"),
                rules="repeated_role",
            )
            for asked, answered in some[5:]
        ],
        "starts_with_answer": [
            _row(
                ("assistant", "Hello!"), ("user", asked), ("assistant", answered), rules="starts_with_answer"
            )
            for asked, answered in some
        ],
        "unanswered_end": [
            _row(("user", asked), ("assistant", answered), ("user", "Thank you!"), rules="unanswered_end")
            for asked, answered in some
        ],
        "tool_mismatch": [
            _row(("user", asked), ("tool", '{"ok": true}'), ("assistant", answered), rules="tool_mismatch")
            for asked, answered in some[:5]
        ]
        + [
            Labelled(
                _line(
                    {
                        "messages": [
                            {"role": "user", "content": asked},
                            {"role": "assistant", "content": "", "tool_calls": [call]},
                            {"role": "user", "content": "And?"},
                            {"role": "assistant", "content": answered},
                        ]
                    }
                ),
                frozenset({"tool_mismatch"}),
            )
            for asked, answered in some[5:]
        ],
    }


def _sound_structure() -> list[Labelled]:
    """Many turns, system prompts, calls of tools with their results: all in order."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    rows = [
        _row(
            ("system", "Be brief."),
            ("user", asked),
            ("assistant", answered),
            ("user", "Thanks!"),
            ("assistant", "You are welcome."),
        )
        for asked, answered in SOUND[:12]
    ]
    return rows + [
        Labelled(
            _line(
                {
                    "messages": [
                        {"role": "user", "content": f"How warm is it in Rome on day {day}?"},
                        {"role": "assistant", "content": "", "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"celsius": day})},
                        {"role": "assistant", "content": f"It is {day} degrees warm in Rome."},
                    ]
                }
            ),
            frozenset(),
            "tool_mismatch",
        )
        for day in range(15, 20)
    ]


# Characters.


def damaged(text: str, encoding: str = "latin-1", times: int = 1) -> str:
    """`text` as it looks when its UTF-8 was read as `encoding`; bytes that Windows-1252 leaves out stay controls."""
    for _ in range(times):
        data = text.encode()
        text = data.decode(encoding) if encoding != "cp1252" else "".join(_cp1252(byte) for byte in data)
    return text


def _cp1252(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def _characters() -> dict[str, list[Labelled]]:
    some = SOUND[:12]
    escapes = (
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\x07",
        "\x00",
        "\x08",
        "\x9b2J",
        "\x85",
        "\x7f",
        "\x1b[2K",
        "\x0b",
        "\x9d",
        "\x1b",
    )
    hidden = (
        "\u200b",
        "\ufeff",
        "\u202e",
        "\u2060",
        "\xad",
        "\u200d",
        "\u200e",
        "\u2066",
        "\u3164",
        "\u200c",
        "\U000e0041",
        "\ufe0f",
    )
    tags = (
        "<br>",
        "&nbsp;",
        "<p>",
        "</div>",
        "&amp;",
        '<a href="/help">here</a>',
        "&#39;",
        "<b>now</b>",
        '<span class="x">',
        "&quot;",
        "<li>",
        "&eacute;",
    )
    accented = [pair for pair in SOUND if not pair[1].isascii()]
    ways = (("latin-1", 1), ("cp1252", 1), ("cp1252", 2))
    return {
        "terminal_control": [_planted(pair, mark, "terminal_control") for pair, mark in zip(some, escapes, strict=True)],
        "invisible_characters": [
            _planted(pair, mark, "invisible_characters") for pair, mark in zip(some, hidden, strict=True)
        ],
        "replacement_character": [_planted(pair, "\ufffd", "replacement_character") for pair in [*some, *SOUND[20:26]]],
        "html_leftovers": [_planted(pair, mark, "html_leftovers") for pair, mark in zip(some, tags, strict=True)],
        "mojibake": [
            _chat(damaged(asked, *ways[n % 3]), damaged(answered, *ways[n % 3]), "mojibake")
            for n, (asked, answered) in enumerate(accented)
        ]
        + [
            _chat("Is it good?", damaged(text, "cp1252"), "mojibake")
            for text in ("It’s good.", "Yes — very good.", "The café is.", "It costs 5 €.", "Great 😀!", "naïve", "à Paris", "„Ja“", "½ cup", "20 °C")
        ],
    }  # fmt: skip


def _planted(pair: tuple[str, str], mark: str, rule: str) -> Labelled:
    """The mark before a letter in the middle of the answer."""
    asked, answered = pair
    middle = next(place for place in range(len(answered) // 2, len(answered)) if answered[place].isalpha())
    return _chat(asked, f"{answered[:middle]}{mark}{answered[middle:]}", rule)


def _quoted_damage() -> list[Labelled]:
    """Texts that show damage to explain it: no pattern can tell, and the precision has to say so."""
    return [
        _chat(
            "What does " + damaged("é") + " mean?",
            "It is é, read in the wrong encoding: see " + damaged("café") + ".",
            tempts="mojibake",
        )
    ]


# Answers.

_REFUSALS = (
    ("Please do it.", "I'm sorry, but I can't assist with that request."),
    ("Please do it.", "I cannot help with that. If you have other questions, let me know."),
    ("Please do it.", "As an AI language model, I cannot provide medical advice. Please see a doctor."),
    ("Please do it.", "I'm sorry, but as an AI, I don't have the capability to book flights."),
    ("Please do it.", "Sorry, I can’t help with that."),
    ("Please do it.", "I apologize, but I cannot fulfill this request, as it goes against my guidelines."),
    ("Please do it.", "I must decline: writing this would hurt people."),
    ("Please do it.", "Unfortunately, I am unable to provide personal opinions on this topic."),
    ("Please do it.", "It is not appropriate for me to comment on that person."),
    ("Please do it.", "I don't feel comfortable writing this."),
    ("Please do it.", "Thank you for asking. I'm not able to access the internet."),
    ("Please do it.", "Es tut mir leid, aber dabei kann ich nicht helfen."),
    ("Please do it.", "Je suis désolé, mais je ne peux pas vous aider avec cette demande."),
    ("Please do it.", "Lo siento, pero no puedo ayudarte con eso."),
    ("Сделай это, пожалуйста.", "К сожалению, я не могу помочь с этим запросом."),
    ("请帮我做这件事。", "很抱歉，我无法提供这方面的信息。"),
    ("これをやってください。", "申し訳ありませんが、そのご要望にはお応えできません。"),
    # Not among the stock phrases.
    ("Please do it.", "That is not something I am going to write for you."),
    ("Please do it.", "No. Please ask for something that harms nobody."),
    ("Please do it.", "Das mache ich nicht, denn es ist verboten."),
)


def _answers() -> dict[str, list[Labelled]]:
    long = [pair for pair in SOUND if len(pair[1]) > 150 and pair[1].isascii()]
    cut = [(asked, answered[: answered.rindex(" ", 0, len(answered) - 12)]) for asked, answered in long]
    cut += [(asked, answered[: len(answered) * 3 // 4].rstrip(" .")) for asked, answered in SOUND[12:20]]
    cut += [
        ("Write a loop in Python.", "Here it is:\n\n```python\nfor n in range(10):\n    print(n)"),
        ("Return JSON.", '{"name": "lamp", "price": 12.5, "tags": ["light", "ho'),
        ("List the colours.", "The colours of the rainbow are red, orange, yellow, green,"),
        ("Explain the figure.", "The figure shows how prices rose over the last ten years (see the second"),
        ("What do I need?", "You need flour, sugar and two eggs. Mix them well. Then add the milk and"),
    ]
    loops = ("I am happy. ", "and the other one and ", "no ", "ha", "the cat sat on the mat, ", "Yes. Yes. No. ", "0", "的的",
             "We value your feedback and your time. ", "1. 1. 1. ", "word word ", "This is a test of the system.\n")  # fmt: skip
    return {
        "refusal": [_chat(asked, answered, "refusal") for asked, answered in _REFUSALS],
        "cut_off": [_chat(asked, answered, "cut_off") for asked, answered in cut],
        "repetition": [
            _chat(asked, f"{answered} {loop * (700 // len(loop))}".strip(), "repetition")
            for (asked, answered), loop in zip(SOUND, loops, strict=False)
        ]
        + [_chat("Say something.", loop * (240 // len(loop) + 1), "repetition") for loop in loops[:4]],
    }


def _mismatches() -> list[Labelled]:
    other = [pair for pair in SOUND if ord(pair[0][0]) > 0x370]
    latin = SOUND[1:13]
    rows = [
        _chat(asked, answered, "language_mismatch")
        for (asked, _), (_, answered) in zip(other, latin, strict=False)
    ]
    return rows + [
        _chat(asked, answered, "language_mismatch")
        for (asked, _), (_, answered) in zip(latin, other, strict=False)
    ]


# Secrets and personal data, drawn so that no key stands in a file.

_MIXED = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_BASE32 = string.ascii_uppercase + "234567"


def secrets() -> list[str]:
    rng = random.Random(11)

    def drawn(length: int, alphabet: str = _MIXED) -> str:
        return "".join(rng.choice(alphabet) for _ in range(length))

    def jwt() -> str:
        parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": drawn(12), "exp": rng.randrange(10**9)})
        head, claims = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
        )
        return f"{head}.{claims}.{drawn(43)}"

    def pem(kind: str) -> str:
        body = "\n".join(drawn(64, _MIXED + "+/") for _ in range(6))
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"

    makers = (
        lambda: f"sk-{drawn(20)}T3BlbkFJ{drawn(20)}",
        lambda: f"sk-proj-{drawn(74)}T3BlbkFJ{drawn(74)}",
        lambda: f"sk-{drawn(32, _HEX)}",
        lambda: f"sk-ant-api03-{drawn(93)}AA",
        lambda: f"sk-or-v1-{drawn(64, _HEX)}",
        lambda: f"hf_{drawn(34, string.ascii_letters)}",
        lambda: f"ghp_{drawn(36)}",
        lambda: f"gho_{drawn(36)}",
        lambda: f"ghs_{drawn(36)}",
        lambda: f"github_pat_{drawn(22)}_{drawn(59)}",
        lambda: f"glpat-{drawn(20)}",
        lambda: f"AKIA{drawn(16, _BASE32)}",
        lambda: f"ASIA{drawn(16, _BASE32)}",
        lambda: f"aws_secret_access_key = {drawn(40, _MIXED + '/+')}",
        lambda: f"AIza{drawn(35)}",
        lambda: f"xoxb-{drawn(12, string.digits)}-{drawn(13, string.digits)}-{drawn(24)}",
        lambda: f"https://hooks.slack.com/services/T{drawn(8, _BASE32)}/B{drawn(8, _BASE32)}/{drawn(24)}",
        lambda: f"sk_live_{drawn(24)}",
        lambda: f"rk_live_{drawn(24)}",
        lambda: f"SK{drawn(32, _HEX)}",
        lambda: f"SG.{drawn(22)}.{drawn(43)}",
        lambda: f"npm_{drawn(36)}",
        lambda: f"pypi-AgEIcHlwaS5vcmc{drawn(120)}",
        lambda: f"dop_v1_{drawn(64, _HEX)}",
        lambda: f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={drawn(86)}==;EndpointSuffix=core",
        lambda: f"Authorization: Bearer {jwt()}",
        lambda: pem("RSA "),
        lambda: pem("OPENSSH "),
        lambda: pem(""),
        lambda: f"postgres://shop:{drawn(14)}@db.bright-lamps.com:5432/shop",
        lambda: f"https://ann:{drawn(12)}@git.bright-lamps.com/tools.git",
    )  # fmt: skip
    return [maker() for maker in makers for _ in range(2)]


def _personal() -> list[Labelled]:
    rng = random.Random(12)
    texts = [f"Write to {name}@{domain} for the keys." for name, domain in (
        ("ann.kim", "bright-lamps.com"), ("t.miller84", "gmail.com"), ("joão", "x.pt"), ("lena+shop", "posteo.de"),
        ("o_brien", "mail.ie"), ("K.Sato", "firma.co.jp"), ("marta", "lampy.pl"))]  # fmt: skip
    for prefix, length in (("4929", 16), ("5412", 16), ("3714", 15), ("6011", 16), ("4716", 16)):
        number = _with_luhn(
            prefix + "".join(rng.choice(string.digits) for _ in range(length - len(prefix) - 1))
        )
        texts.append(f"Charge my card {number} please.")
        if length == 16:
            texts.append("It is " + " ".join(number[n : n + 4] for n in range(0, 16, 4)) + ", valid to May.")
    for country, account in (
        ("DE", "500105175407324931"),
        ("NL", "RABO0300065264"),
        ("FR", "20041010050500013M02637"),
    ):
        texts.append(f"Please pay to {_with_iban_check(country, account)} by Friday.")
    texts += [
        f"The login came from {'.'.join(map(str, ip))} at noon."
        for ip in ((81, 2, 69, 160), (185, 60, 216, 35), (91, 198, 174, 192))
    ]
    return [_chat("What does the note say?", text, "personal_data") for text in texts]


def _with_luhn(digits: str) -> str:
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def _with_iban_check(country: str, account: str) -> str:
    number = int("".join(str(int(char, 36)) for char in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"
