"""The cookie of a signed-in browser: `__Host-` and Secure behind https, a plain name on http."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.services.accounts import SESSION_COOKIES, SESSION_DAYS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SECURE, PLAIN = SESSION_COOKIES


def is_secure(request: Request) -> bool:
    """Return whether the browser came over https."""
    return bool(request.scope["scheme"] == "https")


def session_token(request: Request) -> str | None:
    """Return the browser's session token, if it sent one."""
    return request.cookies.get(SECURE if is_secure(request) else PLAIN)


def keep(request: Request, response: Response, token: str) -> None:
    """Have the browser keep a session."""
    secure = is_secure(request)
    response.set_cookie(
        SECURE if secure else PLAIN, token, max_age=SESSION_DAYS * 86400, path="/", secure=secure, httponly=True, samesite="lax"
    )


def forget(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    secure = is_secure(request)
    response.delete_cookie(SECURE if secure else PLAIN, path="/", secure=secure, httponly=True, samesite="lax")
