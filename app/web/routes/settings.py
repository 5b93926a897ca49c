"""What this studio is, and the keys to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.web.dependencies import Act, Look, Posted
from app.web.forms import Form
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
MAX_NAME = 100


@router.get("/settings")
def show_settings(visit: Look) -> Response:
    """Show the deployment's facts and the project's keys."""
    return _page(visit, Form())


@router.post("/settings/keys")
def create_key(visit: Act, fields: Posted) -> Response:
    """Make a key; its secret is on this answer and nowhere else ever again."""
    name = fields.get("name", "").strip()
    if not name or len(name) > MAX_NAME:
        message = f"Give the key a name of up to {MAX_NAME} characters, such as the program that will use it."
        return _page(visit, Form(fields, {"name": message}), status=422)
    key, secret = visit.accounts.create_key(visit.identity, name)
    visit.session.flush()
    return _page(visit, Form(), made=key.name, secret=secret, status=201)


@router.post("/settings/keys/{key_id}/revoke")
def revoke_key(visit: Act, key_id: Annotated[str, Path(max_length=64)]) -> Response:
    """Make a key worthless."""
    visit.accounts.revoke_key(visit.identity, key_id)
    return visit.go("/settings")


def _page(visit: Visit, form: Form, *, made: str = "", secret: str = "", status: int = 200) -> Response:
    keys = visit.accounts.keys(visit.identity)
    insecure = visit.signed_in and visit.request.scope["scheme"] != "https"
    return visit.page(
        "settings/settings.html", status=status, about=visit.web.about, keys=keys, form=form, made=made, secret=secret, insecure=insecure,
        max_upload_bytes=visit.studio.max_upload_bytes,
    )  # fmt: skip
