"""What a few words find in a project: runs, datasets and tuned models; without words, the newest of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, case, func, or_, select, true

from app.db import Dataset, Run
from app.services.paging import Page
from app.services.run_filter import ID_CHARACTERS, RunFilter

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

MAX_WORDS, MAX_CHARACTERS = 6, 100
FOUND, NEWEST = 6, 4
"""So many of each kind are shown; whoever wants more adds a word, or opens the list."""
Item = TypeVar("Item")


def words_of(text: str) -> list[str]:
    """Return the words one looks for: printable, and no more than a search needs."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable[:MAX_CHARACTERS].split()[:MAX_WORDS]


@dataclass(frozen=True)
class Findings:
    """What was found of each kind, newest first."""

    runs: Page[Run]
    datasets: Page[Dataset]
    models: Page[Run]


class Search:
    """Looks for words in what things are called; three bounded queries, whatever is asked."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, by: Identity, words: list[str]) -> Findings:
        """Return what holds every word, by its name first; without words the newest."""
        runs = RunFilter(q=" ".join(words)).mine(self.session, by)
        models = select(Run).where(Run.project_id == by.project_id, Run.model.is_not(None), Run.adapter_id.is_not(None))
        models = models.where(*(_within(Run.model, word) for word in words))
        datasets = select(Dataset).where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None))
        datasets = datasets.where(*(_dataset_holds(word) for word in words))
        return Findings(
            self._first(runs, Run, words),
            self._first(datasets, Dataset, words),
            self._first(models, Run, words),
        )

    def _first(self, query: Select[Item], kind: type[Run | Dataset], words: list[str]) -> Page[Item]:
        """Return the first of what a query finds: what is called so before what only has to do with it, and the newest before the rest."""
        limit = FOUND if words else NEWEST
        by_name = case((and_(true(), *(_within(kind.name, word) for word in words)), 0), else_=1)
        found = self.session.scalars(query.order_by(by_name, kind.id.desc()).limit(limit + 1)).all()
        return Page(found[:limit], len(found) > limit)


def _within(text: Any, word: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.lower(text).contains(word.lower(), autoescape=True)
    return found


def _dataset_holds(word: str) -> ColumnElement[bool]:
    places = [_within(Dataset.name, word), _within(Dataset.filename, word)]
    if len(word) >= ID_CHARACTERS:
        places.append(Dataset.id.startswith(word.lower(), autoescape=True))
    return or_(*places)
