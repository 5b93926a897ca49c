from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import PROJECT_ROOT
from app.domain.errors import Invalid, NotFound
from app.domain.narrowing import hints
from app.gateways.catalog import read_catalog
from app.gateways.recipes import RecipeBook, read_recipe
from app.gateways.samples import SampleShelf
from workers.curation.shapes import to_example

BOOK = RecipeBook(PROJECT_ROOT / "recipes", SampleShelf(PROJECT_ROOT / "samples"))
SLUGS = [recipe.slug for recipe in BOOK.listed()]


def rows(content: bytes) -> Iterator[dict[str, object]]:
    return (json.loads(line) for line in content.splitlines())


def test_each_file_is_a_recipe() -> None:
    assert sorted(SLUGS) == sorted(path.stem for path in (PROJECT_ROOT / "recipes").glob("*.toml"))
    assert set(SLUGS) == {
        "support-emails", "brand-voice", "pii-masking", "code-completion", "classification", "summaries", "translation",
    }  # fmt: skip


@pytest.mark.parametrize("slug", SLUGS)
def test_the_sample_of_each_can_be_read_whole_as_chat(slug: str) -> None:
    recipe, file = BOOK.find(slug), BOOK.sample(slug)
    found = [to_example(row) for row in rows(file.content)]
    assert len(found) >= 0.97 * recipe.sample.rows
    assert {shape for shape, _ in found} == {"chat"}
    assert {example.turns[0].content for _, example in found} == {recipe.row.system}
    assert file.name.startswith("Sample: ")


@pytest.mark.parametrize("slug", SLUGS)
def test_the_same_number_and_seed_are_the_same_rows(slug: str) -> None:
    small = BOOK.sample(slug, rows=60, seed=7)
    assert len(small.content.splitlines()) == 60
    assert small == BOOK.sample(slug, rows=60, seed=7)
    assert small.sha256 != BOOK.sample(slug, rows=60, seed=8).sha256
    assert small.name.endswith(", 60 rows, seed 7")


@pytest.mark.parametrize("slug", SLUGS)
def test_its_tasks_are_narrow_and_the_wide_ones_are_seen_as_such(slug: str) -> None:
    recipe = BOOK.find(slug)
    for task in (recipe.task, *recipe.good):
        assert hints(task, recipe.output) == [], task
    assert all(hints(task) for task in recipe.bad)


@pytest.mark.parametrize("slug", SLUGS)
def test_its_bases_are_in_the_catalogue(slug: str) -> None:
    catalogue = read_catalog(PROJECT_ROOT / "catalog")
    assert {catalogue.get(base).slug for base in BOOK.find(slug).bases} == set(BOOK.find(slug).bases)


def test_what_answers_are_is_what_the_sample_has() -> None:
    sorting, mails = BOOK.find("classification"), BOOK.find("support-emails")
    said = {to_example(row)[1].turns[-1].content for row in rows(BOOK.sample("classification").content)}
    assert said == set(sorting.row.labels)
    schema = mails.row.answer
    assert schema
    for row in rows(BOOK.sample("support-emails").content):
        answer = json.loads(to_example(row)[1].turns[-1].content)
        assert all(value in schema["properties"][name]["enum"] for name, value in answer.items())


@pytest.mark.parametrize("count", [1, 49, 2_001, 1_000_000])
def test_more_or_fewer_rows_than_there_are_are_refused(count: int) -> None:
    with pytest.raises(Invalid, match="Ask for 50 to"):
        BOOK.sample("classification", rows=count)


def test_what_is_not_in_the_book_is_not_found() -> None:
    for slug in ("nothing", "../samples", "words/code"):
        with pytest.raises(NotFound):
            BOOK.find(slug)


def test_a_broken_recipe_is_left_out_and_its_fault_named(tmp_path: Path) -> None:
    good = (PROJECT_ROOT / "recipes" / "translation.toml").read_text()
    (tmp_path / "translation.toml").write_text(good)
    (tmp_path / "moved.toml").write_text(good)
    (tmp_path / "broken.toml").write_text(good.replace("rows = 1000", "rows = 2500"))
    assert [recipe.slug for recipe in RecipeBook(tmp_path, BOOK.shelf).listed()] == ["translation"]
    with pytest.raises(ValueError, match="is about translation: both"):
        read_recipe(tmp_path / "moved.toml")
    with pytest.raises(ValueError, match="less than or equal to 2000"):
        read_recipe(tmp_path / "broken.toml")
