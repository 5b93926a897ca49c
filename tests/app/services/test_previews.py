"""What a fix would do is told of as many rows as somebody can wait for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from app.domain.datasets import Message, Row, Split
from app.domain.fixes import Drop, Fix, Repair
from app.domain.problems import Finding, Trouble
from app.services import previews
from app.services.desk_rows import Looked
from app.services.previews import SHOWN, TRIED_AT_MOST, Preview, preview


def said(letters: int) -> dict[str, Any]:
    return {"messages": [Message(role="text", content="a" * letters)]}


def passed_on(letters: int) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "f", "arguments": "a" * letters}}
    return {"messages": [Message(role="user", content="b"), Message(role="assistant", tool_calls=[call])]}


def tool(letters: int) -> dict[str, Any]:
    return said(1) | {"tools": [{"type": "function", "function": {"name": "f", "description": "a" * letters}}]}


class Rows:
    """Rows of one size in which everything has a problem; remembers which were read."""

    def __init__(self, count: int, holding: dict[str, Any] | None = None, *, are_dropped: bool = False) -> None:
        self.count, self.holding, self.read = count, holding or said(5), list[int]()
        self.findings = self
        self.drop = np.full(count, are_dropped)
        self.touch = np.full(count, not are_dropped)

    def select(self, _: Fix) -> Rows:
        return self

    def after(self, row: Row, _: Finding) -> Row | None:
        """Leave every tenth row out, every tenth as it is, and change the others."""
        if row.row % 10 == 0:
            return None
        return row if row.row % 10 == 1 else row.model_copy(update={"messages": [Message(role="text", content="b")]})

    def each(self, numbers: Sequence[int]) -> Iterator[Looked]:
        for number in numbers:
            self.read.append(number)
            row = Row(row=number, split=Split.TRAIN, **self.holding)
            yield Looked(row, Finding(number))


def seen(rows: Rows, fix: Fix) -> Preview:
    return preview(cast("Any", rows), fix)


REPAIR, DROP = Repair(problem=Trouble.MOJIBAKE), Drop(problem=Trouble.MOJIBAKE)


def test_rows_that_a_fix_leaves_as_they_are_are_not_counted() -> None:
    found = seen(Rows(100), REPAIR)
    assert (found.dropped, found.changed, found.is_exact, len(found.changes)) == (10, 80, True, SHOWN)


@pytest.mark.parametrize(
    ("holding", "tried"),
    [(said(5), TRIED_AT_MOST), (said(10_000), 200), (said(3_000_000), 1), (passed_on(600_000), 4), (tool(600_000), 4)],
    ids=["short", "long", "huge", "large arguments", "large tools"],
)
def test_no_more_rows_and_no_more_text_is_tried_than_somebody_can_wait_for(holding: dict[str, Any], tried: int) -> None:
    assert previews.MOST_LETTERS == 2_000_000
    rows = Rows(TRIED_AT_MOST + 50, holding)
    found = seen(rows, REPAIR)
    assert rows.read == list(range(tried))
    assert not found.is_exact
    assert found.dropped + found.changed == TRIED_AT_MOST + 50 - sum(number % 10 == 1 for number in range(tried))


@pytest.mark.parametrize(("letters", "shown"), [(5, SHOWN), (1_000_000, 2)])
def test_of_rows_that_go_few_are_shown_and_all_are_counted(letters: int, shown: int) -> None:
    rows = Rows(500, said(letters), are_dropped=True)
    found = seen(rows, DROP)
    assert (found.dropped, found.is_exact, [change.row.row for change in found.changes]) == (500, True, list(range(shown)))
    assert len(rows.read) == shown
