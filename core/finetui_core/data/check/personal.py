"""Personal data in a text: e-mail addresses, card numbers, bank account numbers, public IP addresses.

Telephone numbers are left out: their forms are those of any other number. Names and postal addresses need a
model. A text without a place here may hold personal data all the same.
"""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache

from finetui_core.data.check.secrets import Place, clear_places

_AT = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,5}([A-Za-z]{2,24}))(?![A-Za-z0-9@-]|\.[A-Za-z0-9])"
)
_LOCAL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,63})\Z")
_NO_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example\.[a-z.]{2,6}|(?:your|my|our|the|some|any)?-?_?(?:domain|company|organi[sz]ation|site|website|business|school"
    r"|university|server|host|provider|email|store|shop|brand|test|xyz|abc|acme|fake|sample|dummy)"
    r"(?:-?(?:name|inc|corp))?\.[a-z.]{2,6}|.*\.(?:test|invalid|example|localhost|local|internal|png|jpe?g|gif"
    r"|svg|webp|service|target|timer|socket|py|js|ts))",
    re.IGNORECASE,
)
_NOBODY = re.compile(
    r"(?:no-?_?reply|do-?not-?reply|user(?:name)?\d*|your[._-]?(?:name|e?mail|address)?|e?mail|name|first(?:name)?[._]?last(?:name)?"
    r"|someone|somebody|anyone|me|you|foo|bar|test\d*|example|sample|git|info|support|contact|help|helpdesk|sales"
    r"|hello|admin|office|service|press|media|hr|jobs|careers|billing|privacy|legal|security|abuse|postmaster|webmaster"
    r"|feedback|customer[._-]?(?:service|support|care)|team|marketing|orders|returns|enquiries|inquiries|newsletter)",
    re.IGNORECASE,
)
# These begin with a class of characters, which lets the matcher skip fast; what may not stand before comes after.
_CARD = re.compile(
    r"[2-6](?<![\w.#-].)(?:"
    r"(?:(?<=4)\d{3}|(?<=5)[1-5]\d\d|(?<=2)[2-7]\d\d|(?<=6)(?:011|5\d\d|4[4-9]\d))([ -]?)\d{4}\1\d{4}\1\d{4}"
    r"|(?<=3)[47]\d\d([ -]?)\d{6}\2\d{5}|(?<=3)[068]\d\d([ -]?)\d{6}\3\d{4})(?![\w-]|\.\d)"
)
_TEST_CARDS = (
    "4111111111111111 4242424242424242 4012888888881881 4000056655665556 5555555555554444 5105105105105100"
    " 2223003122003222 5200828282828210 378282246310005 371449635398431 6011111111111117 6011000990139424"
    " 30569309025904 38520000023237 36227206271667 3056930009020004 4000000000000002 4532015112830366"
    " 4539578763621486 4916338506082832 5425233430109903 4263982640269299 4917484589897107"
)
_NUMBERED = re.compile(
    r"(?:order|invoice|tracking|shipment|parcel|ticket|case|reference|ref|serial|timestamp|isbn|part|sku|imei|id|no|nr"
    r"|number|uuid|hash|bestell\w*|sendung\w*|rechnung\w*|commande|pedido)\W*(?:(?:id|no|nr|number|nummer|is|was|code|=)\W*){0,3}\Z",
    re.IGNORECASE,
)
_CARD_NAMED = re.compile(r"card|karte|carte|tarjeta|cartão|visa|amex|master", re.IGNORECASE)
_IBAN = re.compile(
    r"([A-Z](?<![A-Za-z0-9].)[A-Z]\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)
_IBAN_LENGTHS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22"
    " DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23"
    " IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31"
    " MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 SK:24 SM:27 TL:23 TN:24"
    " TR:26 UA:29 VA:22 VG:24 XK:20"
)
_EXAMPLE_IBANS = (
    "GB82WEST12345698765432 GB29NWBK60161331926819 GB33BUKB20201555555555 DE89370400440532013000"
    " FR1420041010050500013M02606 NL91ABNA0417164300 ES9121000418450200051332 IT60X0542811101000000123456"
    " CH9300762011623852957 AT611904300234573201 BE68539007547034 PL61109010140000071219812874"
    " PT50000201231234567890154 SE4550000000058398257466 NO9386011117947 DK5000400440116243"
    " FI2112345600000785 IE29AIBK93115212345678 LU280019400644750000"
)
_IP = re.compile(
    r"[0-9](?<![\w.\-=~^#$].)(?:(?<=//.)|(?<!/.))\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![\w-]|\.\d|/\d)"
)
_VERSIONED = re.compile(
    r"(?:\bv|version|release|build|firmware|update|upgrade|driver|section|chapter|clause|§|rev|patch|chrome|kernel)"
    r"[\w\s:.\-]{0,12}\Z",
    re.IGNORECASE,
)
_RESOLVERS = "8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 149.112.112.112 208.67.222.222 208.67.220.220"


def personal_in(text: str) -> list[Place]:
    """Every place of personal data; addresses that stand for nobody (`you@example.com`), numbers that vendors
    give for tests, and numbers whose check digits are wrong, are left out."""
    return list(clear_places([*emails_in(text), *accounts_in(text), *ip_addresses_in(text)]))


def emails_in(text: str) -> Iterator[Place]:
    """E-mail addresses of persons: neither examples nor the shared boxes of an organisation (`info@`)."""
    if "@" not in text:
        return
    for found in _AT.finditer(text):
        at = found.start()
        local = _LOCAL.search(text, max(0, at - 65), at)
        if local is None or _NOBODY.fullmatch(local[0]) or _NO_DOMAIN.fullmatch(found[1]):
            continue
        if text[local.start() - 1 : local.start()] in (":", "/") and "://" in text[max(0, at - 90) : at]:
            continue  # the password or the user of an address
        yield Place("e-mail address", local.start(), found.end())


def accounts_in(text: str) -> Iterator[Place]:
    """Card numbers and bank account numbers: all of them have four digits one after the other."""
    for found in _CARD.finditer(text):
        number = re.sub(r"\D", "", found[0])
        before = text[max(0, found.start() - 40) : found.start()]
        if number in _TEST_CARDS or len(set(number)) < 5 or not _luhn(number):
            continue
        if _NUMBERED.search(before) and not _CARD_NAMED.search(before):
            continue
        yield Place("card number", *found.span())
    for found in _IBAN.finditer(text):
        yield from _iban(found)


def ip_addresses_in(text: str) -> Iterator[Place]:
    """Public addresses of version 4."""
    for found in _IP.finditer(text):
        if _is_public(found[0]) and not _VERSIONED.search(text, max(0, found.start() - 24), found.start()):
            yield Place("IP address", *found.span())


def _luhn(number: str) -> bool:
    """ISO/IEC 7812-1: every second digit from the right counts twice, and the sum ends in 0."""
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in number[-2::-2])
    return (sum(int(digit) for digit in number[-1::-2]) + sum(doubled)) % 10 == 0


@cache
def _iban_lengths() -> dict[str, int]:
    return {pair[:2]: int(pair[3:]) for pair in _IBAN_LENGTHS.split()}


def _iban(found: re.Match[str]) -> Iterator[Place]:
    """ISO 13616: the length of the country, and 1 modulo 97 with letters as 10 to 35. A group after the number
    (`... 32 EUR`) is not of it."""
    length = _iban_lengths().get(found[0][:2], 0)
    end = found.start()
    for char in found[0]:
        if length == 0:
            break
        end += 1
        length -= char != " "
    account = found.string[found.start() : end].replace(" ", "")
    if length or account not in found[0].replace(" ", "") or account in _EXAMPLE_IBANS:
        return
    if (
        len(account) >= 15
        and int("".join(str(int(char, 36)) for char in account[4:] + account[:4])) % 97 == 1
    ):
        yield Place("bank account number", found.start(), end)


def _is_public(address: str) -> bool:
    """Not a private, documentation or resolver's address, and not what a version number looks like."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    large = sum(int(part) >= 20 for part in address.split("."))
    return parsed.is_global and not parsed.is_multicast and address not in _RESOLVERS and large >= 2
