"""A fix carried out: what a preview shows is what becomes of the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.datasets import Example, Row, Split, Turn, row_hash
from app.domain.errors import Invalid
from app.domain.fixes import Balance, Drop, DropLonger, Fill, Fix, KeepBest, Mask, Repair
from app.domain.masking import unmask
from app.domain.problems import Trouble
from app.gateways.findings import Findings
from tests.workers.curation import checked
from tests.workers.curation.checked import asked, looked_at, raw_rows, read_rows
from workers.curation import checking, fixing
from workers.curation.fixing import FixSpec, apply_fix

ROOT = Path(__file__).parents[3]
WORDS = ["Ada", "John", "key-1", "{{name}}", "<|im_end|>", "schÃ¶n", "schön", "Hello there", "Who are you, and what do you do?", "TODO"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
EXAMPLES = st.one_of(
    st.builds(asked, TEXTS, TEXTS),
    st.builds(asked, st.sampled_from(["A?", "B?"]), st.sampled_from(["yes", "no"]), label=st.sampled_from([None, True, False])),
    st.builds(lambda question, better, worse: asked(question, better, rejected=[Turn("assistant", worse)]), TEXTS, TEXTS, TEXTS),
    st.builds(lambda text: Example([Turn("text", text)]), TEXTS),
)
IN_ROWS = [Trouble.OTHER_ANSWER, Trouble.PLACEHOLDER, Trouble.LEAK, Trouble.PII, Trouble.SECRET, Trouble.MOJIBAKE, Trouble.CONTROL_TOKENS]
FIXES = st.one_of(
    st.builds(Drop, problem=st.sampled_from(IN_ROWS), rows=st.one_of(st.none(), st.just([0, 1, 2, 99]))),
    st.builds(KeepBest, problem=st.sampled_from([Trouble.EXACT_DUPLICATE, Trouble.NEAR_DUPLICATE, Trouble.OTHER_ANSWER])),
    st.builds(Mask, problem=st.sampled_from([Trouble.PII, Trouble.SECRET]), rows=st.one_of(st.none(), st.just([1, 3]))),
    st.builds(Repair, problem=st.sampled_from([Trouble.MOJIBAKE, Trouble.CONTROL_TOKENS])),
    st.just(Fill(values={"{{name}}": "Grace", "TODO": ""})),
    st.builds(Balance, most=st.integers(1, 3)),
    st.builds(DropLonger, tokens=st.integers(8, 40)),
)


def spoken(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.messages, row.rejected, row.label, row.tools) for row in rows]


def fixed(folder: Path, fix: Fix, **more: Any) -> dict[str, Any]:
    spec = FixSpec(rows=folder / "rows.parquet", findings=folder / "findings.arrow", fix=fix, out=folder / "out.parquet", **more)
    return apply_fix(spec, lambda *_: None)


@settings(max_examples=60)
@given(examples=st.lists(EXAMPLES, min_size=1, max_size=14), fix=FIXES)
def test_a_preview_shows_what_becomes_of_every_row(examples: list[Example], fix: Fix) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        before, found, _ = looked_at(folder, examples)
        findings = Findings(found)
        selection, rows = findings.select(fix), read_rows(before)
        shown = [selection.after(row, finding) for row, finding in zip(rows, findings.of([row.row for row in rows]), strict=True)]
        left = [row for row in shown if row is not None]
        if not left or left == rows:
            with pytest.raises(Invalid):
                fixed(folder, fix)
            return
        report = fixed(folder, fix)
        after = read_rows(folder / "out.parquet")
        assert spoken(after) == spoken(left)
        assert [row.row for row in after] == list(range(report["rows"]))
        assert report["dropped"] == len(rows) - len(left)
        assert report["changed"] == sum(new is not None and new is not old for old, new in zip(rows, shown, strict=True))
        if {row.split for row in left} == set(Split):
            assert [row.split for row in after] == [row.split for row in left]


def test_every_changed_row_has_the_hash_of_what_it_says_now(tmp_path: Path) -> None:
    looked_at(tmp_path, [asked("I am Ada.", "Hello Ada."), asked("Who?", "John.", label=True), asked("Nobody?", "Nobody.")])
    fixed(tmp_path, Mask(problem=Trouble.PII))
    for row, raw in zip(read_rows(tmp_path / "out.parquet"), raw_rows(tmp_path / "out.parquet"), strict=True):
        assert raw["hash"] == row_hash(row.messages, label=row.label)
    assert [row.texts for row in read_rows(tmp_path / "out.parquet")] == [
        ["I am [NAME].", "Hello [NAME]."], ["Who?", "[NAME]."], ["Nobody?", "Nobody."]
    ]  # fmt: skip


def test_rows_keep_their_side_although_their_hash_changes(tmp_path: Path) -> None:
    examples = [asked(f"Ada number {number}?", "Yes.") for number in range(60)]
    before, _, _ = looked_at(tmp_path, examples)
    report = fixed(tmp_path, Mask(problem=Trouble.PII))
    assert [raw["split"] for raw in raw_rows(tmp_path / "out.parquet")] == [raw["split"] for raw in raw_rows(before)]
    assert report["train_rows"] + report["test_rows"] == report["rows"] == 60


def test_changed_rows_are_packed_as_those_that_were_read(tmp_path: Path) -> None:
    before, _, _ = looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Who?", "You.")])
    fixed(tmp_path, Mask(problem=Trouble.PII))
    groups = [pq.read_metadata(path).row_group(0) for path in (before, tmp_path / "out.parquet")]
    read, changed = [
        [
            (column.path_in_schema, column.encodings, column.compression, column.is_stats_set)
            for column in map(group.column, range(group.num_columns))
        ]
        for group in groups
    ]
    assert changed == read


def test_tools_lines_and_files_stay_as_they_were(tmp_path: Path) -> None:
    calls = '[{"id":"1","type":"function","function":{"name":"find","arguments":"{\\"who\\": \\"Ada\\"}"}}]'
    turns = [
        Turn("user", "Ada?"),
        Turn("assistant", "", tool_calls=calls),
        Turn("tool", "Ada is here.", tool_call_id="1"),
        Turn("assistant", "Here."),
    ]
    before, _, _ = looked_at(tmp_path, [Example(turns, tools='[{"type":"function"}]'), asked("Who?", "You.")])
    fixed(tmp_path, Mask(problem=Trouble.PII))
    old, new = raw_rows(before)[0], raw_rows(tmp_path / "out.parquet")[0]
    assert {name: new[name] for name in ("tools", "line", "file", "row")} == {name: old[name] for name in ("tools", "line", "file", "row")}
    assert new["messages"][1]["tool_calls"] == calls.replace("Ada", "[NAME]")
    assert new["messages"][2]["tool_call_id"] == "1"


def test_the_map_alone_turns_masks_back(tmp_path: Path) -> None:
    before, _, _ = looked_at(tmp_path, [asked("Is it John or Ada?", "Ada."), asked("Who?", "Nobody."), asked("Zoë?", "Yes, Zoë.")])
    fixed(tmp_path, Mask(problem=Trouble.PII, keep_map=True), mask_map=tmp_path / "map.jsonl")
    kept = [json.loads(line) for line in (tmp_path / "map.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["row"] for each in kept] == [1, 3]
    after, hashes = read_rows(tmp_path / "out.parquet"), [row["hash"] for row in raw_rows(tmp_path / "out.parquet")]
    for each in kept:
        place = hashes.index(each["hash"])
        assert place == each["row"] - 1
        assert [unmask(text, each["masks"]) for text in after[place].texts] == read_rows(before)[place].texts


def test_no_map_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Who?", "You.")])
    fixed(tmp_path, Mask(problem=Trouble.PII), mask_map=tmp_path / "map.jsonl")
    assert not (tmp_path / "map.jsonl").exists()


def test_rows_outside_the_sample_are_looked_through_when_they_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "ROWS_LOOKED_THROUGH", 20)
    monkeypatch.setattr(fixing, "_finder", checked.Patterns)
    _, _, summary = looked_at(tmp_path, [asked(f"Ada number {number} has key-{number}", "Yes.") for number in range(60)])
    assert summary["problems"]["pii"] == summary["sampled"]["pii"] < 60
    assert summary["problems"]["secret"] == 60
    assert fixed(tmp_path, Mask(problem=Trouble.PII))["changed"] == 60
    texts = [row.texts[0] for row in read_rows(tmp_path / "out.parquet")]
    assert texts == [f"[NAME] number {number} has key-{number}" for number in range(60)]


@pytest.mark.parametrize("sample", [20, 200_000])
def test_what_stands_in_arguments_of_tools_alone_is_masked_in_and_outside_of_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    monkeypatch.setattr(checking, "ROWS_LOOKED_THROUGH", sample)
    monkeypatch.setattr(fixing, "_finder", checked.Patterns)
    calls = json.dumps([{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"who": "Ada", "key": "key-1"}'}}])
    turns = [Turn("user", "Look."), Turn("assistant", "", calls), Turn("tool", "Nothing."), Turn("assistant", "Nothing.")]
    looked_at(tmp_path, [Example([*turns, Turn("user", f"{number}?"), Turn("assistant", "No.")]) for number in range(60)])
    assert fixed(tmp_path, Mask(problem=Trouble.PII))["changed"] == 60
    calls_now = [row.messages[1].tool_calls for row in read_rows(tmp_path / "out.parquet")]
    assert {call["function"]["arguments"] for found in calls_now for call in found or ()} == {'{"who": "[NAME]", "key": "key-1"}'}


def test_rows_that_were_set_aside_go_along(tmp_path: Path) -> None:
    looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Who?", "You.")])
    (tmp_path / "aside.jsonl").write_text('{"line": 1}\n')
    fixed(tmp_path, Mask(problem=Trouble.PII), aside=tmp_path / "aside.jsonl", aside_out=tmp_path / "left.jsonl")
    assert (tmp_path / "left.jsonl").read_text() == '{"line": 1}\n'


def test_a_fix_that_would_leave_no_row_is_refused(tmp_path: Path) -> None:
    looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Ada is here", "You.")])
    with pytest.raises(Invalid, match="No row would be left"):
        fixed(tmp_path, Drop(problem=Trouble.PII))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["findings.arrow", "rows.parquet"]


def test_when_one_side_would_be_empty_a_row_moves_over(tmp_path: Path) -> None:
    examples = [asked("Ada?", "Yes.", split=Split.TEST), *(asked(f"Question {number}?", "No.", split=Split.TRAIN) for number in range(5))]
    looked_at(tmp_path, examples)
    report = fixed(tmp_path, Drop(problem=Trouble.PII))
    assert (report["rows"], report["train_rows"], report["test_rows"]) == (5, 4, 1)
    assert sorted(row.split for row in read_rows(tmp_path / "out.parquet")) == ["test", "train", "train", "train", "train"]


def test_findings_of_other_rows_are_refused(tmp_path: Path) -> None:
    looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Who?", "You.")])
    checked.write_rows(tmp_path / "rows.parquet", [asked("Ada?", "Yes.")])
    with pytest.raises(Invalid, match="other rows"):
        fixed(tmp_path, Mask(problem=Trouble.PII))


def test_rows_nobody_has_looked_at_cannot_be_changed_in_bulk(tmp_path: Path) -> None:
    rows = checked.write_rows(tmp_path / "rows.parquet", [asked("Ada?", "Yes.")])
    with pytest.raises(Invalid, match="not been looked at"):
        apply_fix(FixSpec(rows=rows, fix=Mask(problem=Trouble.PII), out=tmp_path / "out.parquet"), lambda *_: None)


def test_rows_from_before_a_column_came_are_changed_too(tmp_path: Path) -> None:
    rows, _, _ = looked_at(tmp_path, [asked("Ada?", "Yes."), asked("Who?", "You.")])
    old = pq.read_table(rows).drop_columns(["rejected", "label", "tools", "file"])
    turns = old.column("messages").to_pylist()
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    said = pa.array([[{"role": turn["role"], "content": turn["content"]} for turn in row] for row in turns], kind)
    pq.write_table(old.set_column(old.schema.get_field_index("messages"), "messages", said), rows)
    fixed(tmp_path, Mask(problem=Trouble.PII))
    assert [row.texts for row in read_rows(tmp_path / "out.parquet")] == [["[NAME]?", "Yes."], ["Who?", "You."]]


def child(folder: Path, **spec: Any) -> dict[str, Any]:
    """Do a task the way a worker has it done, and return what the child reports last."""
    (folder / "spec.json").write_text(json.dumps({name: str(value) if isinstance(value, Path) else value for name, value in spec.items()}))
    argv = [sys.executable, "-m", "workers.curation.ingest", str(folder / "spec.json")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return events[-1]


def test_a_worker_s_child_looks_at_rows_and_mends_them_in_bounded_memory(tmp_path: Path) -> None:
    rows = checked.write_rows(tmp_path / "rows.parquet", [asked("My mail is ada@example.org.", "Fine."), asked("Hi", "Oh.")])
    found, out = tmp_path / "findings.arrow", tmp_path / "out.parquet"
    looked = child(tmp_path, task="check", rows=rows, out=found)
    assert (looked["status"], looked["data"]["pii"]) == ("succeeded", {"EMAIL": 1})
    mended = child(tmp_path, task="fix", rows=rows, findings=found, out=out, fix={"op": "mask", "problem": "pii"})
    assert (mended["status"], mended["data"]["words"]) == ("succeeded", "1 row masked (personal data)")
    assert read_rows(out)[0].texts == ["My mail is [EMAIL].", "Fine."]
    again = child(tmp_path, task="fix", rows=rows, findings=found, out=out, fix={"op": "drop", "problem": "leak"})
    assert (again["status"], again["code"]) == ("failed", "nothing_changed")
