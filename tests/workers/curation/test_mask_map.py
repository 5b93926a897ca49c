"""What masks stand for is known however the rows are changed after that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.datasets import Example, Problem
from app.domain.fixes import Drop, DropLonger, Fill, Fix, KeepBest, Mask, Repair, TrimEnd
from app.domain.masking import unmask
from app.domain.problems import Trouble
from tests.workers.curation.checked import Patterns, asked, raw_rows, read_rows, secrets_in, write_rows
from workers.curation import parquet
from workers.curation.aside import AsideWriter
from workers.curation.checking import CheckSpec, check
from workers.curation.fixing import FixSpec, apply_fix
from workers.curation.marking import Marker

NAMES, SECRETS = Mask(problem=Trouble.PII, keep_map=True), Mask(problem=Trouble.SECRET, keep_map=True)


class Versions:
    """A dataset's rows, changed one version after the other."""

    def __init__(self, folder: Path, examples: list[Example]) -> None:
        self.folder, self.number = folder, 0
        write_rows(self.file("rows"), examples)

    def file(self, kind: str) -> Path:
        return self.folder / f"{self.number}.{kind}"

    def change(self, fix: Fix, aside: Path | None = None, example: Example | None = None) -> dict[str, Any]:
        rows, findings, kept = self.file("rows"), self.file("findings"), self.file("map")
        check(CheckSpec(rows=rows, out=findings), lambda *_: None, marker=Marker(Patterns(), secrets_in))
        self.number += 1
        spec = FixSpec(
            rows=rows, findings=findings, fix=fix, out=self.file("rows"), aside=aside, aside_out=self.file("aside"),
            mask_map=self.file("map"), mask_map_base=kept if kept.exists() else None,
        )  # fmt: skip
        return apply_fix(spec, lambda *_: None, parse=lambda _: example or Problem(line=1, reason="none"))

    def unmasked(self) -> list[list[str]]:
        """Return what the rows say once the map has turned the masks in them back, each under the number and the hash it has."""
        texts, hashes = [row.texts for row in read_rows(self.file("rows"))], [raw["hash"] for raw in raw_rows(self.file("rows"))]
        for line in self.file("map").read_text(encoding="utf-8").strip().split("\n"):
            told = json.loads(line)
            assert told["hash"] == hashes[told["row"] - 1]
            texts[told["row"] - 1] = [unmask(text, told["masks"]) for text in texts[told["row"] - 1]]
        return texts


def texts_of(examples: list[Example]) -> list[list[str]]:
    return [[turn.content for turn in example.turns] for example in examples]


@pytest.mark.parametrize("group", [1, 2, 5_000])
def test_the_last_map_tells_of_all_masks_whatever_was_done_to_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", group)
    given = [
        asked("Is it Ada?", "No."), asked("Is it John?", "No."), asked("Hello there", "Hi."), asked("Ada has key-1", "John has key-2."),
        asked("{{name}} asks for Ada", "Yes."), asked("Zoë <|im_end|>", "Ada"),
    ]  # fmt: skip
    versions = Versions(tmp_path, given)
    versions.change(NAMES)
    assert versions.unmasked() == texts_of(given)
    versions.change(SECRETS)
    assert read_rows(versions.file("rows"))[3].texts == ["[NAME_1] has [SECRET_1]", "[NAME_2] has [SECRET_2]."]
    assert versions.unmasked() == texts_of(given)
    versions.change(Fill(values={"{{name}}": "Somebody"}))
    versions.change(Repair(problem=Trouble.CONTROL_TOKENS))
    after = [*texts_of(given[:4]), ["Somebody asks for Ada", "Yes."], ["Zoë", "Ada"]]
    assert versions.unmasked() == after
    versions.change(KeepBest(problem=Trouble.EXACT_DUPLICATE))  # masked, the first two say the same
    assert versions.unmasked() in (after[1:], [after[0], *after[2:]])


def test_rows_that_are_taken_in_before_masked_ones_move_these_on(tmp_path: Path) -> None:
    versions = Versions(tmp_path, [asked("Is it Ada?", "No."), asked("Is it John?", "No.")])
    versions.change(NAMES)
    with AsideWriter(tmp_path / "aside") as writer:
        problem = Problem(line=2, reason="no answer", code=Trouble.NO_ANSWER)
        turns = [{"role": role, "content": "new"} for role in ("user", "assistant", "user")]
        writer.add(problem, json.dumps({"messages": turns}))
        writer.finish()
    versions.change(TrimEnd(), tmp_path / "aside", asked("new", "new"))
    assert versions.unmasked() == [["Is it Ada?", "No."], ["new", "new"], ["Is it John?", "No."]]


def test_masks_that_are_not_to_be_kept_leave_what_is_known_of_others(tmp_path: Path) -> None:
    versions = Versions(tmp_path, [asked("Ada has key-1", "Yes."), asked("Hi", "Hello.")])
    versions.change(NAMES)
    versions.change(Mask(problem=Trouble.SECRET))
    assert versions.unmasked() == [["Ada has [SECRET]", "Yes."], ["Hi", "Hello."]]


@pytest.mark.parametrize("fix", [Drop(problem=Trouble.PLACEHOLDER), DropLonger(tokens=60)])
def test_rows_that_are_left_out_leave_the_map(tmp_path: Path, fix: Fix) -> None:
    versions = Versions(tmp_path, [asked("Ada wants {{name}}", "Yes, " * 40), asked("Who?", "You."), asked("John?", "Yes.")])
    versions.change(NAMES)
    versions.change(fix)
    assert versions.unmasked() == [["Who?", "You."], ["John?", "Yes."]]


def test_without_masks_in_the_rows_there_is_no_map(tmp_path: Path) -> None:
    versions = Versions(tmp_path, [asked("Ada wants {{name}}", "Yes."), asked("Who?", "You.")])
    versions.change(NAMES)
    assert versions.file("map").exists()
    versions.change(Drop(problem=Trouble.PLACEHOLDER))
    assert not versions.file("map").exists()
