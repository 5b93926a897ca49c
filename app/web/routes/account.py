"""Signing in with a key, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.db.session import unit_of_work
from app.domain.errors import Unauthenticated
from app.services.accounts import Accounts
from app.web import cookies
from app.web.addresses import own_page
from app.web.dependencies import Posted, studio_of, web_of

router = APIRouter(include_in_schema=False)


@router.get("/signin")
def show_sign_in(request: Request, destination: Annotated[str, Query(alias="next", max_length=500)] = "/") -> Response:
    """Ask for a key."""
    return _page(request, destination)


@router.post("/signin")
def sign_in(request: Request, fields: Posted) -> Response:
    """Exchange a key for a browser session."""
    destination = own_page(fields.get("next", "/"))
    try:
        with unit_of_work(studio_of(request).engine) as session:
            token = Accounts(session).sign_in(fields.get("key", ""))
    except Unauthenticated as error:
        return _page(request, destination, error=error.message, status=401)
    response = RedirectResponse(destination, 303)
    cookies.keep(request, response, token)
    return response


@router.post("/signout")
def sign_out(request: Request) -> Response:
    """Forget this browser."""
    token = cookies.session_token(request)
    if token:
        with unit_of_work(studio_of(request).engine) as session:
            Accounts(session).sign_out(token)
    response = RedirectResponse("/signin", 303)
    cookies.forget(request, response)
    return response


def _page(request: Request, destination: str, *, error: str = "", status: int = 200) -> Response:
    insecure = not cookies.is_secure(request) and not studio_of(request).local_owner
    body = web_of(request).pages.bare("settings/signin.html", destination=own_page(destination), error=error, insecure=insecure)
    return HTMLResponse(body, status, headers={"Cache-Control": "no-store"})
