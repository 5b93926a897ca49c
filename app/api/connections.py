"""REST of what may be reached outside with a key: the Hub's token, and outside models. A key goes in, and never comes out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.api.dependencies import Id, IdentityDep, ReadSession, StudioDep, WriteSession
from app.domain.connections import OutsideModel

if TYPE_CHECKING:
    from app.db import Connection
    from app.services.accounts import Identity
    from app.services.connections import Connections
    from app.services.studio import Studio

router = APIRouter(prefix="/api/v1/connections", tags=["connections"])


class TokenRequest(BaseModel):
    """The Hub's token."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: SecretStr = Field(description="A token that may read; kept encrypted.", examples=["hf_…"])


class HubOut(BaseModel):
    """How this studio may ask the Hub for the project."""

    host: str
    is_offline: bool = Field(description="HF_HUB_OFFLINE is set: nobody is asked.")
    has_operators_token: bool = Field(description="HF_TOKEN is set; it is used where the project has stored none.")
    stored: bool
    hint: str = Field(description="The end of the stored token.")


class ConnectionOut(BaseModel):
    """An outside model, without its key."""

    id: str
    name: str
    url: str
    model: str
    has_key: bool
    hint: str = Field(description="The end of its key.")
    created_at: datetime


class ConnectionList(BaseModel):
    """Outside models, the oldest first."""

    data: list[ConnectionOut]


@router.get("/hub", operation_id="get_hub_connection")
def get_hub_connection(studio: StudioDep, session: ReadSession, identity: IdentityDep) -> HubOut:
    """Tell whether a token for the Hub is stored, and which by its end."""
    return _hub(studio, studio.connections(session), identity)


@router.put("/hub", operation_id="set_hub_token")
def set_hub_token(studio: StudioDep, session: WriteSession, identity: IdentityDep, body: TokenRequest) -> HubOut:
    """Store the Hub's token for the project, in place of an earlier one."""
    connections = studio.connections(session)
    connections.set_hub_token(identity, body.token.get_secret_value())
    return _hub(studio, connections, identity)


@router.delete("/hub", status_code=204, operation_id="remove_hub_token")
def remove_hub_token(studio: StudioDep, session: WriteSession, identity: IdentityDep) -> None:
    """Forget the Hub's token."""
    studio.connections(session).remove_hub_token(identity)


@router.get("/models", operation_id="list_outside_models")
def list_outside_models(studio: StudioDep, session: ReadSession, identity: IdentityDep) -> ConnectionList:
    """List the outside models of the project."""
    return ConnectionList(data=[_shown(one) for one in studio.connections(session).outside(identity)])


@router.post("/models", status_code=201, operation_id="add_outside_model")
def add_outside_model(studio: StudioDep, session: WriteSession, identity: IdentityDep, body: OutsideModel) -> ConnectionOut:
    """Name a model behind an OpenAI-compatible address; 422 for one that may not be contacted. Nobody is contacted yet."""
    return _shown(studio.connections(session).add_outside(identity, body))


@router.delete("/models/{connection_id}", status_code=204, operation_id="remove_outside_model")
def remove_outside_model(studio: StudioDep, session: WriteSession, identity: IdentityDep, connection_id: Id) -> None:
    """Forget an outside model and its key."""
    studio.connections(session).remove(identity, connection_id)


def _hub(studio: Studio, connections: Connections, by: Identity) -> HubOut:
    stored, hub = connections.hub(by), studio.hub
    return HubOut(
        host=hub.host, is_offline=hub.is_offline, has_operators_token=hub.has_token, stored=stored is not None,
        hint=stored.hint if stored else "",
    )  # fmt: skip


def _shown(one: Connection) -> ConnectionOut:
    return ConnectionOut(
        id=one.id, name=one.name, url=one.url, model=one.model, has_key=one.secret is not None, hint=one.hint, created_at=one.created_at
    )
