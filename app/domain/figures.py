"""Numbers as arithmetic that people read has them: no powers of ten, and units that suit."""

from __future__ import annotations

import math

THOUSAND = 1000.0
LARGE, CENT = 100.0, 0.01
PREFIXES = ("", "k", "M", "G", "T", "P", "E")
BYTES = ("B", "kB", "MB", "GB", "TB")
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
UNKNOWN = "–"


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
    for prefix in PREFIXES[:-1]:
        if float(f"{value:.3g}") < THOUSAND:
            return f"{significant(value)} {prefix}FLOP"
        value /= THOUSAND
    return f"{significant(value)} {PREFIXES[-1]}FLOP"


def in_bytes(value: float | None, decimals: int = 1) -> str:
    """Return bytes as 3.5 GB or 875 MB: with so many decimals below a hundred of a unit, else none; a dash for nobody knows."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for unit in BYTES[:-1]:
        if round(abs(value)) < THOUSAND:
            return _bytes(value, unit, decimals)
        value /= THOUSAND
    return _bytes(value, BYTES[-1], decimals)


def _bytes(value: float, unit: str, decimals: int) -> str:
    is_whole = unit == BYTES[0] or round(abs(value), decimals) >= LARGE
    return f"{value:,.{0 if is_whole else decimals}f} {unit}"


def in_money(amount: float | None, currency: str, *, as_given: bool = False) -> str:
    """Return an amount as people write it: $0.68, 12.30 CHF, $1,240; below a cent with the two digits that count; a dash for nobody knows.

    `as_given`: a price that somebody has set keeps all of its digits.
    """
    if amount is None:
        return UNKNOWN
    digits = _given(abs(amount)) if as_given else _worked_out(abs(amount))
    shown = f"{SIGNS[currency]}{digits}" if currency in SIGNS else f"{digits} {currency}"
    return f"−{shown}" if amount < 0 else shown


def _worked_out(size: float) -> str:
    if not size or round(size, 2) >= THOUSAND:
        return f"{size:,.0f}"
    return f"{size:,.2f}" if size >= CENT else significant(size, 2)


def _given(size: float) -> str:
    whole, _, parts = significant(size, 15).partition(".")
    is_whole = not parts and (not size or size >= THOUSAND)
    return whole if is_whole else f"{whole}.{parts:0<2}"


def in_thousands(value: float, unit: str) -> str:
    """Return an energy or a mass as 42.2 Wh, or 5.15 kWh."""
    return f"{significant(value)} {unit}" if float(f"{value:.3g}") < THOUSAND else f"{significant(value / THOUSAND)} k{unit}"


def percent(share: float) -> str:
    """Return a share as 31 %, or 1.8 % where whole ones would blur it."""
    return f"{significant(share * 100, 2)} %" if abs(share) < 0.1 else f"{share:.0%}".replace("%", " %")  # noqa: PLR2004 - a tenth
