"""What stands around every page: the rail with its counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.web.places import PLACES

if TYPE_CHECKING:
    from app.services.accounts import Identity
    from app.services.overview import Overview
    from app.services.studio import Studio


@dataclass(frozen=True)
class Link:
    """One entry of the rail."""

    href: str
    label: str
    icon: str
    count: str = ""
    live: bool = False
    on_phone: bool = True
    also: tuple[str, ...] = ()
    """Other pages that belong to it."""

    def is_current(self, path: str) -> bool:
        """Return whether a page belongs to this entry."""
        return any(path == own or (own != "/" and path.startswith(own + "/")) for own in (self.href, *self.also))


@dataclass(frozen=True)
class Group:
    """Entries that belong together."""

    links: tuple[Link, ...]
    css: str = ""


class Frame:
    """The rail; counts are read when a whole page is drawn, not for fragments."""

    def __init__(self, identity: Identity, overview: Overview, studio: Studio, *, signed_in: bool) -> None:
        self.identity, self.signed_in = identity, signed_in
        self._overview, self._studio = overview, studio

    @cached_property
    def full_disks(self) -> list[str]:
        """What there is no room left for, as far as is known."""
        return self._studio.disks.full()

    @cached_property
    def navigation(self) -> tuple[Group, ...]:
        """The steps that have a page, and the places beside them."""
        totals = self._overview.totals(self.identity)
        running = f"{totals.running} running" if totals.running else str(totals.runs or "")
        return (
            Group((
                Link("/", "Home", "home"),
                Link("/goal", "Goal", "goal", also=("/baselines", "/cloud-costs")),
                Link("/datasets", "Data", "data", str(totals.datasets or "")),
                Link("/models", "Model", "model", also=("/precision",)),
                Link("/runs", "Train", "train", running, live=bool(totals.running), also=("/prices", "/estimates")),
            )),
            Group((
                Link("/board", "Board", "board", str(totals.live_runs or ""), live=bool(totals.live_runs), on_phone=False),
                Link("/chat", "Chat", "chat", str(totals.models or ""), on_phone=False),
                Link("/workers", "Workers", "workers", str(totals.workers or ""), on_phone=False),
            )),
        )  # fmt: skip

    shortcuts = tuple(place for place in PLACES if place.keys)
    foot = (Link("/settings", "Settings", "settings"), Link("/docs", "API", "book"))
