"""Keys for what is outside, as a project has stored them, for the one child that needs one; a worker that cannot open them gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.db.session import reading
from app.domain.base_models import HUB_TOKEN
from app.domain.errors import StudioError
from app.gateways.secrets import SecretBox
from app.services.connections import Connections

if TYPE_CHECKING:
    from workers.worker import Worker

log = structlog.get_logger()


def hub_keys(worker: Worker, project_id: str) -> dict[str, str]:
    """Return the Hub's token as a child's environment holds it; nothing where the operator's is to be used."""
    with reading(worker.engine) as session:
        try:
            token = Connections(session, secrets_of(worker)).hub_token(project_id)
        except StudioError as error:
            log.warning("the project's token for the Hub cannot be opened here", why=error.message)
            return {}
    return {HUB_TOKEN: token} if token else {}


def secrets_of(worker: Worker) -> SecretBox:
    """Return what opens stored keys on this machine; where there is no key for it, none is made."""
    given = worker.settings.secret_key
    return SecretBox(given.get_secret_value() if given else None, worker.settings.home.resolve(), makes_key=False)
