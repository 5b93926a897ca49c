"""One row written by hand, understood as a file's rows are: what a person mends is read by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.datasets import Example, Mapping, Problem
from app.domain.examples import SetAside, with_system
from app.domain.mapping import apply, has_columns
from workers.curation.dialects import Dialect
from workers.curation.json_text import JsonReader, NotJson
from workers.curation.rows import Aside, RawRow, as_row
from workers.curation.shapes import UnknownShape, to_example
from workers.curation.source import Line
from workers.curation.table_rows import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


def parse_row(
    text: str, filename: str = "", mapping: Mapping | None = None, system: str | None = None, *, columns: Sequence[str] = ()
) -> Example | Problem:
    """Return the example that a row makes, or what is still wrong with it: JSON, or one line of a table under these columns.

    Rows that were set aside are kept as JSON, those of tables too; of a table's own line the name of its file tells how it is delimited.
    """
    is_line = bool(columns) and not text.lstrip().startswith(("{", "["))
    row = _line_of_table(text, columns, "\t" if filename.casefold().endswith((".tsv", ".tab")) else ",") if is_line else _json(text)
    if isinstance(row, Aside):
        return row.problem()
    try:
        example = apply(mapping, row.cells) if mapping and has_columns(row.cells, mapping) else to_example(row.cells)[1]
    except SetAside as found:
        return Aside(1, str(found), found.code).problem()
    except UnknownShape:
        return Aside(1, f"it fits no known shape; its keys are: {', '.join(row.cells)}").problem()
    return example._replace(turns=with_system(example.turns, system))


def _json(text: str) -> RawRow | Aside:
    try:
        value, flaw, _ = JsonReader().read_line(text.encode("utf-8", "surrogatepass"))
    except NotJson as found:
        line = text.count("\n", 0, found.at) + 1
        column = found.at - text.rfind("\n", 0, found.at)
        return Aside(1, f"not valid JSON: {found.why} (line {line}, column {column})")
    return Aside(1, flaw) if flaw else as_row(1, value)


def _line_of_table(text: str, columns: Sequence[str], delimiter: str) -> RawRow | Aside:
    lines = (Line(number, line.encode("utf-8", "surrogatepass")) for number, line in enumerate(text.rstrip("\r\n").splitlines(), 1))
    found = list(Table(lines, Dialect(delimiter, has_header=False)))
    if len(found) != 1:
        return Aside(1, "no row of a table" if not found else f"{len(found)} rows where one was expected")
    row = found[0]
    if isinstance(row, RawRow) and len(row.cells) != len(columns):
        return Aside(1, f"{len(row.cells)} columns where the header has {len(columns)}")
    return RawRow(1, dict(zip(columns, row.cells.values(), strict=True))) if isinstance(row, RawRow) else row
