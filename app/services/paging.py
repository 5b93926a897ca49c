"""Pages of a list: newest first, `after` is the last id one has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of a list, and whether there is more."""

    items: Sequence[Item]
    has_more: bool


def newest_first(session: Session, query: Select[Item], key: Any, *, limit: int, after: str | None) -> Page[Item]:
    """Return a page of `query` by falling `key`; a keyset, never OFFSET."""
    if after:
        query = query.where(key < after)
    found = session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    return Page(found[:limit], len(found) > limit)
