"""What a search found, as its page and the command palette show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from app.web import looks
from app.web.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from app.db import Dataset, Run
    from app.services.paging import Page
    from app.services.search import Findings
    from app.web.looks import Look


@dataclass(frozen=True)
class Hit:
    """One thing that was found, and its state."""

    label: str
    href: str
    icon: str
    look: Look | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Group:
    """Hits of one kind, and where the rest of them stands."""

    title: str
    hits: Sequence[Hit]
    rest_label: str = ""
    rest: str = ""


def groups(found: Findings, words: list[str]) -> list[Group]:
    """Return what was found by kind: with words the places first, without them the newest things first."""
    more_runs = f"/runs?{urlencode({'q': ' '.join(words)})}" if words else "/runs"
    things = [
        _group("runs", words, found.runs, _run, ("All runs with these words" if words else "All runs", more_runs)),
        _group("datasets", words, found.datasets, _dataset, ("All datasets", "/datasets")),
        _group("models", words, found.models, _model, ("All models", "/chat")),
    ]
    # What is called so stands before what only has to do with it, and kinds are sorted by their first.
    things.sort(key=lambda group: not any(_is_called(hit.label, words) for hit in group.hits[:1]))
    places = Group("Go to", [Hit(place.label, place.href, place.icon) for place in PLACES if place.answers_to(words)])
    return [group for group in ([places, *things] if words else [*things, places]) if group.hits]


def _is_called(label: str, words: list[str]) -> bool:
    return all(word.lower() in label.lower() for word in words)


def _group(kind: str, words: list[str], page: Page[Any], hit: Callable[[Any], Hit], rest: tuple[str, str]) -> Group:
    title = kind.capitalize() if words else f"Newest {kind}"
    return Group(title, [hit(one) for one in page.items], *(rest if page.has_more else ()))


def _run(run: Run) -> Hit:
    return Hit(run.name, f"/runs/{run.id}", "train", looks.run_look(run.status), run.created_at)


def _dataset(dataset: Dataset) -> Hit:
    return Hit(dataset.name, f"/datasets/{dataset.id}", "data", looks.dataset_look(dataset.status), dataset.created_at)


def _model(run: Run) -> Hit:
    return Hit(f"Chat with {run.model}", f"/chat?tuned={quote(run.model or '')}", "chat", None, run.finished_at)
