"""A dataset's rows as a table for people, and back: whatever its cells cannot tell stands whole, as JSON, in one of them.

Without that, what a table has no column for (calls of tools, answers that are not learnt from, all turns but two) would be lost on the
way through a spreadsheet, and nobody would be told.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from app.domain.examples import SetAside, judged
from app.domain.mapping import as_text
from app.domain.spreadsheets import csv_meant, csv_safe

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Lookup

SAID = ("system", "user", "assistant", "worse_answer", "liked", "text")
COLUMNS = (*SAID, "conversation", "split")
HEADER = ",".join(COLUMNS)
GUARD = re.compile(r"\A'(?=[=+\-@\s])")
"""Also before a line feed: where a carriage return stood before it, whoever read the table has made one line end of both."""
NO_JUDGEMENT = "column 'liked' says {!r}, which is neither good nor bad"
TOLD_TWICE = (
    "column {!r} says something else than the column 'conversation', which holds the whole row; change it there, or empty the other columns"
)


def is_exported(cells: Lookup[str, Any]) -> bool:
    """Return whether a row of a table has the columns of such a one."""
    return all(name in cells for name in COLUMNS)


def cells_of(row: dict[str, Any]) -> list[str]:
    """Return the cells of a row in OpenAI's shape; its `split` is the last of them."""
    whole = {name: value for name, value in row.items() if name != "split"}
    said = _said(whole)
    return [*said, "" if _tell(said, whole) else json.dumps(whole, ensure_ascii=False), row.get("split", "")]


def row_of(cells: Lookup[str, Any], parse: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """Return the row in OpenAI's shape that such cells tell; SetAside where they contradict each other."""
    said = [csv_meant(as_text(cells[name])) for name in SAID]
    conversation = as_text(cells["conversation"])
    if not conversation.strip():
        return _told(said)
    whole = parse(conversation)
    if not isinstance(whole, dict):
        raise SetAside("column 'conversation' holds no object")
    if any(said):
        _check_same(said, whole)
    return whole


def _said(row: dict[str, Any]) -> list[str]:
    """Return what a row says under each of `SAID`: of a longer conversation its first question and its last answer."""
    if "text" in row:
        return ["", "", "", "", "", row["text"]]
    pair = row.get("input")
    turns = [*pair["messages"], *row["preferred_output"]] if pair else row["messages"]
    worse = "\n\n".join(turn.get("content", "") for turn in row.get("non_preferred_output", ()))
    liked = "" if row.get("label") is None else as_text(row["label"])
    return [_first(turns, "system"), _first(turns, "user"), turns[-1].get("content", ""), worse, liked, ""]


def _first(turns: list[dict[str, Any]], role: str) -> str:
    return next((turn.get("content", "") for turn in turns if turn["role"] == role), "")


def _tell(said: list[str], row: dict[str, Any]) -> bool:
    """Return whether cells alone give the row back, once a spreadsheet's dangers are taken from them and their line ends are one's own."""
    try:
        return _told([csv_meant(csv_safe(text).replace("\r\n", "\n")) for text in said]) == row
    except SetAside:
        return False


def _told(said: list[str]) -> dict[str, Any]:
    system, user, assistant, worse, liked, text = said
    if text and not any(said[:-1]):
        return {"text": text}
    question = [{"role": role, "content": content} for role, content in (("system", system), ("user", user)) if content]
    answer = [{"role": "assistant", "content": assistant}]
    if worse:
        return {"input": {"messages": question}, "preferred_output": answer, "non_preferred_output": [answer[0] | {"content": worse}]}
    if not liked.strip():
        return {"messages": question + answer}
    label = judged(liked)
    if label is None:
        raise SetAside(NO_JUDGEMENT.format(liked[:40]))
    return {"messages": question + answer, "label": label}


def _check_same(said: list[str], whole: dict[str, Any]) -> None:
    """Raise SetAside where a cell was changed beside the conversation, or somebody's work would be lost."""
    try:
        expected = _said(whole)
    except (KeyError, TypeError, AttributeError, IndexError):
        return  # no row of ours; what is wrong with it is told by whoever reads it
    for name, text, other in zip(SAID, said, expected, strict=True):
        if _plain(text) != _plain(other):
            raise SetAside(TOLD_TWICE.format(name))


def _plain(text: str) -> str:
    """Return a text without what a spreadsheet changes by itself, and without what keeps it from running the text."""
    return " ".join(GUARD.sub("", text).split()).casefold()
