"""The book of recipes: a TOML file for each, lists of words beside them, and the samples on the shelf."""

from __future__ import annotations

import hashlib
import json
import random
import tomllib
from typing import TYPE_CHECKING

import structlog

from app.domain.errors import Invalid, NotFound
from app.domain.recipes import Recipe
from app.domain.samples import Part, SampleFile
from app.domain.written.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domain.ports import Shelf

FEWEST_ROWS = 50
log = structlog.get_logger()


class RecipeBook:
    """The recipes in a folder; where there is no folder, there are none."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self.folder, self.shelf = folder, shelf

    def listed(self) -> Sequence[Recipe]:
        """Return every recipe, those whose sample comes with Hone first; a broken one is left out and logged."""
        found = []
        for path in sorted(self.folder.glob("*.toml")):
            try:
                found.append(read_recipe(path))
            except (OSError, ValueError) as error:
                log.warning("a recipe cannot be read", path=str(path), error=str(error))
        return sorted(found, key=lambda recipe: (recipe.sample.shelf is None, recipe.title))

    def find(self, slug: str) -> Recipe:
        """Return a recipe, or NotFound."""
        for recipe in self.listed():
            if recipe.slug == slug:
                return recipe
        raise NotFound("There is no such recipe.", code="recipe_not_found")

    def sample(self, slug: str, *, rows: int | None = None, seed: int = 0) -> SampleFile:
        """Return sample rows of a recipe as a file: the same rows for the same number and seed. Invalid for more than there are."""
        recipe = self.find(slug)
        count = recipe.sample.rows if rows is None else rows
        if not FEWEST_ROWS <= count <= recipe.sample.most:
            raise Invalid(f"Ask for {FEWEST_ROWS} to {recipe.sample.most:,} rows.", param="rows", code="rows_out_of_range")
        content = self._lines(recipe, count, random.Random(f"{seed} {slug}"))  # noqa: S311 - dice, not secrets
        name = f"Sample: {recipe.title}" + (f", {count} rows" if count != recipe.sample.rows else "") + (f", seed {seed}" if seed else "")
        return SampleFile(name=name, filename=f"sample-{slug}.jsonl", content=content, sha256=hashlib.sha256(content).hexdigest())

    def _lines(self, recipe: Recipe, count: int, rng: random.Random) -> bytes:
        """Return rows as JSON lines: written, or drawn from the sample on the shelf, which stays in its order."""
        source = recipe.sample
        if source.writer is None:
            lines = self.shelf.file(str(source.shelf), Part.TRAIN).content.splitlines(keepends=True)
            return b"".join(lines[number] for number in sorted(rng.sample(range(len(lines)), min(count, len(lines)))))
        words = tomllib.loads((self.folder / "words" / f"{source.words}.toml").read_text(encoding="utf-8"))
        made = WRITERS[source.writer](words, count, rng)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made).encode()


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; ValueError names the file's fault."""
    recipe = Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    if recipe.slug != path.stem:
        raise ValueError(f"{path.name} is about {recipe.slug}: both have to have one name.")
    return recipe
