"""Real files of other people, looked at row by row and mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.domain.fixes import Fill, Fix, KeepBest, Mask, offers
from app.domain.problems import Trouble
from app.gateways.findings import Findings
from tests.workers.curation.checked import read_rows
from tests.workers.curation.conftest import Importer
from workers.curation.checking import CheckSpec, check
from workers.curation.fixing import FixSpec, apply_fix

pytestmark = pytest.mark.material


class Desk(NamedTuple):
    """Rows that were imported and looked at; `mend` carries a fix out on them and returns its report."""

    summary: dict[str, Any]
    findings: Findings
    mend: Callable[[Fix], dict[str, Any]]
    mended: Path


@pytest.fixture
def looked_through(material: Path, imported: Importer, tmp_path: Path) -> Callable[..., Desk]:
    def look(name: str, *, mapping: dict[str, str] | None = None, content: str | None = None) -> Desk:
        imported(content or material / name, Path(name).name, mapping=mapping)
        rows, out = tmp_path / "out" / "rows.parquet", tmp_path / "findings.arrow"
        summary = check(CheckSpec(rows=rows, out=out), lambda *_: None)

        def mend(fix: Fix) -> dict[str, Any]:
            return apply_fix(FixSpec(rows=rows, findings=out, fix=fix, out=tmp_path / "mended.parquet"), lambda *_: None)

        return Desk(summary, Findings(out), mend, tmp_path / "mended.parquet")

    return look


Look = Callable[..., Desk]


def test_the_copies_of_sms_spam_are_counted_and_left_out(looked_through: Look) -> None:
    desk = looked_through("classification/sms_spam_latin1.csv", mapping={"user": "v2", "assistant": "v1"})
    assert desk.summary["problems"]["exact_duplicate"] == 403
    assert desk.summary["labels"] == [["ham", 4825], ["spam", 747]]
    assert desk.summary["languages"][0][0] == "en"
    assert sum(many for _, many in desk.summary["languages"][1:]) < 10
    # The file is garbled in places (å£ for £), but where nobody can tell what was meant, nothing is offered.
    assert desk.summary["problems"].get("mojibake", 0) < 0.01 * desk.summary["rows"]
    report = desk.mend(KeepBest(problem=Trouble.EXACT_DUPLICATE))
    assert (report["rows"], report["words"]) == (5_572 - 403, "403 rows left out (exact duplicates)")


def test_the_test_texts_of_clinc150_that_stand_in_training_are_found(looked_through: Look) -> None:
    desk = looked_through("classification/clinc150_data_full.json", mapping={"user": "column 1", "assistant": "column 2"})
    assert desk.summary["problems"]["leak"] == 2
    pairs = desk.findings.groups(Trouble.LEAK, after=-1, limit=9)
    assert [len(rows) for rows, _ in pairs] == [2, 2]
    assert len(desk.summary["labels"]) == 151


def test_the_placeholders_of_identity_are_found_and_filled(looked_through: Look) -> None:
    desk = looked_through("instruct/identity.json")
    assert desk.summary["placeholders"] == [["{{name}}", 77], ["{{author}}", 60]]
    assert desk.summary["problems"]["placeholder"] == 85
    offered = offers(Trouble.PLACEHOLDER, desk.summary)[0].fix
    assert isinstance(offered, Fill)
    assert set(offered.values) == {"{{name}}", "{{author}}"}
    report = desk.mend(Fill(values={"{{name}}": "Hone", "{{author}}": "its people"}))
    assert (report["changed"], report["rows"]) == (85, 91)
    assert not any("{{" in text for row in read_rows(desk.mended) for text in row.texts)


def test_calls_of_tools_are_looked_through_and_their_copies_counted(looked_through: Look) -> None:
    desk = looked_through("conversation/glaive_toolcall_en_demo.json")
    assert (desk.summary["rows"], desk.summary["problems"]["exact_duplicate"]) == (300, 35)


def test_most_of_what_presidio_has_planted_is_masked(looked_through: Look, material: Path) -> None:
    planted = json.loads((material / "pii" / "presidio_generated_small.json").read_bytes())
    rows = [json.dumps({"prompt": "Repeat it.", "completion": each["full_text"]}) for each in planted]
    desk = looked_through("rows.jsonl", content="\n".join(rows))
    people = [span["entity_value"] for each in planted for span in each["spans"] if span["entity_type"] in {"PERSON", "CREDIT_CARD"}]
    desk.mend(Mask(problem=Trouble.PII))
    said = "\n".join(row.texts[1] for row in read_rows(desk.mended))
    assert sum(value not in said for value in people) >= 0.8 * len(people)
    assert desk.summary["pii"]["NAME"] > 50
