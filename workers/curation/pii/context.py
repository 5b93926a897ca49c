"""Personal data that only the words beside it give away: phone numbers, numbers of people and accounts, birthdays, user names.

A bare number is a price, a year or a quantity far more often than it is somebody's. It counts when the nearest word that
says what a number is calls it a phone, an account or a birthday, or when it is grouped as only phone numbers are.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import phonenumbers

from app.domain.masking import Span
from workers.curation.pii.form import SEPARATORS

BEFORE, AFTER = 60, 24
"""How many letters before and after a number its words are looked for."""
CUES = re.compile(
    r"(?P<PHONE>\b(?:(?:tele|cell|smart|mobile )?phones?|tel|telefono?|t[eé]l[eé]phone|mobiles?|mob|cells?|call(?:s|ed|ing)?|fax|whatsapp"
    r"|sms|text(?:s|ed)? (?:me|us|him|her|them|to)|ring|dial(?:ed|ling)?|reach(?:ed|able)?|contact (?:number|no|me|us)|handy|hotline"
    r"|messag(?:es?|ing)|voicemail|landline|office|desk|rufen|anruf(?:en)?|telefon(?:nummer)?|handynummer|appele[rz]|ll[aá]m[ae]\w{0,4}|chiam\w{1,4}|bellen)\b)"
    r"|(?P<DATE_OF_BIRTH>\b(?:born|birth(?:day|date)?|d\.?o\.?b\b|b-?day|geboren|geburtsdatum|n[eé]e? le|nacid[oa]|nato il|nata il))"
    r"|(?P<CARD>\b(?:(?:credit|debit|bank|payment|prepaid) ?cards?|cards?|visa|master ?card|amex|american express|cc|maestro)\b)"
    r"|(?P<IBAN>\biban\b)"
    r"|(?P<ID>\b(?:ids?|ssn|account|acct|order|invoice|reference|ref|ticket|case|policy|claim|passport|licen[cs]e|tracking|booking|isbn"
    r"|serial|part|model|sku|zip|postcode|version|page|room|tax|sort code|routing|timestamp)\b)"
    r"|(?P<MONEY>[$€£¥₹]|\b(?:usd|eur|gbp|inr|rs|price|cost|pay|paid|amount|total|population|year|views)\b)",
    re.IGNORECASE,
)
_GAP = r"[ \u00a0]"
PHONE = re.compile(
    rf"(?<![\w./:#$€£-])\+?\(?\d(?:[\d(]|\)|{_GAP}?[-./]{_GAP}?(?=[\d(])|{_GAP}{{1,2}}(?=[\d(])){{5,22}}(?<=\d)"
    rf"(?:{_GAP}?(?:x|ext\.?|extension){_GAP}?\d{{1,6}})?(?!\w|[./:-]\d|{_GAP}?[%€£$])",
    re.IGNORECASE,
)
EXTENSION = re.compile(r"(?:x|ext\.?|extension)\s?\d{1,6}$", re.IGNORECASE)
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
DATE = re.compile(
    rf"(?<![\w/.-])(?:\d{{1,2}}([/.-])\d{{1,2}}\1(?:\d{{4}}|\d{{2}})|\d{{4}}([/.-])\d{{1,2}}\2\d{{1,2}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)?[ -]{MONTH}[ ,-]{{1,2}}\d{{4}}|{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}\b|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?)(?![\w/-]|\.\d)",
    re.IGNORECASE,
)
LONG_NUMBER = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){11,18}(?![\w-])")
LIKE_AN_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?!\w)")
GROUPED_BY_THOUSANDS = re.compile(r"\d{1,3}(?:([ .])\d{3})(?:\1\d{3})+")
NORTH_AMERICAN = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[.-]|\d{3} )\d{3}[ .-]\d{4}")
SOME_DIGITS, ENOUGH_DIGITS = re.compile(r"\d"), re.compile(r"\d(?:\D{0,4}\d){3}")
"""A birthday has one digit at least, and the other numbers four, not far from each other."""
REGIONS = ("US", "GB", "DE", "FR", "IN", "ES", "IT", "AU", "NL", "BR")
ANSWERS_A_QUESTION = re.compile(r"(?:\b(?:is|at|on|to|under|number|no\.?|mobile|cell|phone|tel)\b\W{0,3}|[:=]\s{0,3})$", re.IGNORECASE)

_SURE = (
    r"(?:id|i\.d\.|ssn|num[eé]ro de (?:commande|client|compte|dossier)|n[uú]mero de (?:pedido|cliente|cuenta|factura)"
    r"|social security|social insurance|identification|identity|passport|driver'?s?'? licen[cs]e|driving licen[cs]e"
    r"|national insurance|nino|nhs|medicare|medicaid|aadhaar|pan card"
    r"|tax(?:payer)?(?: (?:id|identification))?|ein|itin|vat|cpf|cnpj|dni|nie|nif"
    r"|pesel|bsn|iban|imei|vin|swift|bic|sort code|routing|account|acct|a/c|medical record|mrn)"
)
_NUMBERED = (
    r"(?:member(?:ship)?|customer|client|employee|staff|student|patient|policy|claim|case|ticket|order|purchase|booking|reservation"
    r"|reference|ref|confirmation|tracking|invoice|transaction|payment|registration|kunden|auftrags|bestell|rechnungs|vertrags|versicherungs|ausweis|steuer|badge|loyalty|insurance|subscription|contract"
    r"|personnel|shipment|complaint|licen[cs]e(?: plate)?|plate|card|bank|flight ticket|pnr|serial)"
)
_CALLED = r"(?:\s?(?:id|i\.d\.|identification|account|card)?\s?(?:numbers?|num\b|no\b\.?|nr\b\.?|n[°º]|code|#|id\b|nummer))"
_IS = r"(?:(?: (?:for|of|on|with|at|to) (?:[\w'-]{1,16} ){1,3})?\s?(?:\b(?:is|was|ist|lautet)\b|[:=#]|\bis:))"
_VALUE = (
    r"(?P<value>(?=[A-Z/-]{0,8}\d)[A-Z0-9]{1,24}(?:[-/][A-Z0-9]{1,16}){0,5}"
    r"(?:(?<=\d) (?=(?:\d{2,5} ?){1,4}(?![\w]))\d{2,5}(?: \d{2,5}){0,4})?)(?![\w@]|[.,:/-]\d)"
)
NUMBER_OF_A_PERSON = re.compile(
    rf"\b(?:{_SURE}(?P<sure>{_CALLED}?{_IS}?)|{_NUMBERED}(?P<numbered>{_CALLED}{_IS}?|{_IS}|\s?#)|(?P<bare>order|ticket|case|account|booking))"
    rf"(?:[\s:#\"'(*`]{{1,4}}|(?<=[#:=]))(?:#\s?)?{_VALUE}",
    re.IGNORECASE,
)
LEAST_DIGITS_TOLD, LEAST_DIGITS_BARE = 4, 6
YEAR = re.compile(r"(?:19|20)\d\d")
COUNTED = re.compile(
    r"\s?(?:%|percent|dollars?|euros?|pounds?|usd|eur|gbp|hours?|days?|weeks?|months?|years?|minutes?|times|items?|people|points?|kg|km|mb|gb"
    r"|am\b|pm\b|bytes?)",
    re.IGNORECASE,
)
USERNAME = re.compile(
    r"\b(?:user ?name|user ?id|login(?: name)?|log-in|screen ?name|nickname|(?:twitter|instagram|telegram|discord|github|skype|tiktok"
    r"|snapchat|slack|gamer)(?:[ -]?(?:handle|name|id|user|account|tag))?|handle)(?:\s?(?:is|was)\s|\s?[:=]\s{0,3}|\s(?=@))[\"'`]?"
    r"(?P<value>@?[A-Za-z0-9_](?:[\w.-]{1,30})(?:#\d{4})?)(?<![.-])",
    re.IGNORECASE,
)
HANDLE = re.compile(r"(?<![\w.@/])@(?=\w*[\d_])[A-Za-z]\w{2,29}(?![\w/(.]*\()")
PLAIN = re.compile(r"[a-z]{1,12}|[A-Z][a-z]{1,12}|\d+")
OF_A_PROGRAM = re.compile(
    r"(?:users?|your|my|the|req|request|event|self|this|args|form|input|data|null|none|string|name)(?![a-z0-9]).*|.*\..*\..*", re.IGNORECASE
)


def find_by_context(text: str) -> Iterator[Span]:
    """Give what the words beside it tell; spans may overlap, the surer one first."""
    if SOME_DIGITS.search(text):
        cues = Cues(text)
        yield from (Span(*match.span(), "DATE_OF_BIRTH") for match in cues.told("DATE_OF_BIRTH", DATE))
        if ENOUGH_DIGITS.search(text):
            yield from (Span(*match.span(), "IBAN") for match in cues.told("IBAN", LIKE_AN_IBAN))
            yield from (Span(*match.span(), "CARD") for match in cues.told("CARD", LONG_NUMBER))
            yield from _numbers_of_people(text)
            yield from (Span(*match.span(), "PHONE") for match in PHONE.finditer(text) if _is_phone(match[0], cues.nearest(match)))
    yield from _user_names(text)


class Cues:
    """The words of a text that say what a number beside them is."""

    def __init__(self, text: str) -> None:
        found = [(cue.start(), cue.end(), cue.lastgroup or "") for cue in CUES.finditer(text)]
        self._text = text
        self._starts, self._ends, self._kinds = [each[0] for each in found], [each[1] for each in found], [each[2] for each in found]

    def nearest(self, number: re.Match[str]) -> str:
        """Return what the nearest word says that a number is: a word before it rather than one after it."""
        before = bisect_right(self._ends, number.start()) - 1
        if before >= 0 and number.start() - self._ends[before] <= BEFORE:
            return self._kinds[before]
        after = bisect_left(self._starts, number.end())
        return self._kinds[after] if after < len(self._starts) and self._starts[after] - number.end() <= AFTER else ""

    def told(self, kind: str, numbers: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Give the numbers of which the nearest word says that they are of a kind."""
        if kind in self._kinds:
            yield from (match for match in numbers.finditer(self._text) if self.nearest(match) == kind)


def _numbers_of_people(text: str) -> Iterator[Span]:
    for match in NUMBER_OF_A_PERSON.finditer(text):
        value, told = match["value"], match["sure"] is not None or match["numbered"]
        digits = sum(letter.isdigit() for letter in value)
        least = LEAST_DIGITS_TOLD if told else LEAST_DIGITS_BARE
        counted = COUNTED.match(text, match.end()) or (YEAR.fullmatch(value) and not told)
        is_date = DATE.fullmatch(value) and not (match["sure"] is not None and "-" in value)
        if digits >= least and not counted and not is_date:
            yield Span(match.start("value"), match.end("value"), "ID")


def _is_phone(written: str, told: str) -> bool:
    """Tell whether a run of digits is dialled: it says so by a plus, by its groups, or by the word beside it."""
    number = EXTENSION.sub("", written).strip()
    digits = sum(letter.isdigit() for letter in number)
    if not 7 <= digits <= 15 or DATE.fullmatch(number) or GROUPED_BY_THOUSANDS.fullmatch(number):  # noqa: PLR2004 -- ITU-T E.164 allows 15
        return False
    if number.count("(") != number.count(")") or (told == "MONEY" and not number.startswith("+")):
        return False
    if number.startswith("+"):
        return _is_possible(number, None)
    if NORTH_AMERICAN.fullmatch(number) or (number.startswith("00") and len(SEPARATORS.split(number)) > 2):  # noqa: PLR2004 -- groups
        return True
    if told == "PHONE":
        return True
    return told not in {"ID", "CARD", "IBAN"} and _is_grouped(number, digits)


def _is_grouped(number: str, digits: int) -> bool:
    """Tell whether a number without a word beside it has the groups of a phone number and can be dialled somewhere."""
    groups = [group for group in re.split(r"\D+", number) if group]
    dialled = "(" in number or number.startswith("0") or digits > 8  # noqa: PLR2004 -- shorter ones are dates and prices as well
    grouped = len(groups) > 2 or ("(" in number and len(groups) > 1)  # noqa: PLR2004 -- two groups are also a range
    same = len({len(group) for group in groups}) == 1 and not groups[0].startswith("0")
    return dialled and grouped and not same and any(_is_possible(number, region) for region in REGIONS)


def _is_possible(number: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


def _user_names(text: str) -> Iterator[Span]:
    for match in USERNAME.finditer(text):
        value = match["value"]
        # "my login is broken" names nobody: a plain word counts only after a colon.
        if OF_A_PROGRAM.fullmatch(value):
            continue
        if not PLAIN.fullmatch(value) or re.search(r"[:=]", text[match.start() : match.start("value")]):
            yield Span(*match.span("value"), "USERNAME")
    if "@" in text:
        yield from (Span(*match.span(), "USERNAME") for match in HANDLE.finditer(text))
