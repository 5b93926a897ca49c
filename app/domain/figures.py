"""Numbers as arithmetic that people read has them: no powers of ten, and units that suit."""

from __future__ import annotations

import math

THOUSAND = 1000.0
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many digits that count: 12,300, 4.25, 0.0425."""
    if not value:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    spelt = f"{rounded:,.{decimals}f}"
    return spelt.rstrip("0").rstrip(".") if decimals else spelt


def operations(value: float) -> str:
    """Return a number of operations as 8.04 PFLOP."""
    return _with_prefix(value, "FLOP")


def in_bytes(value: float) -> str:
    """Return bytes as 3.93 MB."""
    return _with_prefix(value, "B")


def _with_prefix(value: float, unit: str) -> str:
    for prefix in PREFIXES[:-1]:
        if float(f"{value:.3g}") < THOUSAND:
            return f"{significant(value)} {prefix}{unit}"
        value /= THOUSAND
    return f"{significant(value)} {PREFIXES[-1]}{unit}"


def percent(share: float) -> str:
    """Return a share as 31 %, or 1.8 % where whole ones would blur it."""
    return f"{significant(share * 100, 2)} %" if abs(share) < 0.1 else f"{share:.0%}".replace("%", " %")  # noqa: PLR2004 - a tenth
