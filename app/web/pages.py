"""Rendering: a whole page, or the one block of it that htmx asked for.

A fragment is a block of its page (block name = element id), rendered by swapping the layout, so that imports and sets at the top of the
template still hold. `HX-Target` of htmx 4 is `tag#id`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from app.web import words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from starlette.requests import Request

MORPHED = Markup(' hx-swap-oob="outerMorph"')
"""Beside its target a block is changed in place: what is unfolded, scrolled or focused stays so."""
REPLACED = Markup(' hx-swap-oob="outerHTML"')
"""A stream is no state to keep: it ends with its element, and begins with a new one."""
VARY = "HX-Request, HX-Request-Type, HX-Target, Cookie"


class Pages:
    """The templates, and the two ways to show one."""

    def __init__(self, templates: Path, static: Path, root: str = "") -> None:
        self.static, self.root = static, root
        self._assets: dict[str, str] = {}
        self.environment = Environment(
            loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.environment.filters.update(words.FILTERS)
        self.environment.globals.update(asset=self.asset, root=root)

    def asset(self, name: str) -> str:
        """Return a static file's address, which changes with its content, so that no browser shows an old one after an upgrade."""
        if name not in self._assets:
            file = self.static / name
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:10] if file.is_file() else "missing"
            self._assets[name] = f"{self.root}/static/{name}?v={digest}"
        return self._assets[name]

    def render(
        self, request: Request, name: str, /, *, also: Sequence[str] = (), status: int = 200, with_rail: bool = False, **context: Any
    ) -> HTMLResponse:
        """Return the whole page; or, when htmx targets a block of it, that block and, out of band, any in `also`."""
        template = self.environment.get_template(name)
        target = wanted_block(request.headers, template.blocks)
        beside = [block for block in also if block != target] if target else []
        body = template.render(
            layout="layouts/fragments.html" if target else "layouts/page.html",
            fragments=[target, *beside],
            oob=lambda block: (REPLACED if block == "live" else MORPHED) if block in beside else "",
            rail_oob=MORPHED if target and with_rail else "",
            tour_oob=MORPHED if target else "",
            path=request.scope["path"],
            **context,
        )
        return HTMLResponse(body, status, headers={"Vary": VARY, "Cache-Control": "no-store"})

    def bare(self, name: str, /, **context: Any) -> str:
        """Return a template that stands alone, without the rail: signing in, errors."""
        return self.environment.get_template(name).render(context)


def is_fragment_request(headers: Mapping[str, str]) -> bool:
    """Return whether htmx wants a part of a page: not for a boosted link, a restored history, or a whole body."""
    return (
        headers.get("hx-request") == "true"
        and headers.get("hx-request-type") != "full"
        and "hx-boosted" not in headers
        and "hx-history-restore-request" not in headers
    )


def wanted_block(headers: Mapping[str, str], blocks: Collection[str]) -> str | None:
    """Return the block of this template that htmx targets; None asks for the whole page."""
    if not is_fragment_request(headers):
        return None
    name = unquote(headers.get("hx-target", "").partition("#")[2]).replace("-", "_")
    return name if name in blocks else None
