"""Rows that were set aside come in at their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.domain.aside import Aside
from app.domain.datasets import Problem
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.fixes import Fix, Mend, TrimEnd
from tests.workers.curation.checked import asked, raw_rows, read_rows
from workers.curation.aside import AsideWriter
from workers.curation.fixing import FixSpec, apply_fix
from workers.curation.parquet import RowWriter
from workers.curation.taking_in import TakenIn, leave_behind

ASKED = {"role": "user", "content": "And now?"}
ANSWERED = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]


def aside_row(line: int, code: str, row: Any, file: int = 0) -> dict[str, Any]:
    return {"file": file, "line": line, "code": code, "reason": "it is so", "text": json.dumps(row)}


def version(folder: Path, places: list[tuple[int, int]], aside: list[dict[str, Any]], fix: Fix, **more: Any) -> FixSpec:
    with RowWriter(folder / "rows.parquet") as writer:
        for file, line in places:
            writer.add(asked(f"Question {file}-{line}?", "Yes."), line, file)
        writer.finish()
    (folder / "aside.jsonl").write_text("".join(json.dumps(row) + "\n" for row in aside), encoding="utf-8")
    return FixSpec(
        rows=folder / "rows.parquet", aside=folder / "aside.jsonl", fix=fix, out=folder / "out.parquet",
        aside_out=folder / "left.jsonl", **more,
    )  # fmt: skip


def left(spec: FixSpec) -> list[dict[str, Any]]:
    assert spec.aside_out is not None
    return [json.loads(line) for line in spec.aside_out.read_text().splitlines()] if spec.aside_out.exists() else []


def test_rows_without_an_answer_at_the_end_are_cut_and_come_in_at_their_place(tmp_path: Path) -> None:
    sharegpt = [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "B."}, {"from": "human", "value": "C?"}]
    aside = [
        aside_row(2, "no_answer", {"messages": [*ANSWERED, ASKED]}),
        aside_row(3, "broken", {"messages": 7}),
        aside_row(9, "no_answer", {"messages": [ASKED]}),
        aside_row(1, "no_answer", {"conversations": sharegpt}, 1),
        aside_row(5, "no_answer", {"messages": [*ANSWERED, ASKED, ASKED], "label": True}, 1),
    ]  # fmt: skip
    spec = version(tmp_path, [(0, 1), (0, 4), (1, 2), (1, 3)], aside, TrimEnd())
    report = apply_fix(spec, lambda *_: None)
    assert [(raw["file"], raw["line"]) for raw in raw_rows(spec.out)] == [(0, 1), (0, 2), (0, 4), (1, 1), (1, 2), (1, 3), (1, 5)]
    rows = read_rows(spec.out)
    assert [row.row for row in rows] == list(range(7))
    assert rows[1].texts == ["Hi?", "Hello."]
    assert rows[3].texts == ["A?", "B."]
    assert rows[6].label is True
    assert report["words"] == "3 rows taken in"
    assert (report["rows"], report["added"], report["taken"]) == (7, 3, {"no_answer": 3})
    assert [problem["line"] for problem in report["problems"]] == [3, 9]
    assert [row["number"] for row in left(spec)] == [2, 3]


def test_a_row_that_somebody_has_rewritten_comes_in(tmp_path: Path) -> None:
    fix = Mend(number=1, text=json.dumps({"messages": ANSWERED}))
    spec = version(tmp_path, [(0, 1), (0, 3)], [aside_row(2, "broken", {})], fix, system="Be kind.")
    report = apply_fix(spec, lambda *_: None)
    assert read_rows(spec.out)[1].texts == ["Be kind.", "Hi?", "Hello."]
    assert (report["words"], report["taken"], report["problems"]) == ("1 row taken in", {"broken": 1}, [])
    assert left(spec) == []


def test_of_rows_on_the_same_line_of_an_archive_only_the_one_that_was_mended_comes_in(tmp_path: Path) -> None:
    rows = [aside_row(2, "broken", {"of": "a"}), aside_row(2, "broken", {"of": "b"})]
    spec = version(tmp_path, [(0, 1)], rows, Mend(number=1, text=json.dumps({"messages": ANSWERED})))
    report = apply_fix(spec, lambda *_: None)
    assert (report["added"], report["taken"]) == (1, {"broken": 1})
    assert left(spec) == [{"number": 2, "is_cut": False} | rows[1]]


def test_a_row_that_stays_can_be_mended_later_by_the_number_it_had(tmp_path: Path) -> None:
    rows = [aside_row(line, "broken", {"of": line}) for line in (2, 4, 6)]
    first = version(tmp_path, [(0, 1)], rows, Mend(number=2, text=json.dumps({"messages": ANSWERED})))
    apply_fix(first, lambda *_: None)
    again = {"rows": first.out, "aside": first.aside_out, "out": tmp_path / "again.parquet", "aside_out": tmp_path / "again.jsonl"}
    second = first.model_copy(update=again | {"fix": Mend(number=3, text=json.dumps({"messages": ANSWERED}))})
    apply_fix(second, lambda *_: None)
    assert [raw["line"] for raw in raw_rows(second.out)] == [1, 4, 6]
    assert [(row["number"], row["line"]) for row in left(second)] == [(1, 2)]
    gone = second.model_copy(update={"aside": second.aside_out, "aside_out": tmp_path / "none", "out": tmp_path / "none.parquet"})
    with pytest.raises(NotFound, match="number 3"):
        apply_fix(gone, lambda *_: None)


def test_rows_of_an_archive_stay_in_their_order_when_others_come_in(tmp_path: Path) -> None:
    places = [(0, 1), (0, 5), (0, 1), (0, 3), (1, 1), (1, 4)]
    rows = [aside_row(2, "no_answer", {"messages": [*ANSWERED, ASKED]}, 1), aside_row(2, "no_answer", {"messages": [*ANSWERED, ASKED]})]
    spec = version(tmp_path, places, rows, TrimEnd())
    apply_fix(spec, lambda *_: None)
    assert [(raw["file"], raw["line"]) for raw in raw_rows(spec.out)] == [*places[:3], (0, 2), *places[3:5], (1, 2), places[5]]


def test_rows_come_in_at_the_ends_of_groups_and_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.curation.parquet.ROW_GROUP_ROWS", 3)
    aside = [aside_row(line, "no_answer", {"messages": [*ANSWERED, ASKED]}) for line in (1, 7, 8, 14)]
    spec = version(tmp_path, [(0, line) for line in (2, 4, 6, 9, 11, 13)], aside, TrimEnd())
    assert pq.ParquetFile(spec.rows).metadata.num_row_groups == 2
    apply_fix(spec, lambda *_: None)
    assert [raw["line"] for raw in raw_rows(spec.out)] == [1, 2, 4, 6, 7, 8, 9, 11, 13, 14]


def test_only_the_beginning_of_a_row_is_never_cut_after_its_last_answer(tmp_path: Path) -> None:
    row = aside_row(2, "no_answer", {"messages": [*ANSWERED, ASKED]}) | {"is_cut": True}
    with pytest.raises(Invalid, match="Nothing would change"):
        apply_fix(version(tmp_path, [(0, 1)], [row], TrimEnd()), lambda *_: None)


def test_a_row_that_is_still_broken_says_what_is_wrong(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], Mend(number=1, text='{"messages": [}'))
    with pytest.raises(Invalid, match="not valid JSON"):
        apply_fix(spec, lambda *_: None)
    assert not spec.out.exists()
    assert list(tmp_path.glob("*.part")) == []


def test_a_row_that_nobody_set_aside_cannot_be_mended(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], Mend(number=7, text=json.dumps({"messages": ANSWERED})))
    with pytest.raises(NotFound, match="number 7"):
        apply_fix(spec, lambda *_: None)


def test_a_row_that_got_the_number_of_another_one_is_not_mended_in_its_place(tmp_path: Path) -> None:
    seen, present = aside_row(2, "broken", {"of": "a"}), aside_row(2, "broken", {"of": "b"})
    mended = {"number": 1, "text": json.dumps({"messages": ANSWERED})}
    spec = version(tmp_path, [(0, 1)], [present], Mend(**mended, was=Aside(number=1, **seen).fingerprint))
    with pytest.raises(Conflict, match="Another row is set aside under the number 1"):
        apply_fix(spec, lambda *_: None)
    spec = spec.model_copy(update={"fix": Mend(**mended, was=Aside(number=1, **present).fingerprint)})
    assert apply_fix(spec, lambda *_: None)["added"] == 1


def test_nothing_to_take_in_is_told(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], TrimEnd())
    with pytest.raises(Invalid, match="Nothing would change"):
        apply_fix(spec, lambda *_: None)


def test_half_a_character_that_stays_behind_can_be_read_and_added_to(tmp_path: Path) -> None:
    half, line = aside_row(4, "broken", "x") | {"text": "half \ud800 and a line\u2028break"}, aside_row(2, "no_answer", {})
    (tmp_path / "aside").write_text("".join(json.dumps(row) + "\n" for row in (line, half)))
    taken = TakenIn(1, "no_answer", 0, 2, asked("Hi?", "Hello."))
    listed = leave_behind(tmp_path / "aside", tmp_path / "left", [taken])
    assert listed == [{"file": 0, "line": 4, "code": "broken", "reason": "it is so"}]
    with AsideWriter(tmp_path / "copied") as writer:
        writer.copy(tmp_path / "left")
        writer.add(Problem(line=1, reason="new", file=1), "text")
        writer.finish()
    kept = [json.loads(row) for row in (tmp_path / "copied").read_text().splitlines()]
    assert kept[0] == half | {"number": 2, "is_cut": False}
    assert (kept[1]["number"], kept[1]["text"]) == (3, "text")
