"""The list of runs as a page: what its address asks for, the chips that narrow it, and what an empty list hides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy import func, select

from app.db import Dataset, Run, User
from app.domain.runs import GROUPS, RunStatus, states_of
from app.domain.text import Text
from app.services.run_filter import EVERYTHING, RunFilter, state_counts, tag_counts
from app.web import looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.web.visit import Visit

TAGS_SHOWN = 12
STATES = {
    "active": "Active", "waiting": "Waiting", **{str(state): looks.RUN_LOOKS[state].word for state in (
        RunStatus.SUCCEEDED, RunStatus.STOPPED, RunStatus.FAILED, RunStatus.CANCELLED,
    )},
}  # fmt: skip
"""The chips of states: live ones in two groups, and each way to end."""


def _given(values: object) -> object:
    """A form sends the fields that nobody filled in too."""
    return [value for value in values if value] if isinstance(values, list) else values


Words = Annotated[list[Text], BeforeValidator(_given), Field(max_length=20)]


class Asked(BaseModel):
    """What the address of the list asks for."""

    status: Words = Field(default_factory=list)
    tag: Words = Field(default_factory=list)
    q: Text = Field("", max_length=200)
    owner: Text = Field("", max_length=100)
    base_model: Text = Field("", max_length=500)
    dataset_id: Text = Field("", max_length=64)
    after: Text = Field("", max_length=64)
    sizes: bool = False

    @property
    def filter(self) -> RunFilter:
        """What is to be shown, without the place in the list."""
        return RunFilter(tuple(self.status), tuple(self.tag), self.q.strip(), self.owner, self.base_model, self.dataset_id)

    def href(self, wanted: RunFilter | None = None, *, after: str = "", sizes: bool | None = None) -> str:
        """Return the address of this list with another filter, place or columns; the shortest that says it."""
        wanted = wanted or self.filter
        pairs = [("status", word) for word in wanted.status] + [("tag", tag) for tag in wanted.tag]
        pairs += [(name, getattr(wanted, name)) for name in ("q", "owner", "base_model", "dataset_id") if getattr(wanted, name)]
        if self.sizes if sizes is None else sizes:
            pairs.append(("sizes", "1"))
        if after:
            pairs.append(("after", after))
        return f"/runs?{urlencode(pairs)}" if pairs else "/runs"


@dataclass(frozen=True)
class Chip:
    """Something one can narrow the list by, or stop narrowing it by."""

    label: str
    href: str
    count: int | None = None
    is_on: bool = False


@dataclass(frozen=True)
class Chips:
    """Everything above the list; `other` are filters that only an address sets."""

    states: Sequence[Chip]
    tags: Sequence[Chip]
    more_tags: Sequence[Chip]
    other: Sequence[Chip]
    owners: Sequence[str]


def chips(visit: Visit, asked: Asked) -> Chips:
    """Return the chips with their counts: each says how many there would be."""
    tags = _tags(visit, asked)
    return Chips(_states(visit, asked), tags[:TAGS_SHOWN], tags[TAGS_SHOWN:], _other(visit, asked), _owners(visit))


def _states(visit: Visit, asked: Asked) -> list[Chip]:
    wanted = asked.filter
    counts = state_counts(visit.session, wanted.without("status").mine(visit.session, visit.identity))
    found = [Chip("All", asked.href(wanted.without("status")), sum(counts.values()), not wanted.status)]
    words = {**STATES, **{word: _state_label(word) for word in wanted.status if word not in STATES}}
    for word, label in words.items():
        number, is_on = sum(counts.get(state, 0) for state in states_of([word])), word in wanted.status
        if number or is_on:
            found.append(Chip(label, asked.href(_toggled(wanted, "status", word)), number, is_on))
    return found


def _state_label(word: str) -> str:
    return "Ended" if word in GROUPS else looks.run_look(word).word


def _tags(visit: Visit, asked: Asked) -> list[Chip]:
    wanted = asked.filter
    counts = dict(tag_counts(visit.session, wanted.mine(visit.session, visit.identity)))
    chosen = [tag.lower() for tag in wanted.tag]
    names = chosen + [tag for tag in counts if tag not in chosen]
    return [Chip(tag, asked.href(_toggled(wanted, "tag", tag)), counts.get(tag, 0), tag in chosen) for tag in names]


def _toggled(wanted: RunFilter, part: str, word: str) -> RunFilter:
    words: tuple[str, ...] = getattr(wanted, part)
    rest = tuple(one for one in words if one.lower() != word)
    changed = rest if len(rest) < len(words) else (*words, word)
    return replace(wanted, status=changed) if part == "status" else replace(wanted, tag=changed)


def _other(visit: Visit, asked: Asked) -> list[Chip]:
    labels = part_labels(visit, asked.filter)
    return [
        Chip(labels[part], asked.href(asked.filter.without(part)), is_on=True) for part in ("base_model", "dataset_id") if part in labels
    ]


def _owners(visit: Visit) -> list[str]:
    made = select(Run.created_by).where(Run.project_id == visit.identity.project_id)
    return list(visit.session.scalars(select(User.name).where(User.id.in_(made)).order_by(User.name)))


def part_labels(visit: Visit, wanted: RunFilter) -> dict[str, str]:
    """Return each part of a filter as a person reads it."""
    found: Mapping[str, str] = {
        "status": "the state " + " or ".join(STATES.get(word) or _state_label(word) for word in wanted.status),
        "tag": ("the tags " if len(wanted.tag) > 1 else "the tag ") + " and ".join(wanted.tag),
        "q": f"the words “{wanted.q}”",
        "owner": f"launched by {wanted.owner}",
        "base_model": f"the base {wanted.base_model}",
        "dataset_id": f"the dataset {_dataset_name(visit, wanted.dataset_id)}",
    }
    return {part: found[part] for part in wanted.parts}


def _dataset_name(visit: Visit, dataset_id: str) -> str:
    mine = select(Dataset.name).where(Dataset.project_id == visit.identity.project_id)
    return visit.session.scalar(mine.where(Dataset.id == dataset_id)) or dataset_id


def hidden(visit: Visit, asked: Asked) -> list[Chip]:
    """Say for each filter of an empty list how many runs there would be without it."""
    wanted, labels = asked.filter, part_labels(visit, asked.filter)
    lighter = {part: wanted.without(part) for part in wanted.parts}
    return [Chip(labels[part], asked.href(rest), _number(visit, rest)) for part, rest in lighter.items()]


def _number(visit: Visit, wanted: RunFilter) -> int:
    return visit.session.scalar(wanted.mine(visit.session, visit.identity).with_only_columns(func.count())) or 0


def is_empty_project(visit: Visit) -> bool:
    """Return whether there is no run at all."""
    return _number(visit, EVERYTHING) == 0
