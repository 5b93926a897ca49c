"""Whatever is made of real files can be taken away and brought back as the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.material.test_every_file import ASKS, FILES
from tests.workers.curation.conftest import Importer
from tests.workers.curation.taken_away import learnt, taken_away

pytestmark = pytest.mark.material
MAPPED = {
    "classification/Bitext_*_Testing_Dataset.csv": {"user": "utterance", "assistant": "intent"},
    "classification/clinc150_data_full.json": {"user": "column 1", "assistant": "column 2"},
    "classification/sms_spam_latin1.csv": {"user": "v2", "assistant": "v1"},
    "pii/presidio_generated_small.json": {"text": "full_text"},
}
READ = [pattern for pattern, expected in FILES.items() if expected.shape and expected is not ASKS and "*" not in pattern]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("pattern", [*MAPPED, *READ])
def test_rows_that_are_taken_away_and_brought_back_are_the_same(
    material: Path, imported: Importer, tmp_path: Path, pattern: str, kind: str
) -> None:
    (file,) = material.glob(pattern)
    before = imported(file, file.name, mapping=MAPPED.get(pattern))
    after = imported(taken_away(before, tmp_path, kind), f"rows.{kind}")
    assert (after.report.rows, after.problems, after.report.notes) == (before.report.rows, [], [])
    assert learnt(after) == learnt(before)
