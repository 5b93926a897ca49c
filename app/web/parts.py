"""What the pages of one running studio share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.web.live import Live
    from app.web.pages import Pages


@dataclass(frozen=True)
class Web:
    """The templates, the open streams, and the facts the settings page tells."""

    pages: Pages
    live: Live
    about: dict[str, str] = field(default_factory=dict)
