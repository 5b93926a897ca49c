"""One table of all real files there are, with what becomes of each when it is dropped on the studio."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.workers.curation.conftest import Importer

pytestmark = pytest.mark.material


class Expected(NamedTuple):
    """The shape of a file's rows and their number, those set aside by code; of what is not read, words of the reason."""

    shape: str | None
    rows: int = 0
    aside: dict[str, int] = {}  # noqa: RUF012 - a table's constant
    words: str = ""


ASKS = Expected("table", words="Say which column")
NO_ROWS = Expected(None, aside={"broken": 1}, words="valid JSON, but holds no rows")
TEMPLATE = Expected(None, words="is a template, without rows Hone could tell apart")
FILES = {
    "SOURCES.md": Expected("text", 3),
    "model_facts.csv": ASKS,
    "openai-openapi.yaml": Expected(None, words="is YAML, without rows"),
    "paper_oracles.json": ASKS,
    "chat_templates/*.jinja": TEMPLATE,
    "classification/Bitext_*.csv": ASKS,
    "classification/clinc150_data_full.json": ASKS,
    "classification/sms_spam_latin1.csv": ASKS,
    "conversation/fastchat_dummy_conversation.json": Expected("sharegpt", 500),
    "conversation/glaive_toolcall_en_demo.json": Expected("sharegpt", 300),
    "conversation/toy_chat_fine_tuning.jsonl": Expected("chat", 4, {"broken": 1}),
    "conversation/v1_sft_demo.jsonl": Expected("chat", 500),
    "dirty/blns.json": Expected("text", 513, {"empty_answer": 2}),
    "dirty/blns.txt": Expected("text", 14),
    "instruct/identity.json": Expected("alpaca", 91),
    "instruct/rasbt_instruction-data.json": Expected("alpaca", 1_100),
    "instruct/user_oriented_instructions.jsonl": ASKS,
    "licences/*": Expected("text"),
    "models/stories260k/config.json": NO_ROWS,
    "models/stories260k/generation_config.json": NO_ROWS,
    "models/stories260k/tokenizer_config.json": NO_ROWS,
    "models/stories260k/tokenizer.json": ASKS,
    "models/stories260k/model.safetensors": Expected(None, words="safetensors weights. A dataset is a file of examples"),
    "pii/presidio_generated_small.json": ASKS,
    "pii/presidio_templates.txt": Expected("text", 10),
    "preference/dpo_en_demo.json": Expected("preference", 300),
    "preference/kto_en_demo.json": Expected("kto", 300),
    "preference/rasbt_instruction-data-with-preference.json": Expected("preference", 1_094, {"broken": 6}),
    "text/childrens_classics_pd.MANIFEST.tsv": ASKS,
    "text/childrens_classics_pd.txt.gz": Expected("text", 11_924),
    "text/simple_stories_cc-by.ATTRIBUTION.tsv": ASKS,
    "text/simple_stories_cc-by.txt": Expected("text", 1_283),
}


def test_the_table_names_every_file(material: Path) -> None:
    named = {path for pattern in FILES for path in material.glob(pattern)}
    others = {path for path in material.rglob("*") if path.is_file() and path.parent.name != "JSONTestSuite"} - named
    assert others == set()


@pytest.mark.parametrize("pattern", FILES)
def test_a_file_becomes_what_a_person_would_expect(material: Path, imported: Importer, pattern: str) -> None:
    expected, files = FILES[pattern], sorted(material.glob(pattern))
    assert files
    for file in files:
        found = imported(file, file.name)
        report = found.report
        asked = "needs_mapping" if expected is ASKS else "ready" if expected.shape else "failed"
        assert (report.status, report.format, report.aside) == (asked, expected.shape, expected.aside), file.name
        assert report.rows == expected.rows if "*" not in pattern else report.rows > 0 or asked != "ready", file.name
        assert expected.words in found.reason, file.name
        assert (report.suggested is not None) == (expected is ASKS), file.name


def test_every_file_of_the_json_test_suite_is_judged_right_and_breaks_nothing(material: Path, imported: Importer) -> None:
    files = sorted((material / "dirty" / "JSONTestSuite").glob("*.json"))
    assert len(files) > 300
    for file in files:
        found = imported(file, file.name)
        reasons = [reason for _, reason in found.problems]
        if file.name.startswith("n_"):
            # Rows before the break are kept, as of any file that breaks off; the break has its place.
            is_told = any("JSON" in reason or reason.startswith("byte") for reason in reasons)
            assert is_told or "empty" in found.reason or "is 0x00" in found.reason, (file.name, found.reason)
        elif file.name.startswith("y_"):
            assert not any(reason.startswith("not valid JSON") for reason in reasons), (file.name, reasons)
            assert found.report.status != "failed" or "valid JSON, but holds no rows" in found.reason or reasons, file.name


def test_valid_json_without_rows_says_so(material: Path, imported: Importer) -> None:
    for name in (
        "y_array_empty",
        "y_structure_lonely_true",
        "y_number_0e+1",
        "y_object_empty",
        "y_array_arraysWithSpaces",
        "y_object_basic",
    ):
        found = imported(material / "dirty" / "JSONTestSuite" / f"{name}.json", f"{name}.json")
        assert (found.report.status, found.reason) == ("failed", "The file is valid JSON, but holds no rows."), name
