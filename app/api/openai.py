"""The OpenAI-compatible surface: models by name, and chat completions from a base or a tuned model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from app.api.dependencies import IdentityDep, ReadSession, StudioDep
from app.api.errors import shape
from app.db.session import reading
from app.domain.chat import ChatRequest
from app.domain.errors import NotFound, StudioError
from app.gateways.inference import Inference, told_if_lost
from app.services.models import Served

router = APIRouter(prefix="/v1", tags=["openai"])
CLIENT_HAS_GONE = 499
"""What nginx calls it; nobody reads it."""


class ModelOut(BaseModel):
    """A model one can ask."""

    id: str = Field(examples=["hone-starter", "ft:hone-starter:default:mails:019aa1f2"])
    object: Literal["model"] = "model"
    created: int = Field(description="Unix time; 0 for bases, which were not made here.")
    owned_by: str


class ModelList(BaseModel):
    """All models one can ask; bases first, then tuned ones, newest first."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class AnswerOut(BaseModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str


class ChoiceOut(BaseModel):
    """One answer."""

    index: int
    message: AnswerOut
    finish_reason: Literal["stop", "length"] = Field(
        description="stop: the turn or a stop text ended it; length: max_tokens or the context did."
    )


class UsageOut(BaseModel):
    """Tokens counted; the end-of-turn token is one of the completion's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionOut(BaseModel):
    """A whole answer; with `stream: true` the same comes as chat.completion.chunk events, ended by [DONE]."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChoiceOut]
    usage: UsageOut


@router.get("/models", operation_id="list_models")
def list_models(studio: StudioDep, session: ReadSession, identity: IdentityDep) -> ModelList:
    """List the models one can ask."""
    names = studio.models(session).names(identity)
    return ModelList(data=[_present(name, made, identity.project_name) for name, made in names])


@router.get("/models/{model:path}", operation_id="retrieve_model")
def retrieve_model(studio: StudioDep, session: ReadSession, identity: IdentityDep, model: str) -> ModelOut:
    """Show one model."""
    made = dict(studio.models(session).names(identity))
    if model not in made:
        raise NotFound(f"The model {model[:200]!r} does not exist here, or is not yours.", param="model", code="model_not_found")
    return _present(model, made[model], identity.project_name)


@dataclass(frozen=True)
class Resolved:
    """What is asked, and the model that answers."""

    request: ChatRequest
    model: Served

    def body(self) -> dict[str, Any]:
        """Return what the inference server wants: OpenAI's request and the folders."""
        return {**self.request.model_dump(exclude_none=True), "hone": self.model.place()}


def resolve(studio: StudioDep, identity: IdentityDep, body: ChatRequest) -> Resolved:
    """Find the model in a session of its own, which is closed before a long answer begins."""
    with reading(studio.engine) as session:
        return Resolved(body, studio.models(session).resolve(identity, body.model))


@router.post("/chat/completions", operation_id="create_chat_completion", responses={200: {"model": CompletionOut}})
async def create_chat_completion(request: Request, asked: Annotated[Resolved, Depends(resolve)]) -> Response:
    """Answer a conversation, whole or as a stream."""
    inference: Inference = request.app.state.inference
    if not asked.request.stream:
        return await _unless_gone(request, _whole(inference, asked))
    return await _unless_gone(request, _begun(inference, asked))


async def _whole(inference: Inference, asked: Resolved) -> Response:
    return JSONResponse(await inference.chat(asked.body()))


async def _begun(inference: Inference, asked: Resolved) -> Response:
    events = inference.stream(asked.body())
    first = await anext(events)  # a refusal is raised here, while there is still a status to say it with
    return StreamingResponse(
        told_if_lost(first, events, _in_openais_shape), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """Wait for an answer as long as somebody waits for it; once nobody does, the inference server is told by the closed connection."""
    working, watching = asyncio.create_task(answer), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else Response(status_code=CLIENT_HAS_GONE)
    finally:
        working.cancel()
        watching.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _in_openais_shape(error: StudioError) -> dict[str, Any]:
    return shape(error.message, error.kind, error.param, error.code)


def _present(name: str, made: datetime | None, project: str) -> ModelOut:
    return ModelOut(id=name, created=int(made.timestamp()) if made else 0, owned_by=project if made else "hone")
