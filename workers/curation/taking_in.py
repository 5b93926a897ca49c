"""Rows that were set aside and are taken in after all: rewritten by somebody, or cut after their last answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.datasets import Example, Problem
from app.domain.errors import Invalid, NotFound
from app.domain.fixes import Mend, TrimEnd
from app.domain.problems import Trouble
from workers.curation.messages import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Parse = Callable[[str], Example | Problem]
    """Turns the text of a row into an example, or says why it is none."""

CONVERSATIONS = ("messages", "conversations", "conversation")


class TakenIn(NamedTuple):
    """An example, and where its row stood."""

    file: int
    line: int
    example: Example


def taken_in(fix: Mend | TrimEnd, aside: Path, parse: Parse) -> list[TakenIn]:
    """Return the examples that a fix makes of rows that were set aside, in the order of files and lines."""
    if isinstance(fix, Mend):
        return [_mended(fix, aside, parse)]
    found: list[TakenIn] = []
    for row in set_aside(aside):
        text = without_unanswered_end(row["text"]) if row["code"] == Trouble.NO_ANSWER else None
        example = parse(text) if text else None
        if isinstance(example, Example):
            found.append(TakenIn(row["file"], row["line"], example))
    return sorted(found, key=lambda each: (each.file, each.line))


def leave_behind(aside: Path, out: Path, taken: list[TakenIn]) -> list[dict[str, Any]]:
    """Write the rows that stay set aside, and return them; without any there is no file."""
    places = {(each.file, each.line) for each in taken}
    left = [row for row in set_aside(aside) if (row["file"], row["line"]) not in places]
    if left:
        out.write_text("".join(json.dumps(row) + "\n" for row in left), encoding="utf-8")  # as AsideWriter does: ASCII, so always UTF-8
    return left


def set_aside(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows that were set aside: file, line, code, reason, text."""
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        for line in file:
            yield json.loads(line)


def without_unanswered_end(text: str) -> str | None:
    """Return a conversation in JSON without the turns behind its last answer; None where there is no answer."""
    try:
        row = json.loads(text)
    except ValueError:
        return None
    name = next((name for name in CONVERSATIONS if isinstance(row, dict) and isinstance(row.get(name), list)), None)
    if name is None:
        return None
    turns = row[name]
    answers = [place for place, turn in enumerate(turns) if _is_answer(turn)]
    return json.dumps(row | {name: turns[: answers[-1] + 1]}, ensure_ascii=False) if answers else None


def _is_answer(turn: Any) -> bool:
    """Whether a turn says something as the assistant; a call of a tool alone waits for what the tool says."""
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    return isinstance(role, str) and ROLES.get(role.casefold()) == "assistant" and bool(turn.get("content", turn.get("value")))


def _mended(fix: Mend, aside: Path, parse: Parse) -> TakenIn:
    if not any((row["file"], row["line"]) == (fix.file, fix.line) for row in set_aside(aside)):
        raise NotFound(f"No row was set aside on line {fix.line:,} of that file; it may be mended already.", param="line")
    example = parse(fix.text)
    if isinstance(example, Problem):
        raise Invalid(f"The row cannot be used as it stands now: {example.reason}.", param="text", code=example.code)
    return TakenIn(fix.file, fix.line, example)
