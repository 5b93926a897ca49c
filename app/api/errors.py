"""Errors of REST and of the OpenAI surface, all in OpenAI's shape: {error: {message, type, param, code}}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.db.session import UNREACHABLE, in_words
from app.domain.chat import invalid_field
from app.domain.errors import StudioError
from app.domain.preflight import PreflightFailed
from app.domain.text import writable

if TYPE_CHECKING:
    from starlette.requests import Request

log = structlog.get_logger()
OPENAI = "/v1/"
RETRY_AFTER = {"Retry-After": "5"}


def is_for_programs(path: str) -> bool:
    """Return whether a path is answered in JSON, errors too."""
    return path.startswith(("/api/", OPENAI))


def shape(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": writable(message), "type": kind, "param": param and writable(param), "code": code}}


def answer(request: Request, error: Exception) -> JSONResponse:
    """Turn any failure into its answer; what nobody foresaw is logged and says nothing of the inside."""
    if isinstance(error, StudioError):
        status = 400 if error.status == 422 and request.scope["path"].startswith(OPENAI) else error.status  # noqa: PLR2004
        headers = RETRY_AFTER if status == 503 else {"WWW-Authenticate": "Bearer"} if status == 401 else None  # noqa: PLR2004
        body = shape(error.message, error.kind, error.param, error.code)
        if isinstance(error, PreflightFailed):
            body["error"]["data"] = error.data
        return JSONResponse(body, status, headers)
    if isinstance(error, RequestValidationError):
        return _unreadable(request, error)
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        return JSONResponse(shape(str(error.detail), "invalid_request_error", None, code), error.status_code, error.headers)
    if isinstance(error, UNREACHABLE):
        log.warning("the database did not answer", path=request.scope["path"], error=str(error))
        return answer(request, in_words(error))
    log.error("a request failed", path=request.scope["path"], exc_info=error)
    message = f"Something went wrong inside Hone; its log says what: {request.state.request_id}."
    return JSONResponse(shape(message, "server_error", None, "internal_error"), 500)


def _unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
    """Name the first field at fault: 422, and 400 on the OpenAI surface."""
    if request.scope["path"].startswith(OPENAI):
        return answer(request, invalid_field(list(error.errors())))
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"}) or None
    what = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    message = f"{param}: {what}" if param else what
    return JSONResponse(
        shape(message, "invalid_request_error", param, "unknown_field" if first["type"] == "extra_forbidden" else None), 422
    )
