"""How much of the personal data that others marked is found, and how much of what is found is right, kind by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.curation.pii.gold import Marked, filled, published
from tests.workers.curation.pii.scoring import Score, covered, score, table
from tools.name_tagger.examples import KINDS, SLOT, read_templates
from workers.curation.pii import Finder

pytestmark = pytest.mark.material
SENTENCES, SEED = 500, 2026
FLOORS_PUBLISHED = {
    "NAME": (0.8, 0.8), "ADDRESS": (0.75, 0.85), "CARD": (1, 1), "EMAIL": (1, 1), "ID": (1, 1), "IP": (1, 1), "PHONE": (0.9, 0.9),
    "URL": (1, 1),
}  # fmt: skip
FLOORS_FILLED = {
    "NAME": (0.8, 0.8), "ADDRESS": (0.7, 0.85), "CARD": (0.95, 0.95), "EMAIL": (1, 1), "IBAN": (1, 1), "ID": (0.9, 0.9), "IP": (1, 1),
    "PHONE": (0.9, 0.9), "URL": (1, 1),
}  # fmt: skip
"""Recall and precision of each kind that must at least be reached."""


@pytest.fixture(scope="module")
def sentences(material: Path) -> list[Marked]:
    return filled(material, SENTENCES, SEED)


def measured(finder: Finder, texts: list[Marked], title: str) -> dict[str, Score]:
    scores = score((each.spans, finder.find(each.text)) for each in texts)
    print(f"\n{title}: {len(texts)} texts\n{table(scores)}")  # noqa: T201 -- the figures of docs/pii.md
    return scores


def below(scores: dict[str, Score], floors: dict[str, tuple[float, float]]) -> list[str]:
    return [kind for kind, (recall, precision) in floors.items() if scores[kind].recall < recall or scores[kind].precision < precision]


def test_sentences_that_others_filled(finder: Finder, material: Path) -> None:
    scores = measured(finder, published(material), "as published")
    assert below(scores, FLOORS_PUBLISHED) == []


def test_templates_of_others_filled_anew(finder: Finder, sentences: list[Marked]) -> None:
    scores = measured(finder, sentences, "filled anew")
    assert below(scores, FLOORS_FILLED) == []


def test_names_that_no_list_has_are_found_by_what_is_around_them(finder: Finder, sentences: list[Marked]) -> None:
    unknown = [
        covered(span, [found for found in finder.find(each.text) if found.kind == "NAME"]) for each in sentences for span in each.unknown
    ]
    assert len(unknown) >= 80
    assert sum(unknown) / len(unknown) >= 0.7


def test_no_template_of_others_was_learnt_from(material: Path) -> None:
    lines = (material / "pii" / "presidio_templates.txt").read_text(encoding="utf-8", errors="replace").splitlines()

    def runs(line: str, sign: str) -> set[tuple[str, ...]]:
        words = sign.join(line.lower().replace("\\n", " ").split("\n")).split()
        return {tuple(words[at : at + 6]) for at in range(len(words) - 5)}

    theirs = set().union(*(runs(line.replace("{{", "{").replace("}}", "}"), " ") for line in lines))
    ours = [line for kind in KINDS for line in read_templates(kind) if SLOT.search(line)]
    assert [line for line in ours if runs(line, " ") & theirs] == []
