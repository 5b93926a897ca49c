"""Keys, tokens and passwords in a text: known by the form their maker gave them, or by the word before them and how random they look.

A wrong find costs an example and a missed one is mostly harmless in a text that nobody else reads, so precision goes first.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from app.domain.masking import Span

FORMS = re.compile(
    "|".join(  # noqa: FLY002 -- a line for each maker is what can be read
        (
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]{16,20000}?-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
            r"(?<![A-Za-z0-9])(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",  # AWS
            r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,251}",  # GitHub
            r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{60,90}",
            r"(?<![A-Za-z0-9])glpat-[\w-]{20,64}",  # GitLab
            r"(?<![A-Za-z0-9])sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{3,8}-|or-v1-)?(?=[\w-]*\d)[\w-]{20,200}",  # OpenAI, Anthropic …
            r"(?<![A-Za-z0-9])hf_[A-Za-z]{30,40}(?![A-Za-z0-9])",  # Hugging Face
            r"(?<![A-Za-z0-9])xox[abeoprs]-(?=[\w-]*\d)[A-Za-z0-9-]{10,250}",  # Slack
            r"https://hooks\.slack\.com/services/T[\w/]{20,60}",
            r"(?<![A-Za-z0-9])(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}",  # Stripe
            r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=]{24,64}",
            r"(?<![A-Za-z0-9])AIza[\w-]{35}(?![\w-])",  # Google
            r"(?<![A-Za-z0-9])GOCSPX-[\w-]{28}(?![\w-])",
            r"(?<![A-Za-z0-9])ya29\.[\w-]{30,200}",
            r"(?<![A-Za-z0-9])SG\.[\w-]{22}\.[\w-]{43}(?![\w-])",  # SendGrid
            r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])",
            r"(?<![A-Za-z0-9])pypi-AgE[\w-]{50,250}",
            r"(?<![A-Za-z0-9])dckr_pat_[\w-]{27,40}",
            r"(?<![A-Za-z0-9])hone_(?=[A-Za-z0-9_]*\d)[A-Za-z0-9_]{16,100}",
            r"(?<![A-Za-z0-9])eyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{16,1400}",  # a JSON web token
        )
    )
)
HINTS = (
    "-----BEGIN", "A3T", "AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "hf_",
    "xox", "hooks.slack.com", "_live_", "_test_", "whsec_", "AIza", "GOCSPX-", "ya29.", "SG.", "npm_", "pypi-", "dckr_", "hone_", "eyJ",
)  # fmt: skip
"""One of these stands in whatever has a known form: looking for them costs less than the forms do."""
IN_ADDRESS = re.compile(r"(?<=://)[\w.%+-]{1,64}:([^\s/:@]{3,100})(?=@[\w.-])")
CALLED = re.compile(
    r"\b(?:(?P<word>pass(?:word|wd|phrase|code)?|pwd|pin(?: ?(?:code|number))?|cvv2?|cvc2?|security code|one[- ]time code|otp)"
    r"|(?P<key>(?:api|access|secret|private|auth|client|signing|encryption|bearer|refresh|session)[ _-]?(?:key|token|secret)(?:[ _-]?id)?"
    r"|token|secret|bearer|authorization))"
    r"(?P<link>[\"'`]?(?: (?:to|for|on|of) (?:my|the|your|his|her|our) [\w-]{1,20})?"
    r"\s{0,3}(?:(?:[:=]|=>)\s{0,3}|\bis(?: now)?(?: set to)?:?\s{1,3}|\bwas\s{1,3}|(?<=earer)\s{1,3}|(?<=cv[vc])\s|(?<=pin)\s(?=\d)))"
    r"(?:Bearer\s{1,3})?[\"'`]?(?P<value>[^\s\"'`<>,;]{3,200})",
    re.IGNORECASE,
)
CALLED_WORDS = (
    r"pass(?:wo|wd|ph|co)|\bpass\b|\bpwd|\bpin\b|\bcv[vc]|security code|one[- ]time code|\botp|key|token|secret|bearer|authorization"
)
CALLED_HINT = re.compile(CALLED_WORDS, re.IGNORECASE)
SUSPECT = "|".join([*map(re.escape, HINTS), r"://[^\s@]*:[^\s@]*@", f"(?i:{CALLED_WORDS})"])
"""What a text matches that may hold a secret, in RE2's dialect, which searches a whole column at once."""
PLACEHOLDER = re.compile(
    r"[*•x.#_-]+|(?:your|my|the|some|example|changeme|password|secret|token|key|none|null|true|false|undefined|here|todo)(?![a-z0-9]).*"
    r"|.*(?:\$\{|\{\{|%\(|os\.|env\b|getenv|example|placeholder|redacted|\(\)?$).*|\[.*|\{.*|\(.*|<.*",
    re.IGNORECASE,
)
DIGITS = range(3, 9)
SHORTEST_PASSWORD, SHORTEST_KEY, RANDOM_BITS = 6, 16, 3.2


def find_secrets(text: str) -> list[Span]:
    """Return keys, tokens and passwords, in order and without overlaps."""
    found: list[Span] = []
    for span in sorted([*_known(text), *_called(text)]):
        if not found or span.start >= found[-1].end:
            found.append(span)
    return found


def _known(text: str) -> Iterator[Span]:
    if any(hint in text for hint in HINTS):
        yield from (Span(*match.span(), "SECRET") for match in FORMS.finditer(text) if not _is_filler(match[0]))
    if "://" in text and "@" in text:
        yield from (Span(*match.span(1), "SECRET") for match in IN_ADDRESS.finditer(text) if not PLACEHOLDER.fullmatch(match[1]))


def _called(text: str) -> Iterator[Span]:
    """What a text itself calls a password or a key, when it looks like one."""
    if not CALLED_HINT.search(text):
        return
    for match in CALLED.finditer(text):
        value = match["value"].rstrip(".,!?)]}")
        told = _is_password(match["word"], value, match["link"]) if match["word"] else _is_random(value)
        if told and not PLACEHOLDER.fullmatch(value):
            yield Span(match.start("value"), match.start("value") + len(value), "SECRET")


def _is_password(word: str, value: str, link: str) -> bool:
    """A PIN is digits; a password mixes kinds of letters, unless it stands after a colon as forms have it."""
    if word.lower().startswith(("pin", "cv", "otp", "security", "one", "passcode")):
        return value.isdigit() and len(value) in DIGITS
    kinds = sum((any(map(str.isdigit, value)), any(map(str.isupper, value[1:])), any(not letter.isalnum() for letter in value)))
    written_out = ":" in link or "=" in link
    return len(value) >= SHORTEST_PASSWORD and kinds >= (1 if written_out else 2) and "(" not in value


def _is_random(value: str) -> bool:
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return len(value) >= SHORTEST_KEY and mixed and entropy(value) >= RANDOM_BITS and "(" not in value


def _is_filler(value: str) -> bool:
    """`sk-xxxxxxxx` and the like show where a key would stand."""
    rest = value[-12:]
    return len(set(rest.lower())) < 4  # noqa: PLR2004 -- three different letters are what fillers have


def entropy(text: str) -> float:
    """Return the bits that a letter of the text carries, by how often each occurs in it."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
