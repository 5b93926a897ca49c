"""The API's description, browsable with the network cut."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.web.dependencies import web_of

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def show_docs(request: Request) -> HTMLResponse:
    """Show every REST operation; nothing private stands here, so no key is asked for."""
    return HTMLResponse(web_of(request).pages.bare("settings/docs.html"))
