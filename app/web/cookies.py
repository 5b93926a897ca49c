"""The cookie of a signed-in browser: `__Host-` and Secure behind https, a plain name on http."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.services.accounts import SESSION_DAYS, session_cookie
from app.web.addresses import root_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def is_secure(request: Request) -> bool:
    """Return whether the browser came over https."""
    return bool(request.scope["scheme"] == "https")


def session_token(request: Request) -> str | None:
    """Return the browser's session token, if it sent one."""
    return request.cookies.get(_name(request))


def keep(request: Request, response: Response, token: str) -> None:
    """Have the browser keep a session."""
    response.set_cookie(
        _name(request), token, max_age=SESSION_DAYS * 86400, path="/", secure=is_secure(request), httponly=True, samesite="lax"
    )


def forget(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(_name(request), path="/", secure=is_secure(request), httponly=True, samesite="lax")


def _name(request: Request) -> str:
    return session_cookie(root_of(request), secure=is_secure(request))
