"""Rows that were set aside and are taken in after all: rewritten by somebody, or cut after their last answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.aside import rows_aside
from app.domain.datasets import MAX_PROBLEMS_LISTED, Example, Problem
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.fixes import Mend, TrimEnd
from app.domain.problems import Trouble
from app.domain.unanswered import answered
from workers.curation.aside import AsideWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.domain.aside import Aside

    Parse = Callable[[str], Example | Problem]
    """Turns the text of a row into an example, or says why it is none."""


class TakenIn(NamedTuple):
    """An example, the number and the code its row was set aside under, and where it stood."""

    number: int
    code: str
    file: int
    line: int
    example: Example


def taken_in(fix: Mend | TrimEnd, aside: Path, parse: Parse) -> list[TakenIn]:
    """Return the examples that a fix makes of rows that were set aside, in the order of files and lines."""
    if isinstance(fix, Mend):
        return [_mended(fix, aside, parse)]
    found: list[TakenIn] = []
    for row in set_aside(aside):
        known = answered(row.text) if row.code == Trouble.NO_ANSWER and not row.is_cut else None
        example = parse(known.text) if known else None
        if isinstance(example, Example):
            found.append(_taken(row, example))
    return sorted(found, key=lambda each: (each.file, each.line))


def leave_behind(aside: Path, out: Path, taken: list[TakenIn]) -> list[dict[str, Any]]:
    """Write the rows that stay set aside under their numbers, and return the first of them to be listed; without any there is no file."""
    gone = {each.number for each in taken}
    listed: list[dict[str, Any]] = []
    with AsideWriter(out) as writer:
        for row in set_aside(aside):
            if row.number in gone:
                continue
            writer.keep(row)
            if len(listed) < MAX_PROBLEMS_LISTED:
                listed.append(row.model_dump(include=set(Problem.model_fields)))
        writer.finish()
    return listed


def set_aside(path: Path) -> Iterator[Aside]:
    """Yield the rows that were set aside."""
    with path.open(encoding="utf-8") as file:
        yield from rows_aside(file)


def _mended(fix: Mend, aside: Path, parse: Parse) -> TakenIn:
    row = next((row for row in set_aside(aside) if row.number == fix.number), None)
    if row is None:
        raise NotFound(f"No row is set aside under the number {fix.number:,}; it may be mended already.", param="number")
    if fix.was is not None and fix.was != row.fingerprint:
        message = f"Another row is set aside under the number {fix.number:,} by now: look at the rows set aside again."
        raise Conflict(message, param="number", code="rows_changed")
    example = parse(fix.text)
    if isinstance(example, Problem):
        raise Invalid(f"The row cannot be used as it stands now: {example.reason}.", param="text", code=example.code)
    return _taken(row, example)


def _taken(row: Aside, example: Example) -> TakenIn:
    return TakenIn(row.number, row.code, row.file, row.line, example)
