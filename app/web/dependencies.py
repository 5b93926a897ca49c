"""What handlers of pages ask for: a visit that only reads, or one whose work is committed before the answer leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.db.session import reading, unit_of_work
from app.domain.errors import Unauthenticated
from app.domain.text import check_text
from app.services.accounts import Accounts, Identity
from app.services.changes import Changes
from app.services.studio import Studio
from app.web.cookies import session_token
from app.web.parts import Web
from app.web.visit import Visit

Fields = dict[str, str]
MAX_CHOSEN = 500


def studio_of(request: Request) -> Studio:
    """Return the running studio."""
    return cast("Studio", request.app.state.studio)


def web_of(request: Request) -> Web:
    """Return what pages share."""
    return cast("Web", request.app.state.web)


def who(request: Request, studio: Studio, session: Session) -> tuple[Identity, bool]:
    """Return who a browser belongs to, and whether by signing in; Unauthenticated for a stranger.

    A studio only this machine can reach, and no proxy serves to others, works at once as its local owner; another site cannot use that
    (Host and origin are checked).
    """
    accounts = Accounts(session)
    token = session_token(request)
    found = accounts.by_session(token) if token else None
    if found:
        return found, True
    owner = accounts.owner() if studio.local_owner else None
    if owner is None:
        raise Unauthenticated("Sign in with an API key to see this page.")
    return owner, False


def reading_visit(request: Request) -> Iterator[Visit]:
    """Give a visit that only reads."""
    studio = studio_of(request)
    with reading(studio.engine) as session:
        yield _visit(request, studio, session)


def acting_visit(request: Request) -> Iterator[Visit]:
    """Give a visit whose changes are committed, or dropped when anything fails, before the answer is sent."""
    studio = studio_of(request)
    with unit_of_work(studio.engine) as session:
        yield _visit(request, studio, session)


def _visit(request: Request, studio: Studio, session: Session) -> Visit:
    identity, signed_in = who(request, studio, session)
    return Visit(request, studio, web_of(request), session, identity, signed_in, str(Changes(session).now()))


def identity_of(request: Request) -> Identity:
    """Return who asks, holding no session afterwards: for uploads and streams, which last."""
    studio = studio_of(request)
    with reading(studio.engine) as session:
        return who(request, studio, session)[0]


async def form_fields(request: Request) -> Fields:
    """Return the fields of a posted form as text; files are read elsewhere."""
    form = await request.form(max_files=0, max_fields=200, max_part_size=256 * 1024)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    for name, value in fields.items():
        check_text(value, name)
    return fields


async def chosen_ids(request: Request) -> list[str]:
    """Return the ids that were ticked in a posted form."""
    form = await request.form(max_files=0, max_fields=MAX_CHOSEN, max_part_size=64 * 1024)
    found = [value for value in form.getlist("ids") if isinstance(value, str)]
    for value in found:
        check_text(value, "ids")
    return found


Look = Annotated[Visit, Depends(reading_visit, scope="function")]
Act = Annotated[Visit, Depends(acting_visit, scope="function")]
Caller = Annotated[Identity, Depends(identity_of)]
Posted = Annotated[Fields, Depends(form_fields)]
Chosen = Annotated[list[str], Depends(chosen_ids)]
