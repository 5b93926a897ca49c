"""Every recipe's sample, read whole and looked at as the bundled base would learn it, with the recipe's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import PROJECT_ROOT
from app.domain.recipes import Recipe
from app.domain.specs import STARTER
from app.gateways.recipes import RecipeBook
from app.gateways.samples import SampleShelf
from workers.training.masks import Masker
from workers.training.preflight import Wanted, look
from workers.training.rows import read_rows
from workers.training.templates import chat_template
from workers.training.tokenizer import context_length, load_tokenizer

BOOK = RecipeBook(PROJECT_ROOT / "recipes", SampleShelf(PROJECT_ROOT / "samples"))
BASE = PROJECT_ROOT / "models" / STARTER
ROWS = 150


@pytest.fixture(scope="module")
def masker() -> Masker:
    tokenizer = load_tokenizer(BASE)
    return Masker(tokenizer, chat_template(tokenizer, "auto"))


@pytest.mark.parametrize("recipe", BOOK.listed(), ids=lambda recipe: recipe.slug)
def test_nothing_of_a_sample_is_lost_and_all_of_its_answers_are_learnt(recipe: Recipe, masker: Masker, tmp_path: Path) -> None:
    file, settings = BOOK.sample(recipe.slug, rows=ROWS), recipe.training
    (tmp_path / file.filename).write_bytes(file.content)
    rows = read_rows(tmp_path / file.filename)
    wanted = Wanted(settings.max_length, settings.batch_size, settings.seed, len(rows))
    found = look(rows, masker, wanted, context=context_length(BASE), go_on=lambda _: True)
    # One of the samples on the shelf has broken rows among its own, on purpose.
    assert len(rows) >= 0.97 * ROWS
    assert found.blocking == []
    assert (found.counts.rows, found.counts.ends_learnt) == (len(rows), len(rows))
    assert (found.counts.answers_cut, found.counts.silent, found.counts.refused, found.counts.control_tokens) == (0, 0, 0, 0)
    assert found.tokens
    assert found.tokens.max <= settings.max_length
