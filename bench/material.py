"""The real messages that the benchmarks learn from; they are not part of the project."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path

MATERIAL = Path(os.environ.get("HONE_MATERIAL", Path(__file__).resolve().parents[2] / "shared" / "data"))
BITEXT_TASK = "Answer with the intent of the customer's message."
Rows = list[dict[str, str]]


def bitext(material: Path, split: str, count: int, seed: int) -> Rows:
    """Return `count` rows of a Bitext split, at random."""
    name = f"Bitext_Sample_Customer_Service_{split}_Dataset.csv"
    with (material / "classification" / name).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return random.Random(seed).sample(rows, count)  # noqa: S311 - a repeatable choice
