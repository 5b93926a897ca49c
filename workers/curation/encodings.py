"""Which encoding a text file is in, by all of its bytes: one stray byte must not turn a UTF-8 file into something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charset_normalizer import from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCAN_BYTES = 1024 * 1024
SAMPLE_BYTES = 64 * 1024
FIRST_LEAD_BYTE = 0xC0
LONGEST_CHARACTER_BYTES = 4
WESTERN = "cp1252"
CENTRAL = "cp1250"
OTHER_SCRIPTS = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp932", "euc_jp", "gb18030", "big5", "cp949", "euc_kr")
TWO_SPECIAL_LETTERS = re.compile(r"[^\W\d_\x00-\x7f]{2}")
"""What any word in another script has; a lone special character amid plain letters is Western."""
CANDIDATES = [WESTERN, CENTRAL, *OTHER_SCRIPTS]


def guess_encoding(path: Path) -> str:
    """Return utf-8 where most lines with special characters are UTF-8, else the likeliest older encoding."""
    if all(_is_utf8(chunk) for chunk in _chunks(path)):
        return "utf-8"
    valid = invalid = 0
    sample = bytearray()
    for chunk in _chunks(path):
        if chunk.isascii():
            continue
        special = [line for line in chunk.split(b"\n") if not line.isascii()]
        broken = [] if _is_utf8(chunk) else [line for line in special if not _is_utf8(line)]
        valid, invalid = valid + len(special) - len(broken), invalid + len(broken)
        if broken and len(sample) < SAMPLE_BYTES:
            sample += b"\n".join(broken)[:SAMPLE_BYTES] + b"\n"
    return "utf-8" if invalid == 0 or valid >= invalid else _guess_older(bytes(sample))


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield pieces that end at a line's end or, in very long lines, at least not inside a character."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(SCAN_BYTES):
            joined = rest + block
            cut = joined.rfind(b"\n") + 1 or _before_last_character(joined)
            rest = joined[cut:]
            yield joined[:cut]
    if rest:
        yield rest


def _before_last_character(piece: bytes) -> int:
    """Return where a last character of several bytes begins, since it may not be whole; the end if there is none."""
    for back in range(1, min(LONGEST_CHARACTER_BYTES, len(piece)) + 1):
        if piece[-back] >= FIRST_LEAD_BYTE:
            return len(piece) - back
    return len(piece)


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess_older(sample: bytes) -> str:
    """Prefer another script when the statistics are for one; Western European otherwise, which they often take for cp1250."""
    matches = from_bytes(sample, cp_isolation=CANDIDATES)
    best = matches.best()
    if best is not None and best.encoding in OTHER_SCRIPTS and TWO_SPECIAL_LETTERS.search(str(best)):
        return best.encoding
    try:
        western = sample.decode(WESTERN)
    except UnicodeDecodeError:
        return best.encoding if best is not None else "latin-1"
    is_central = best is not None and best.encoding == CENTRAL and western not in {str(match) for match in matches}
    return CENTRAL if is_central else WESTERN
