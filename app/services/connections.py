"""What a project may reach outside with a key of its own: the Hub's token, and models that are measured beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from app.db import Connection, Project, User
from app.db.audit import note
from app.domain.connections import ConnectionKind, checked_key, hint_of
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.outside import ANSWER, check_url
from app.domain.ports import Locked
from app.services.accounts import OWNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from app.domain.connections import OutsideModel
    from app.domain.ports import Secrets
    from app.services.accounts import Identity

MOST = 20
"""Outside models of one project."""


class Connections:
    """The keys of a project: written, replaced and forgotten; only what contacts an address for the project reads one.

    `private_allowed`: anybody may name an address of this network; else only an owner of the studio may.
    """

    def __init__(self, session: Session, secrets: Secrets, *, private_allowed: bool = False) -> None:
        self.session, self.secrets, self.private_allowed = session, secrets, private_allowed

    def hub(self, by: Identity) -> Connection | None:
        """Return the project's connection with the Hub, if it has stored a token."""
        return self._hub_of(by.project_id)

    def set_hub_token(self, by: Identity, token: str) -> Connection:
        """Store the Hub's token, in place of an earlier one."""
        try:
            key = checked_key(token)
        except ValueError as error:
            raise Invalid(str(error), param="token", code="unusable_key") from None
        # Two who store one at once come one after the other, or both would enter it.
        self.session.execute(select(Project.id).where(Project.id == by.project_id).with_for_update())
        found = self._hub_of(by.project_id)
        if found is None:
            found = Connection(project_id=by.project_id, created_by=by.user_id, kind=ConnectionKind.HUB, name="Hugging Face Hub")
            self.session.add(found)
        self._lock(found, key)
        self._audit(by, "connection.hub_token_set", found)
        return found

    def remove_hub_token(self, by: Identity) -> None:
        """Forget the Hub's token, if there is one, and every other that was ever entered beside it."""
        stored = self.session.scalars(select(Connection).where(*_is_hub(by.project_id))).all()
        if stored:
            self._audit(by, "connection.hub_token_removed", stored[0])
        for each in stored:
            self.session.delete(each)

    def hub_token(self, project_id: str) -> str | None:
        """Return the token a project has stored for the Hub; StudioError when this process has no key that opens it."""
        found = self._hub_of(project_id)
        return self.secret_of(found) if found else None

    def outside(self, by: Identity) -> Sequence[Connection]:
        """Return the project's outside models, the oldest first."""
        mine = (Connection.project_id == by.project_id, Connection.kind == ConnectionKind.OPENAI)
        return self.session.scalars(select(Connection).where(*mine).order_by(Connection.id)).all()

    def add_outside(self, by: Identity, wanted: OutsideModel) -> Connection:
        """Name a model behind an OpenAI-compatible address; Invalid for an address that may not be contacted."""
        private_allowed = self._may_name_private(by)
        try:
            check_url(wanted.url, private_allowed=private_allowed, errand=ANSWER)
        except ValueError as error:
            raise Invalid(str(error), param="url", code="unusable_address") from None
        if len(self.outside(by)) >= MOST:
            raise Conflict(f"A project has {MOST} outside models at most. Delete one that is not needed any more.", code="too_many")
        made = Connection(
            project_id=by.project_id, created_by=by.user_id, kind=ConnectionKind.OPENAI, name=wanted.name, url=wanted.url,
            model=wanted.model, private_allowed=private_allowed,
        )  # fmt: skip
        self._lock(made, wanted.key.get_secret_value())
        self.session.add(made)
        self.session.flush()
        self._audit(by, "connection.added", made)
        return made

    def get(self, by: Identity, connection_id: str) -> Connection:
        """Return an outside model of the project, or NotFound."""
        mine = (Connection.project_id == by.project_id, Connection.kind == ConnectionKind.OPENAI)
        found = self.session.scalar(select(Connection).where(Connection.id == connection_id, *mine))
        if found is None:
            raise NotFound("There is no such outside model.", code="connection_not_found")
        return found

    def remove(self, by: Identity, connection_id: str) -> None:
        """Forget an outside model and its key."""
        found = self.get(by, connection_id)
        self._audit(by, "connection.removed", found)
        self.session.delete(found)

    def secret_of(self, connection: Connection) -> str | None:
        """Return a connection's key; None where it has none, StudioError when this process has no key that opens it."""
        if connection.secret is None or connection.secret_key_id is None:
            return None
        return self.secrets.unlock(Locked(connection.secret, connection.secret_key_id))

    def _hub_of(self, project_id: str) -> Connection | None:
        return self.session.scalar(select(Connection).where(*_is_hub(project_id)).order_by(Connection.id).limit(1))

    def _may_name_private(self, by: Identity) -> bool:
        role = select(func.count()).where(User.id == by.user_id, User.role == OWNER)
        return self.private_allowed or bool(self.session.scalar(role))

    def _lock(self, connection: Connection, key: str) -> None:
        locked = self.secrets.lock(key) if key else None
        connection.secret, connection.secret_key_id = (locked.text, locked.key_id) if locked else (None, None)
        connection.hint = hint_of(key)
        self.session.flush()

    def _audit(self, by: Identity, action: str, connection: Connection) -> None:
        note(self.session, by.project_id, by.user_id, action, connection.id, name=connection.name)


def _is_hub(project_id: str) -> tuple[ColumnElement[bool], ...]:
    return Connection.project_id == project_id, Connection.kind == ConnectionKind.HUB
