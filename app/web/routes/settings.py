"""What this studio is, the keys to it, and whom it tells."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.services.disk import Disk
from app.web import connections_view, webhooks_view
from app.web.dependencies import Act, Look, Posted
from app.web.forms import Form
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
MAX_NAME = 100
SILENT: dict[str, Any] = {
    "form": Form(),
    "made": "",
    "secret": "",
    "webhook_form": webhooks_view.fresh_form(),
    "webhook_made": None,
    "webhook_secret": "",
}


@router.get("/settings")
def show_settings(visit: Look) -> Response:
    """Show the deployment's facts, the project's keys, its webhooks and its connections."""
    return show(visit)


@router.post("/settings/keys")
def create_key(visit: Act, fields: Posted) -> Response:
    """Make a key; its secret is on this answer and nowhere else ever again."""
    name = fields.get("name", "").strip()
    if not name or len(name) > MAX_NAME:
        message = f"Give the key a name of up to {MAX_NAME} characters, such as the program that will use it."
        return show(visit, form=Form(fields, {"name": message}), status=422)
    key, secret = visit.accounts.create_key(visit.identity, name)
    visit.session.flush()
    return show(visit, made=key.name, secret=secret, status=201)


@router.post("/settings/keys/{key_id}/revoke")
def revoke_key(visit: Act, key_id: Annotated[str, Path(max_length=64)]) -> Response:
    """Make a key worthless."""
    visit.accounts.revoke_key(visit.identity, key_id)
    return visit.go("/settings")


def show(visit: Visit, *, status: int = 200, **told: Any) -> Response:
    """Answer with the page; `told` is what an action has to say on it: a secret just made, or a form with its errors."""
    insecure = visit.signed_in and visit.request.scope["scheme"] != "https"
    shown = SILENT | {"connected": connections_view.connected(visit)} | told
    return visit.page(
        "settings/settings.html", status=status, about=visit.web.about, keys=visit.accounts.keys(visit.identity), insecure=insecure,
        max_upload_bytes=visit.studio.max_upload_bytes, webhooks=webhooks_view.lines(visit.webhooks, visit.identity),
        endings=webhooks_view.ENDINGS, private_webhooks=visit.studio.private_webhooks,
        disk=Disk(visit.session).of_project(visit.identity), room=visit.studio.disks.known().get("store"), **shown,
    )  # fmt: skip
