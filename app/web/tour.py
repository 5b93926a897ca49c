"""The tour through the real pages: which of its five steps a page is, and what there is to do on it.

The step follows the page one is on, so that the studio's own buttons lead through the tour; a cookie remembers that one is on it. Whoever
looks at a page that is no part of it finds the tour again where it was; after the last step one has left, and is not asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.web.tour_stops import STOPS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from app.web.tour_stops import Stop

COOKIE, LEFT, QUERY = "hone_tour", "left", "tour"
LAST = 5
PAGES = {
    "datasets/list.html": (1, 5), "datasets/show.html": (1, 5), "datasets/mapping.html": (1, 5), "runs/new.html": (2,),
    "runs/show.html": (3,), "chat/chat.html": (4,),
}  # fmt: skip
"""The steps a page can be. The page of data is the first and, once one has chatted, the last: then for one's own."""
TOURING_SECONDS, LEFT_SECONDS = 86_400, 365 * 86_400


def step_of(request: Request, template: str) -> int | None:
    """Return the step of the tour that a page is, or None when nobody is on tour here."""
    given = request.query_params.get(QUERY) or request.cookies.get(COOKIE, "")
    at = int(given) if given in map(str, range(1, LAST + 1)) else None
    steps = PAGES.get(template, ())
    if at is None or not steps:
        return None
    if at >= LAST - 1 and LAST in steps:
        return LAST
    # After the last step one starts a run of one's own, and needs no guide.
    return None if at == LAST else steps[0]


def stop_at(request: Request, template: str, context: Mapping[str, Any]) -> Stop | None:
    """Return what the tour says on a page, going by what the page shows."""
    step = step_of(request, template)
    return STOPS[step, template](context) if step else None


def is_known(request: Request) -> bool:
    """Return whether this browser has taken the tour, or left it."""
    return COOKIE in request.cookies


def remember(request: Request, response: Response, stop: Stop | None) -> None:
    """Keep the step one is at; or, after the last, that one has left. Only a page that a person opened counts."""
    opened = (
        request.method == "GET" and request.headers.get("sec-fetch-dest", "document") == "document" and "hx-request" not in request.headers
    )
    known = request.cookies.get(COOKIE, "")
    now = str(stop.step) if stop else LEFT
    if opened and now != known and (stop or known == str(LAST)):
        keep(request, response, now)


def keep(request: Request, response: Response, state: str) -> None:
    """Have the browser remember a step, or that the tour was left."""
    secure = request.scope["scheme"] == "https"
    seconds = LEFT_SECONDS if state == LEFT else TOURING_SECONDS
    response.set_cookie(COOKIE, state, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")
