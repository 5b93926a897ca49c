"""The chat page: base and tuned model side by side, and the stream of each answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.db import Run
from app.db.session import reading
from app.domain.chat import ChatRequest
from app.domain.datasets import Split
from app.domain.errors import StudioError
from app.domain.specs import STARTER
from app.gateways.inference import Inference, told_if_lost
from app.services.accounts import Identity
from app.services.studio import Studio
from app.web.dependencies import Caller, Look, studio_of
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
EXAMPLES, ROWS_SEARCHED = 6, 160
"""A tenth of a dataset is held out, so this many rows hold twice as many examples as are shown."""
SHOWN_CHARACTERS = 44
"""Rows that begin alike look alike on their chips, so one of them is enough."""
NAME_CHARACTERS = 300


@dataclass(frozen=True)
class Answering:
    """Whether questions can be asked just now, in words."""

    is_there: bool
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Example:
    """A held-out row to try: what is asked, and the answer that was expected."""

    question: str
    expected: str


async def answering(request: Request) -> Answering:
    """Ask the inference server how it is."""
    inference: Inference = request.app.state.inference
    try:
        status = await inference.status()
    except StudioError as error:
        return Answering(is_there=False, text=error.message, tone="bad")
    return _in_words(status)


def _in_words(status: dict[str, Any]) -> Answering:
    left_to = status.get("yielded_to")
    if left_to:
        run = left_to.get("run", "a run")
        text = f"The GPU is training {run}. Until that has ended small models answer from the CPU, and large ones not at all."
        return Answering(is_there=True, text=text, tone="wait")
    loaded = status.get("loaded")
    held = f"{PurePath(str(loaded)).name} is in memory." if loaded else "The first answer loads its base model."
    device = status.get("device")
    place = "the CPU" if device == "cpu" else f"the GPU ({device})" if str(device).startswith("cuda") else "this machine"
    return Answering(is_there=True, text=f"Answers come from {place}. {held}")


@router.get("/chat")
def show_chat(
    visit: Look,
    state: Annotated[Answering, Depends(answering)],
    tuned: Annotated[str, Query(max_length=NAME_CHARACTERS)] = "",
) -> Response:
    """Show the chat, with the newest tuned model beside its base."""
    runs = visit.models.tuned(visit.identity)
    names = [name for name, _ in visit.models.names(visit.identity)]
    right = tuned if tuned in names else (runs[0].model if runs else STARTER)
    chosen = next((run for run in runs if run.model == right), None)
    if visit.wants("chat_state"):
        return visit.page("chat/chat.html", state=state, tuned=chosen)
    base = chosen.base_model if chosen and chosen.base_model in names else STARTER
    system, examples = _examples(visit, chosen)
    return visit.page(
        "chat/chat.html", state=state, names=names, base=base, tuned=chosen, right=right,
        has_tuned=bool(runs), system=system, examples=examples,
    )  # fmt: skip


def _examples(visit: Visit, run: Run | None) -> tuple[str, list[Example]]:
    """Return the system prompt a tuned model was trained with, and some held-out rows with their expected answers."""
    if run is None:
        return "", []
    dataset = (run.eval_version or run.version).dataset
    if dataset.deleted_at:
        return dataset.system or "", []
    system, found = dataset.system or "", dict[str, Example]()
    for row in visit.datasets.rows(visit.identity, dataset.id, limit=ROWS_SEARCHED).items:
        texts = {message.role: message.content for message in row.messages[:3]}
        system = system or texts.get("system", "")
        if (row.split == Split.TEST or run.eval_version) and {"user", "assistant"} <= texts.keys():
            found.setdefault(texts["user"][:SHOWN_CHARACTERS], Example(texts["user"], texts["assistant"]))
    return system, list(found.values())[:EXAMPLES]


@router.post("/chat/answers")
async def answer(request: Request, caller: Caller, asked: ChatRequest) -> Response:
    """Stream one model's answer as OpenAI's chunks, for the page's script."""
    inference: Inference = request.app.state.inference
    try:
        place = await run_in_threadpool(_place, studio_of(request), caller, asked.model)
        events = inference.stream({**asked.model_dump(exclude_none=True), "hone": place})
        first = await anext(events)  # a refusal is raised here, while there is still a status to say it with
    except StudioError as error:
        return JSONResponse({"message": error.message}, error.status)
    return StreamingResponse(
        told_if_lost(first, events, _as_the_script_reads_it), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


def _place(studio: Studio, caller: Identity, model: str) -> dict[str, str | None]:
    """Return the folders of a model; in a session that is closed before the answer begins."""
    with reading(studio.engine) as session:
        return studio.models(session).resolve(caller, model).place()


def _as_the_script_reads_it(error: StudioError) -> dict[str, dict[str, str]]:
    return {"error": {"message": error.message}}
