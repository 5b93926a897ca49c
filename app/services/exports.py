"""All rows of a dataset as a file to take away: JSONL for programs, or a table that a spreadsheet opens without running anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.spreadsheets import csv_line
from app.services.runs import export_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.services.accounts import Identity
    from app.services.datasets import Datasets

COLUMNS = ("system", "user", "assistant", "worse_answer", "liked", "conversation")
"""Conversations of several turns stand whole, as JSON, in the last one."""
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it a spreadsheet takes UTF-8 for the machine's old encoding."""


class Export(NamedTuple):
    """A file as it is handed out."""

    filename: str
    media_type: str
    content: Iterator[bytes]


def export(datasets: Datasets, by: Identity, dataset_id: str, kind: str) -> Export:
    """Return all rows as `jsonl` or `csv`; Conflict while there are none."""
    name = export_name(datasets.get(by, dataset_id))
    lines = datasets.export(by, dataset_id)
    if kind == "csv":
        return Export(name.removesuffix(".jsonl") + ".csv", "text/csv; charset=utf-8", _table(lines))
    return Export(name, "application/jsonl", lines)


def _table(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield (BOM + csv_line(COLUMNS)).encode()
    for block in blocks:
        # Only by line feeds: texts may hold other characters that end a line.
        rows = [json.loads(line.decode("utf-8", "surrogatepass")) for line in block.split(b"\n") if line]
        yield "".join(csv_line(_cells(row)) for row in rows).encode("utf-8", "replace")


def _cells(row: dict[str, Any]) -> list[str]:
    if "text" in row:
        return ["", "", row["text"], "", "", ""]
    turns = row.get("messages") or [*row["input"]["messages"], *row["preferred_output"]]
    spoken = [turn for turn in turns if turn["role"] != "system"]
    is_one_turn = [turn["role"] for turn in spoken] == ["user", "assistant"] and not spoken[-1].get("tool_calls")
    worse = "\n\n".join(turn.get("content") or "" for turn in row.get("non_preferred_output", ()))
    liked = "" if row.get("label") is None else str(row["label"]).lower()
    whole = "" if is_one_turn else json.dumps(row, ensure_ascii=False)
    return [_first(turns, "system"), _first(spoken, "user"), spoken[-1].get("content") or "", worse, liked, whole]


def _first(turns: list[dict[str, Any]], role: str) -> str:
    return next((turn.get("content") or "" for turn in turns if turn["role"] == role), "")
