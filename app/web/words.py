"""Numbers and times as people say them: the filters of the templates."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from app.domain.figures import in_bytes
from app.domain.specs import tuning_words

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE, HOUR, DAY = 60, 3600, 86400
MILLION = 10**6
SIZES = (("trillion", 10**12), ("billion", 10**9), ("million", MILLION))
LARGE, SMALL = 100, 0.01
WORTH_TELLING = 0.02
"""Of a smaller share of tokens that rows have in common nobody would notice anything: it is not told."""


def count(value: float | None) -> str:
    """Return a whole number with thin groups: 12,340."""
    return "–" if value is None else f"{value:,.0f}"


def parameters(value: float | None) -> str:
    """Return how large a model is as people say it: 7.2 million parameters."""
    if value is None:
        return "–"
    # What three digits round to a thousand million is a billion.
    name, unit = next((name, unit) for name, unit in SIZES if unit == MILLION or value >= 0.9995 * unit)
    return f"{value / unit:.3g} {name} parameters"


def span(seconds: float | None) -> str:
    """Return a stretch of time in its two largest units: 3 min 20 s."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s" if whole < 10 * MINUTE else f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def ago(moment: datetime | None) -> str:
    """Return how long ago something was."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < 5:  # noqa: PLR2004 - shorter than anybody cares
        return "just now"
    if seconds < MINUTE:
        return f"{seconds:.0f} s ago"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    return f"{seconds // DAY:.0f} d ago" if seconds < 30 * DAY else moment.strftime("%Y-%m-%d")


def between(start: datetime | None, end: datetime | None) -> str:
    """Return how long something took, or has taken so far."""
    if start is None:
        return "–"
    return span(((end or datetime.now(UTC)) - start) / timedelta(seconds=1))


def number(value: float | None) -> str:
    """Return a measured number with the digits that mean something: 0.781, 12.3, 0.000200."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < SMALL else f"{value:.3f}"


def percent(value: float | None) -> str:
    """Return a share as 84.3 %."""
    return "–" if value is None else f"{value * 100:.1f} %"


def iso(moment: datetime | None) -> str:
    """Return RFC 3339 in UTC, for <time datetime>."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else ""


def clock(moment: datetime | None) -> str:
    """Return the moment as a person reads it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "–"


def coming(moments: tuple[datetime, datetime, datetime]) -> str:
    """Return when something will be: at the earliest, most likely, at the latest; no more exactly than it is known."""
    now = datetime.now(UTC)
    low, most, high = (max(0.0, (moment - now).total_seconds()) for moment in moments)
    if most < MINUTE:
        return "within a minute"
    length, unit = (MINUTE, "min") if high < 2 * HOUR else (HOUR, "h") if high < 2 * DAY else (DAY, "d")
    first, last = round(low / length), max(1, round(high / length))
    about = moments[1].astimezone(UTC).strftime("%H:%M" if most < DAY / 2 else "%a %H:%M")
    reach = "within" if not first else f"in {first} to" if first < last else "in"
    # The second half stays together where a line ends.
    return f"about {about} UTC, " + f"{reach} {last} {unit}".replace(" ", "\N{NO-BREAK SPACE}")


def plural(amount: float | None, one: str, many: str = "") -> str:
    """Return `1 row`, `12 rows`."""
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def told(message: str) -> Markup:
    """Return a message as a page shows it: what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(message))))  # noqa: S704 - escaped before


def breakable(name: str) -> Markup:
    """Return a technical name that may wrap behind its dots, dashes and underscores, not inside of a word."""
    return Markup(re.sub(r"(?<=[._/-])(?=\w)", "<wbr>", str(escape(name))))  # noqa: S704 - escaped before


def twice(option: str) -> tuple[str, str]:
    """Return a choice as value and label."""
    return option, option


def named(thing: Any) -> tuple[str, str]:
    """Return anything with an id and a name as value and label."""
    return thing.id, thing.name


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count, "size": in_bytes, "span": span, "ago": ago, "number": number, "between": between, "percent": percent, "iso": iso,
    "clock": clock, "plural": plural, "twice": twice, "named": named, "coming": coming, "parameters": parameters, "told": told,
    "breakable": breakable, "tuning": tuning_words,
}  # fmt: skip
