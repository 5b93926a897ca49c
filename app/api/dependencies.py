"""What REST handlers ask for: the studio, who is asking, a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer
from sqlalchemy.orm import Session

from app.db.base import utc_now
from app.db.session import UNREACHABLE, reading, unit_of_work
from app.domain.errors import Unauthenticated
from app.services.accounts import Accounts, Identity, session_cookie
from app.services.studio import Studio

USED_EVERY = timedelta(minutes=1)
# Only for the API's description: `authenticated` reads the header itself, so that a missing key gets our own words.
_described = HTTPBearer(auto_error=False, description="An API key from `hone token create` or the settings page.")


def get_studio(request: Request) -> Studio:
    """Return the running studio."""
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(get_studio)]


def authenticated(request: Request, studio: StudioDep, _: Annotated[object, Security(_described)] = None) -> Identity:
    """Return who asks, by Bearer key or by the browser's cookie; a key counts alone when there is one."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    with reading(studio.engine) as session:
        accounts = Accounts(session)
        if scheme.lower() == "bearer":
            identity = accounts.by_key(secret.strip())
        else:
            name = session_cookie(request.scope.get("app_root_path", ""), secure=request.scope["scheme"] == "https")
            cookie = request.cookies.get(name)
            found = accounts.by_session(cookie) if cookie else None
            if found is None:
                message = "Send an API key: Authorization: Bearer hone_…  Make one with `hone token create`."
                raise Unauthenticated(message)
            identity = found
        last_used = accounts.last_used(identity)
    if last_used is None or utc_now() - last_used > USED_EVERY:
        # A database that takes no writes just now, or whose disk is full, can still be read from.
        with suppress(*UNREACHABLE), unit_of_work(studio.engine) as session:
            Accounts(session).mark_used(identity)
    return identity


IdentityDep = Annotated[Identity, Depends(authenticated)]


def writing_session(studio: StudioDep) -> Iterator[Session]:
    """Give a session whose work is committed before the answer leaves (scope="function")."""
    with unit_of_work(studio.engine) as session:
        yield session


def reading_session(studio: StudioDep) -> Iterator[Session]:
    """Give a session that only reads."""
    with reading(studio.engine) as session:
        yield session


WriteSession = Annotated[Session, Depends(writing_session, scope="function")]
ReadSession = Annotated[Session, Depends(reading_session, scope="function")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
After = Annotated[str | None, Query(max_length=64, description="The last id one has seen.")]
Id = Annotated[str, Path(max_length=64)]
