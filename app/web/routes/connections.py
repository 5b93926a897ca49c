"""What may be reached outside, on the settings page: the Hub's token, and outside models. A key that came in is never on an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.domain.errors import StudioError
from app.web import connections_view
from app.web.dependencies import Act, Posted
from app.web.forms import Form
from app.web.routes.settings import show
from app.web.visit import Visit

if TYPE_CHECKING:
    from app.web.dependencies import Fields

router = APIRouter(include_in_schema=False)
HERE = "/settings#connections"


@router.post("/connections/hub")
def set_hub_token(visit: Act, fields: Posted) -> Response:
    """Store the Hub's token, in place of an earlier one."""
    try:
        visit.studio.connections(visit.session).set_hub_token(visit.identity, fields.get("token", ""))
    except StudioError as error:
        return _refused(visit, fields, error)
    return _answer(visit)


@router.post("/connections/hub/remove")
def remove_hub_token(visit: Act) -> Response:
    """Forget the Hub's token."""
    visit.studio.connections(visit.session).remove_hub_token(visit.identity)
    return _answer(visit)


@router.post("/connections/models")
def add_outside_model(visit: Act, fields: Posted) -> Response:
    """Name a model behind an OpenAI-compatible address."""
    try:
        visit.studio.connections(visit.session).add_outside(visit.identity, connections_view.outside_model(fields))
    except StudioError as error:
        return _refused(visit, fields, error)
    return _answer(visit)


@router.post("/connections/models/{connection_id}/remove")
def remove_outside_model(visit: Act, connection_id: Annotated[str, Path(max_length=64)]) -> Response:
    """Forget an outside model and its key."""
    visit.studio.connections(visit.session).remove(visit.identity, connection_id)
    return _answer(visit)


def _answer(visit: Visit) -> Response:
    visit.session.flush()
    return show(visit) if visit.is_fragment else visit.go(HERE)


def _refused(visit: Visit, fields: Fields, error: StudioError) -> Response:
    form = Form(connections_view.without_keys(fields)).refused(error, connections_view.FIELDS)
    return show(visit, connected=connections_view.connected(visit, form), status=error.status)
