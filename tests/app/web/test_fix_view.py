from __future__ import annotations

import json

from app.domain.datasets import Message, Row, Split
from app.domain.fixes import Mask
from app.domain.problems import Finding, Mark, Trouble
from app.domain.repairs import changed
from app.services.previews import Change
from app.web.fix_view import changed_of
from app.web.rows_view import MOST_TURNS
from app.web.word_diff import Comparing


def test_a_change_in_the_arguments_of_a_tool_alone_is_shown() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": json.dumps({"to": "ada@x.org", "pages": 3})}}
    row = Row(
        row=0, split=Split.TRAIN,
        messages=[Message(role="user", content="Look."), Message(role="assistant", content="Done.", tool_calls=[call])],
    )  # fmt: skip
    finding = Finding(0, marks=(Mark(2, 0, 9, "EMAIL"),))
    after = changed(Mask(problem=Trouble.PII), row, finding)
    (side,) = changed_of(Change(row, finding, after), 1_024, Comparing()).sides
    assert side.after is not None
    assert (side.role, "".join(piece.text for piece in side.before), "".join(piece.text for piece in side.after)) == (
        "call", "ada@x.org", "[EMAIL]"
    )  # fmt: skip


def test_of_a_row_of_thousands_of_turns_only_the_first_are_shown() -> None:
    turns = [Message(role="user" if place % 2 == 0 else "assistant", content="ada@x.org") for place in range(MOST_TURNS + 50)]
    row = Row(row=0, split=Split.TRAIN, messages=turns)
    finding = Finding(0, marks=tuple(Mark(place, 0, 9, "EMAIL") for place in range(len(turns))))
    for after in (None, changed(Mask(problem=Trouble.PII), row, finding)):
        shown = changed_of(Change(row, finding, after), 1_024, Comparing())
        assert (len(shown.sides), shown.beyond, shown.is_left_out) == (MOST_TURNS, 50, after is None)
        assert [piece.text for piece in shown.sides[-1].before if piece.kind] == ["ada@x.org"]
