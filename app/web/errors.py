"""What a person sees when something goes wrong: what happened, and what to do; never a stack trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from app.domain.errors import Invalid, NotFound, StudioError, Unauthenticated
from app.web.addresses import page_of
from app.web.dependencies import web_of
from app.web.pages import VARY, is_fragment_request

if TYPE_CHECKING:
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request

TITLES = {
    401: "Sign in first", 403: "Not allowed", 404: "Not found", 405: "That cannot be done here", 409: "Not now", 413: "Too large",
    415: "Not a file of examples", 422: "Something is missing", 429: "Too many at once", 503: "Not there just now",
}  # fmt: skip
BROKEN = "Something broke on our side"
RETRY_AFTER = {503: {"Retry-After": "5"}}
CONFLICT = 409
THING = re.compile(r"/(?:datasets|runs)/[0-9a-f-]{36}(?=/)")
STREAM = "/live"


class NotTaken(StudioError):
    """A request of a kind that an address does not know."""

    kind, status, default_code = "invalid_request_error", 405, "method_not_allowed"


def page_for(request: Request, error: StudioError) -> Response:
    """Answer a failure with a page; to htmx with a notice at the top, so that what is on the page stays."""
    fragment = is_fragment_request(request.headers)
    if isinstance(error, Unauthenticated) and request.scope["path"] == STREAM:
        # A redirect, or no content, would pass for a stream that has only just ended, and be asked for again at once.
        return Response(status_code=error.status, headers={"Cache-Control": "no-store"})
    if isinstance(error, Unauthenticated):
        return _to_sign_in(request, fragment=fragment)
    pages, status = web_of(request).pages, error.status
    title = TITLES.get(status, BROKEN)
    if not fragment:
        return Response(
            pages.bare("errors/page.html", title=title, message=error.message, status=status, thing=_thing_of(request, status)),
            status, media_type="text/html", headers={"Cache-Control": "no-store", "Vary": VARY} | RETRY_AFTER.get(status, {}),
        )  # fmt: skip
    body = pages.bare("errors/notice.html", title=title, message=error.message)
    # htmx swaps no 5xx, so that a passing failure does not empty a page; the notice is swapped all the same.
    headers = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", "Vary": VARY}
    return Response(body, status if status < 500 else 200, media_type="text/html", headers=headers)  # noqa: PLR2004 - a class of HTTP


def _thing_of(request: Request, status: int) -> str:
    """Return where the thing is that cannot be changed now, so that one can look at it again; nothing for other failures."""
    found = THING.match(request.scope["path"])
    return found[0] if found and status == CONFLICT else ""


def for_status(status: int) -> StudioError:
    """Return the error for what the framework refuses by itself: unknown addresses, wrong methods."""
    if status == 404:  # noqa: PLR2004 - HTTP's own number
        return NotFound("There is no page at this address. It may have been deleted, or the link was cut.")
    return NotTaken("This address does not take that kind of request.")


def unreadable(error: RequestValidationError) -> StudioError:
    """Return the error for an address or a form that cannot be read, naming the first thing at fault."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path", "header"})
    return Invalid(f"{name}: {first['msg']}." if name else f"{first['msg']}.", param=name or None)


def broken(request_id: str) -> StudioError:
    """Return the error for what nobody foresaw; the log has the details under the request's id."""
    return StudioError(f"The studio could not finish this. Nothing was half-done. Trying again may help; the log says more: {request_id}.")


def _to_sign_in(request: Request, *, fragment: bool) -> Response:
    address = "/signin?next=" + quote(page_of(request), safe="/")
    if fragment:
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)
