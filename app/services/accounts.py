"""People and their keys: the local owner, API keys, browser sign-in."""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import ApiKey, Project, User, WebSession
from app.db.audit import note
from app.db.base import utc_now
from app.domain.errors import NotFound, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

OWNER, DEFAULT_PROJECT = "owner", "default"
SESSION_DAYS = 30
SESSION_COOKIE = "hone_session"
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Identity:
    """Who acts, and in which project."""

    user_id: str
    user_name: str
    project_id: str
    project_name: str
    key_id: str | None = None


def session_cookie(root: str, *, secure: bool) -> str:
    """Return the name of the browser's cookie.

    Behind https it is `__Host-`, which no neighbouring domain can set, and which a browser only takes with the path `/`. So studios under
    several sub-paths of one host are told apart by the name: a path would part them less well, since scripts of one host reach all of it.
    """
    return ("__Host-" if secure else "") + SESSION_COOKIE + root.replace("/", ".")


def make_key() -> str:
    """Return a fresh API key: a recognisable prefix, 190 random bits, and a checksum that tells a typo from a wrong key."""
    body = "".join(secrets.choice(_LETTERS) for _ in range(40))
    checksum = zlib.crc32(body.encode())
    return f"hone_{body}{checksum:08x}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Accounts:
    """People, projects and credentials."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def owner(self) -> Identity | None:
        """Return the local owner, if the studio has been set up."""
        user = self.session.scalar(select(User).where(User.role == OWNER).order_by(User.id))
        project = self.session.scalar(select(Project).order_by(Project.id))
        return Identity(user.id, user.name, project.id, project.name) if user and project else None

    def has_keys(self) -> bool:
        """Return whether anybody can sign in."""
        return self.session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None

    def ensure_owner(self) -> Identity:
        """Make the local owner and the first project, unless they are there."""
        found = self.owner()
        if found:
            return found
        user, project = User(name=OWNER, role=OWNER), Project(name=DEFAULT_PROJECT)
        self.session.add_all([user, project])
        self.session.flush()
        return Identity(user.id, user.name, project.id, project.name)

    def create_key(self, by: Identity, name: str) -> tuple[ApiKey, str]:
        """Make an API key; the secret is returned this once and kept only as a hash."""
        secret = make_key()
        key = ApiKey(
            project_id=by.project_id, created_by=by.user_id, user_id=by.user_id, name=name, prefix=secret[:13], sha256=_digest(secret)
        )
        self.session.add(key)
        self.session.flush()
        self._audit(by, "key.created", key.id)
        return key, secret

    def keys(self, by: Identity) -> Sequence[ApiKey]:
        """Return the project's keys, newest first."""
        return self.session.scalars(select(ApiKey).where(ApiKey.project_id == by.project_id).order_by(ApiKey.id.desc())).all()

    def revoke_key(self, by: Identity, key_id: str) -> None:
        """Make a key worthless, and every browser signed in with it."""
        key = self.session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.project_id == by.project_id))
        if key is None:
            message = "There is no such key."
            raise NotFound(message)
        key.revoked_at = key.revoked_at or utc_now()
        self._audit(by, "key.revoked", key.id)

    def by_key(self, secret: str) -> Identity:
        """Return who a key belongs to; Unauthenticated when it is unknown or revoked."""
        key = self.session.scalar(select(ApiKey).where(ApiKey.sha256 == _digest(secret), ApiKey.revoked_at.is_(None)))
        if key is None:
            message = "This API key is not valid. Make one with `hone token create`, or on the settings page."
            raise Unauthenticated(message)
        return self._of(key)

    def last_used(self, by: Identity) -> datetime | None:
        """Return when the key of `by` was last used."""
        return self.session.scalar(select(ApiKey.last_used_at).where(ApiKey.id == by.key_id))

    def mark_used(self, by: Identity) -> None:
        """Remember that the key of `by` was just used."""
        key = self.session.get(ApiKey, by.key_id)
        if key:
            key.last_used_at = utc_now()

    def sign_in(self, secret: str) -> str:
        """Exchange a key for a browser session; return the cookie's value."""
        identity = self.by_key(secret.strip())
        token = secrets.token_urlsafe(32)
        ends = utc_now() + timedelta(days=SESSION_DAYS)
        self.session.add(WebSession(sha256=_digest(token), api_key_id=identity.key_id, expires_at=ends))
        self._audit(identity, "signed_in", None)
        return token

    def by_session(self, token: str) -> Identity | None:
        """Return who a browser's cookie belongs to, or None."""
        found = self.session.scalar(select(WebSession).where(WebSession.sha256 == _digest(token), WebSession.expires_at > utc_now()))
        key = self.session.get(ApiKey, found.api_key_id) if found else None
        return self._of(key) if key and key.revoked_at is None else None

    def sign_out(self, token: str) -> None:
        """Forget a browser session."""
        found = self.session.scalar(select(WebSession).where(WebSession.sha256 == _digest(token)))
        if found:
            self.session.delete(found)

    def _of(self, key: ApiKey) -> Identity:
        user, project = self.session.get_one(User, key.user_id), self.session.get_one(Project, key.project_id)
        return Identity(user.id, user.name, project.id, project.name, key.id)

    def _audit(self, by: Identity, action: str, subject: str | None) -> None:
        note(self.session, by.project_id, by.user_id, action, subject)
