"""Rows that were set aside come in at their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid, NotFound
from app.domain.fixes import Fix, Mend, TrimEnd
from tests.workers.curation.checked import asked, raw_rows, read_rows
from workers.curation.aside import AsideWriter
from workers.curation.fixing import FixSpec, apply_fix
from workers.curation.parquet import RowWriter
from workers.curation.taking_in import TakenIn, leave_behind, without_unanswered_end

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
    assert (report["rows"], report["added"], report["aside"], report["problem_count"]) == (7, 3, {"broken": 1, "no_answer": 1}, 2)
    assert [problem["line"] for problem in report["problems"]] == [3, 9]
    assert spec.aside_out is not None
    assert len(spec.aside_out.read_text().splitlines()) == 2


def test_a_row_that_somebody_has_rewritten_comes_in(tmp_path: Path) -> None:
    fix = Mend(line=2, text=json.dumps({"messages": ANSWERED}))
    spec = version(tmp_path, [(0, 1), (0, 3)], [aside_row(2, "broken", {})], fix, system="Be kind.")
    report = apply_fix(spec, lambda *_: None)
    assert read_rows(spec.out)[1].texts == ["Be kind.", "Hi?", "Hello."]
    assert (report["words"], report["aside"], report["problem_count"]) == ("1 row taken in", {}, 0)
    assert spec.aside_out is not None
    assert not spec.aside_out.exists()


def test_a_row_that_is_still_broken_says_what_is_wrong(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], Mend(line=2, text='{"messages": [}'))
    with pytest.raises(Invalid, match="not valid JSON"):
        apply_fix(spec, lambda *_: None)
    assert not spec.out.exists()
    assert list(tmp_path.glob("*.part")) == []


def test_a_row_that_nobody_set_aside_cannot_be_mended(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], Mend(line=7, text=json.dumps({"messages": ANSWERED})))
    with pytest.raises(NotFound, match="line 7"):
        apply_fix(spec, lambda *_: None)


def test_nothing_to_take_in_is_told(tmp_path: Path) -> None:
    spec = version(tmp_path, [(0, 1)], [aside_row(2, "broken", {})], TrimEnd())
    with pytest.raises(Invalid, match="Nothing would change"):
        apply_fix(spec, lambda *_: None)


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", '{"messages": "text"}', '{"messages": [{"role": "user", "content": "Hi"}]}', "7"])
def test_what_has_no_answer_to_end_with_stays_set_aside(text: str) -> None:
    assert without_unanswered_end(text) is None


def test_half_a_character_that_stays_behind_can_be_read_and_added_to(tmp_path: Path) -> None:
    half, line = aside_row(4, "broken", "x") | {"text": "half \ud800 and a line\u2028break"}, aside_row(2, "no_answer", {})
    (tmp_path / "aside").write_text("".join(json.dumps(row) + "\n" for row in (line, half)))
    example = asked("Hi?", "Hello.")
    assert leave_behind(tmp_path / "aside", tmp_path / "left", [TakenIn(0, 2, example)]) == [half]
    with AsideWriter(tmp_path / "copied") as writer:
        writer.copy(tmp_path / "left")
        writer.finish()
    assert [json.loads(row) for row in (tmp_path / "copied").read_text().splitlines()] == [half]
