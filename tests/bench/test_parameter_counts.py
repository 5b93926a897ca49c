from collections import Counter
from pathlib import Path

import pytest

from bench.parameter_counts import adapters, counted
from tests.facts import FACTS

pytestmark = pytest.mark.material


def test_every_published_count_is_met_exactly_and_the_catalogue_has_it(material: Path) -> None:
    rows = counted(material)
    assert [row for row in rows if row["gap"] or row["catalogue"] != row["published"]] == []
    assert Counter(row["kind"] for row in rows) == {
        "text": 14, "text and vision": 3, "text part of a model that sees": 1, "experts": 1, "text, inferred": 1, "experts, inferred": 1,
    }  # fmt: skip
    assert {row["published"] for row in rows} <= set(FACTS.values())


def test_the_text_part_of_a_model_that_sees_is_what_its_row_says(material: Path) -> None:
    rows = [row for row in counted(material) if row["kind"] == "text and vision"]
    assert all(f"text only {row['text']}" in row["why"] for row in rows)


def test_a_token_of_gpt_oss_passes_the_parameters_that_its_maker_names(material: Path) -> None:
    row = next(row for row in counted(material) if row["model"] == "gpt-oss-20b")
    assert round(row["per_token"] / 1e9, 1) == 3.6


def test_adapters_train_what_was_published(material: Path) -> None:
    rows = adapters(material)
    assert len(rows) == 5
    assert all(row["ours"] == row["published"] for row in rows)
