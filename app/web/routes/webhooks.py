"""Webhooks on the settings page: add one, try it, switch it, change its secret, delete it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.domain.errors import StudioError
from app.domain.webhooks import Ending
from app.web.dependencies import Act, Posted
from app.web.forms import Form
from app.web.routes.settings import show
from app.web.webhooks_view import FIELDS

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=64)]


@router.post("/settings/webhooks")
def create_webhook(visit: Act, request: Request, fields: Posted) -> Response:
    """Name an endpoint; its secret is on this answer and nowhere else ever again."""
    url, wanted = fields.get("url", "").strip(), [ending for ending in Ending if fields.get(ending)]
    try:
        made, secret = visit.webhooks.create(visit.identity, url=url, events=wanted, studio_address=str(request.base_url))
    except StudioError as error:
        return show(visit, webhook_form=Form(fields).refused(error, FIELDS), status=error.status)
    return show(visit, webhook_made=made, webhook_secret=secret, status=201)


@router.post("/settings/webhooks/{webhook_id}/secret")
def change_secret(visit: Act, webhook_id: Id) -> Response:
    """Give an endpoint a new secret, and show it this once."""
    webhook, secret = visit.webhooks.change_secret(visit.identity, webhook_id)
    visit.session.flush()
    return show(visit, webhook_made=webhook, webhook_secret=secret)


@router.post("/settings/webhooks/{webhook_id}/{action}")
def act_on_webhook(visit: Act, webhook_id: Id, action: Literal["test", "enable", "disable", "delete"]) -> Response:
    """Try an endpoint, switch it on or off, or forget it."""
    if action == "test":
        visit.webhooks.test(visit.identity, webhook_id)
    elif action == "delete":
        visit.webhooks.delete(visit.identity, webhook_id)
    else:
        visit.webhooks.set_enabled(visit.identity, webhook_id, enabled=action == "enable")
    visit.session.flush()
    return show(visit) if visit.is_fragment else visit.go("/settings#webhooks")
