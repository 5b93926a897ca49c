from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import Any

import openpyxl
import pytest

from tests.workers.curation.conftest import Importer


def workbook(*sheets: list[tuple[Any, ...]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet {number}")
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


HEADER = ("utterance", "intent")


def test_a_workbook_is_a_table(imported: Importer) -> None:
    content = workbook([HEADER, ("cancel it", "cancel"), (), ("where is it?", "track"), ("no answer", None)])
    asked = imported(content, "a.xlsx").report
    assert (asked.status, asked.columns, asked.sample[0]) == ("needs_mapping", [*HEADER], {"utterance": "cancel it", "intent": "cancel"})
    found = imported(content, "a.xlsx", mapping={"user": "utterance", "assistant": "intent"})
    assert (found.report.rows, found.problems) == (2, [(5, "the assistant's answer is empty")])
    assert [row["line"] for row in found.rows] == [2, 4]


def test_a_header_may_show_the_shape(imported: Importer) -> None:
    report = imported(workbook([("Prompt", "Completion"), ("Hi?", "Hello.")]), "a.xlsx").report
    assert (report.status, report.format) == ("ready", "prompt_completion")


def test_cells_are_as_people_wrote_them(imported: Importer) -> None:
    values = (5.0, 0.1, True, dt.datetime.fromisoformat("2026-01-02"), dt.datetime.fromisoformat("2026-01-02T03:04"), "=1+1", "x\ny")
    content = workbook([tuple(f"c{place}" for place in range(len(values))), values])
    sample = imported(content, "a.xlsx").report.sample[0]
    assert list(sample.values()) == ["5", "0.1", "true", "2026-01-02", "2026-01-02 03:04:00", "", "x\ny"]


def test_the_first_sheet_with_rows_is_read_and_the_others_are_told(imported: Importer) -> None:
    found = imported(workbook([], [("prompt", "completion"), ("Hi?", "Hello.")], [("x",)]), "a.xlsx")
    assert found.report.rows == 1
    assert found.report.notes == ["Only the sheet 'Sheet 1' was read; there are others: Sheet 0, Sheet 2."]


def test_a_title_above_the_table_is_no_header(imported: Importer) -> None:
    found = imported(workbook([("Tickets of 2026",), (), HEADER, ("a", "b")]), "a.xlsx")
    assert found.report.columns == [*HEADER]


def test_a_row_with_more_cells_than_the_header_is_set_aside(imported: Importer) -> None:
    found = imported(workbook([("prompt", "completion"), ("Hi?", "Hello.", "What?"), ("a", "b")]), "a.xlsx")
    assert found.problems == [(2, "3 cells where the header has 2")]


def with_member(content: bytes, name: str, text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, text)
    return buffer.getvalue()


WHOLE = workbook([HEADER, ("a", "b")])
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "' + b"ha" * 500 + b'">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 50) for level in range(8)
) + b"]><x>&i;</x>"  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WHOLE[: len(WHOLE) // 2], "damaged"),
        (with_member(WHOLE, "xl/workbook.xml", b"<nonsense"), "damaged"),
        (with_member(WHOLE, "xl/worksheets/sheet1.xml", LAUGHS), "damaged"),
        (with_member(WHOLE, "xl/worksheets/sheet1.xml", b" " * 64 * 2**20), "unpacks to"),
        (workbook([]), "no rows"),
    ],
)
def test_a_workbook_that_is_none_or_a_bomb_is_refused_in_words(imported: Importer, content: bytes, why: str) -> None:
    found = imported(content, "a.xlsx")
    assert (found.report.status, found.files) == ("failed", [])
    assert why in found.reason


def test_cells_at_the_far_end_of_a_sheet_do_not_fill_the_memory(imported: Importer) -> None:
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c></row>'
        b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row></sheetData></worksheet>'
    )
    found = imported(with_member(WHOLE, "xl/worksheets/sheet1.xml", sheet), "a.xlsx")
    assert found.problems[0][1] == "16384 cells where the header has 1"
