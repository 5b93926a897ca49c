"""Asking the Hub for base models on somebody's word: with the project's token, outside any transaction, and every contact is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db.audit import OUTSIDE_CONTACTED, note
from app.db.session import reading, unit_of_work
from app.domain.errors import StudioError
from app.services.connections import Connections

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from app.domain.hub_models import Found, Looked, Search
    from app.domain.ports import ModelHub, Secrets
    from app.services.accounts import Identity


class HubLooks:
    """Looks at the Hub; it holds no session while it waits for an answer."""

    def __init__(self, engine: Engine, hub: ModelHub, secrets: Secrets) -> None:
        self.engine, self.hub, self.secrets = engine, hub, secrets

    def search(self, by: Identity, wanted: Search) -> Found:
        """Return a page of models that fit; Unavailable, in words, without the net or where the operator wants no contact."""
        self.hub.check_online()
        self._note(by, "a search for base models")
        return self.hub.search(wanted, self.token(by))

    def look(self, by: Identity, repo: str, revision: str | None = None) -> Looked:
        """Return a model with the scan of its files."""
        self.hub.check_online()
        self._note(by, "a look at a base model", repo=repo[:200])
        return self.hub.look(repo, revision, self.token(by))

    def token(self, by: Identity) -> str | None:
        """Return the token that the project has stored, if any; one that no key opens any more is as good as none."""
        with reading(self.engine) as session:
            try:
                return Connections(session, self.secrets).hub_token(by.project_id)
            except StudioError:
                return None

    def _note(self, by: Identity, why: str, **details: str) -> None:
        with unit_of_work(self.engine) as session:
            note(session, by.project_id, by.user_id, OUTSIDE_CONTACTED, hosts=[self.hub.host], why=why, **details)
