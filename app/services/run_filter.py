"""Which runs a list shows: filters that add up, the same for pages and REST, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, or_, select, true

from app.db import Dataset, DatasetVersion, Run, User
from app.domain.runs import states_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, TableValuedAlias
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

MAX_TAGS_SHOWN = 200
ID_CHARACTERS = 6
"""A shorter beginning of an id is no id: all runs of a day share theirs."""


@dataclass(frozen=True)
class RunFilter:
    """What a person looks for; empty parts hide nothing. Several states add up, several tags must all be there."""

    status: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    q: str = ""
    owner: str = ""
    base_model: str = ""
    dataset_id: str = ""

    @property
    def parts(self) -> list[str]:
        """The names of the parts that hide something."""
        return [part.name for part in fields(self) if getattr(self, part.name)]

    def without(self, part: str) -> RunFilter:
        """Return the filter with one part less."""
        return replace(self, **{part: getattr(RunFilter(), part)})

    def mine(self, session: Session, by: Identity) -> Select[Run]:
        """Return the project's runs that this lets through."""
        conditions: list[ColumnElement[bool]] = [Run.project_id == by.project_id]
        if self.status:
            conditions.append(Run.status.in_(states_of(self.status)))
        conditions += [_has_tag(session, tag.lower()) for tag in self.tag]
        conditions += [_holds(session, word) for word in self.q.split()]
        if self.owner:
            conditions.append(Run.created_by.in_(select(User.id).where(User.name == self.owner)))
        if self.base_model:
            conditions.append(Run.base_model == self.base_model)
        if self.dataset_id:
            conditions.append(_on_dataset(Dataset.id == self.dataset_id))
        return select(Run).where(*conditions)


EVERYTHING = RunFilter()
"""Hides nothing."""


def tag_values(session: Session) -> TableValuedAlias:
    """Return a run's tags as rows, beside the run."""
    if session.get_bind().dialect.name == "postgresql":
        return func.jsonb_array_elements_text(Run.tags).table_valued("value", name="tags_of_run")
    return func.json_each(Run.tags).table_valued("value", name="tags_of_run")


def tag_counts(session: Session, runs: Select[Run]) -> list[tuple[str, int]]:
    """Return the tags that some runs have, most used first."""
    tags, number = tag_values(session), func.count().label("number")
    value: ColumnElement[str] = tags.c.value
    counted = runs.with_only_columns(value, number).select_from(Run).join(tags, true()).group_by(value).order_by(number.desc(), value)
    return [(tag, count) for tag, count in session.execute(counted.limit(MAX_TAGS_SHOWN))]


def state_counts(session: Session, runs: Select[Run]) -> dict[str, int]:
    """Return how many of some runs are in each state."""
    return dict(session.execute(runs.with_only_columns(Run.status, func.count()).group_by(Run.status)).all())


def _has_tag(session: Session, tag: str) -> ColumnElement[bool]:
    tags = tag_values(session)
    return exists(select(1).select_from(tags).where(tags.c.value == tag))


def _on_dataset(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    versions = select(DatasetVersion.id).join(Dataset, Dataset.id == DatasetVersion.dataset_id).where(condition)
    return or_(Run.version_id.in_(versions), Run.eval_version_id.in_(versions))


def _holds(session: Session, word: str) -> ColumnElement[bool]:
    """Return whether a word is part of what a run is called, notes, tags, stands on; or the beginning of its id."""
    word, tags = word.lower(), tag_values(session)

    def within(text: Any) -> ColumnElement[bool]:
        found: ColumnElement[bool] = func.lower(text).contains(word, autoescape=True)
        return found

    places = [within(Run.name), within(Run.notes), within(Run.base_model), _on_dataset(within(Dataset.name))]
    places.append(exists(select(1).select_from(tags).where(within(tags.c.value))))
    if len(word) >= ID_CHARACTERS:
        places.append(Run.id.startswith(word, autoescape=True))
    return or_(*places)
