"""Where a person goes after signing in: always a page of this studio, never an outside address."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.web.pages import is_fragment_request
from app.web.root import without_root

if TYPE_CHECKING:
    from starlette.requests import Request


def own_page(destination: str) -> str:
    """Return a path of this studio; anything that could lead elsewhere becomes the first page."""
    is_own = destination.startswith("/") and not destination.startswith(("//", "/\\")) and destination.isprintable()
    return destination if is_own else "/"


def root_of(request: Request) -> str:
    """Return the path under which the browser sees this studio, "" at the top."""
    root: str = request.scope.get("app_root_path", "")
    return root


def page_of(request: Request) -> str:
    """Return the page a person looks at: the one asked for, or the one that an action or a fragment was asked from."""
    if request.method == "GET" and not is_fragment_request(request.headers):
        return own_page(_path(request.scope["path"], request.url.query))
    shown = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer", ""))
    return own_page(_path(without_root(shown.path, root_of(request)), shown.query)) if shown.netloc == request.headers.get("host") else "/"


def _path(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
