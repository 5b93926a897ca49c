"""Blanks that somebody forgot to fill in: {{name}}, [Your Name], <COMPANY>, TODO and the like; what only looks like one is code."""

from __future__ import annotations

import re

from app.domain.masking import KINDS

CODE = re.compile(r"```.*?(?:```|\Z)|(?<!`)`[^`\n]+`(?!`)", re.DOTALL)
"""Fenced blocks and inline code: braces belong there."""
LOOKS_LIKE_CODE = re.compile(
    r"[;{]\s*\n|=>|\bfunction\b|\bdef \w|\breturn\b|\bimport \w|#include|print[f(]|console\.|\\[a-zA-Z]+\{|</\w|\(\)"
)
"""Signs of code that nobody fenced; braces that are single then mean nothing."""
WHAT_IS_FILLED_IN = (
    "name|surname|date|day|month|year|time|address|company|organi[sz]ation|phone|telephone|e-?mail|number|title|role|city|state|country"
    "|location|product|service|amount|price|currency|url|link|website|signature|department|university|school|position|age|reason|topic"
)
NO_BLANKS = re.compile(
    "A|ABBR|B|BASE|BIG|BLOCKQUOTE|BODY|BR|BUTTON|CENTER|CODE|COL|DD|DIV|DL|DT|EM|FONT|FOOTER|FORM|FRAME|H[1-6]|HEAD|HEADER|HR|HTML|I|IFRAME"
    "|IMG|INPUT|LABEL|LI|LINK|MAIN|MAP|META|NAV|OBJECT|OL|OPTION|P|PARAM|PRE|SCRIPT|SECTION|SELECT|SMALL|SPAN|STRIKE|STRONG|STYLE|SUB|SUP"
    "|TABLE|TBODY|TD|TEXTAREA|TFOOT|TH|THEAD|TITLE|TR|TT|U|UL|VAR|VIDEO|XML|BOS|EOS|PAD|UNK|MASK|SEP|CLS|INST|SYS"
)
"""What stands in angle brackets without being one: HTML's elements, and special tokens."""
DOUBLE = re.compile(r"\{\{\s*[^\W\d][\w .\-/#']{0,60}?\s*\}\}")
SINGLE = re.compile(r"(?<![\w\\${}^=>)\]/])\{[^\W\d_][\w .\-]{1,40}\}(?![\w({;}])")
CLOSING = re.compile(r"</([A-Z][A-Z0-9_ -]{0,60})>")
ANGLE = re.compile(r"<([A-Z][A-Z0-9]*(?:[_ -][A-Z0-9]+)*|(?:[Yy]our|[Ii]nsert|[Ee]nter)[ _-][\w -]{1,40})>")
WORD = r"(?:[^\W_]|'){1,30}"
SQUARE = re.compile(
    r"\[((?:your|insert|(?:enter|add|fill in) (?:your|the|a))\b[^\[\]\n]{1,60}"
    rf"|(?:{WORD}[ _/-]){{0,3}}(?:{WHAT_IS_FILLED_IN})s?(?:[ _/-]{WORD}){{0,2}})\](?![(\[:])",
    re.IGNORECASE,
)
SHELL = re.compile(r"\$\{[A-Za-z_]\w{0,40}\}")
PERCENT = re.compile(r"%\([A-Za-z_]\w{0,40}\)[sd]")
UNDONE = re.compile(r"\b(?:TODO|FIXME|TBD)\b(?=\s*:|\s*\Z)|\A\s*(?i:todo|fixme|tbd|xxx)\s*\Z|(?i:\blorem ipsum\b)")
ONLY_CAPITALS = re.compile(r"[A-Z_]+")
SUSPECT = r"(?i)\{\{|\{\pL[^{}\n]*\}|<[A-Z][^<>\n]*>|\[[A-Z][^\[\]\n]*\]|\$\{|%\([A-Z_]|TODO|FIXME|TBD|XXX|lorem ipsum"
"""What every text with a placeholder has, for searching many at once in RE2's dialect."""


def placeholders(text: str, *, is_answer: bool) -> list[tuple[int, int]]:
    """Return where placeholders stand, in order; words like TODO count in answers alone."""
    prose = CODE.sub(lambda code: " " * len(code[0]), text)
    patterns = [DOUBLE] if LOOKS_LIKE_CODE.search(prose) else [DOUBLE, SINGLE, SHELL, PERCENT]
    found = [match.span() for pattern in patterns + [UNDONE] * is_answer for match in pattern.finditer(prose)]
    closed = set(CLOSING.findall(prose))
    found += [match.span() for match in ANGLE.finditer(prose) if match[1] not in closed and not NO_BLANKS.fullmatch(match[1])]
    found += [match.span() for match in SQUARE.finditer(prose) if not _is_mask(match[1])]
    return _apart(sorted(found))


def _is_mask(name: str) -> bool:
    """Whether it is a mask of our own, such as NAME or NAME_2."""
    return bool(ONLY_CAPITALS.match(name)) and re.sub(r"_\d+\Z", "", name) in KINDS


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    apart: list[tuple[int, int]] = []
    for start, end in spans:
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return apart
