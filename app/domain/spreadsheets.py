"""Tables that a spreadsheet opens without running anything: RFC 4180, and no cell that begins as a formula does.

That holds for whoever splits at commas. One who splits at semicolons cuts texts anywhere, also at their line ends, since quotes count only
where a cell begins; guarding each of these places would change nearly every text that has a list.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_safe(cell: str) -> str:
    """Return a cell's text; one that a spreadsheet would run as a formula gets an apostrophe in front."""
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell


def csv_meant(cell: str) -> str:
    """Return what a cell said before it was made safe; a text that began so by itself cannot be told from one."""
    return cell[1:] if cell.startswith("'") and cell.startswith(FORMULA_STARTS, 1) else cell


def csv_line(cells: Iterable[str]) -> str:
    """Return one row as RFC 4180 has it, its cells made safe and its end included."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow([csv_safe(cell) for cell in cells])
    return buffer.getvalue()
