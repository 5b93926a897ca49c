"""The words of the OpenAI protocol: a request with the folders to answer from, and the bodies of answers, chunks and errors."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.domain.chat import ChatRequest, invalid_field
from app.domain.datasets import Message, Split
from app.domain.errors import Invalid, StudioError
from workers.training.rows import Row

FinishReason = Literal["stop", "length"]
LAST_EVENT = b"data: [DONE]\n\n"
Body = TypeVar("Body", bound=BaseModel)


class Place(BaseModel):
    """Where the model lies: the base's folder, and the adapter's if a tuned model is to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_dir: Path
    adapter_dir: Path | None = None


class ServedRequest(ChatRequest):
    """OpenAI's request with names already resolved; its `model` is only echoed."""

    hone: Place


class YieldRequest(BaseModel):
    """A device is wanted for training by `holder`, whom people know by the name `run`; it may be said again and again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    holder: str
    run: str


class ResumeRequest(BaseModel):
    """Training is over on one device, or (None) on all: that of one holder, or (None) of all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str | None = None
    holder: str | None = None


class PreflightRow(BaseModel):
    """A row to look at, under the number people know it by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None

    def row(self) -> Row:
        """Return it as the trainer has rows."""
        return Row(tuple(self.messages), "", Split.TRAIN, self.number, self.tools)


class PreflightRequest(BaseModel):
    """Rows to be looked at as a run would train them; `total_rows` when there are more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_dir: Path
    rows: list[PreflightRow]
    max_length: int = Field(ge=1)
    batch_size: int = Field(8, ge=1)
    seed: int = Field(0, ge=0)
    chat_template: Literal["auto", "plain"] = "auto"
    total_rows: int | None = None

    @property
    def total(self) -> int:
        """How many rows there are."""
        return self.total_rows or len(self.rows)


@dataclass(frozen=True)
class Usage:
    """Tokens counted: the prompt's, and every token that was generated, the end-of-turn token included."""

    prompt: int
    completion: int

    def body(self) -> dict[str, int]:
        """Return OpenAI's `usage`."""
        return {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": self.prompt + self.completion}


@dataclass
class Answer:
    """One choice as it grows."""

    text: list[str] = field(default_factory=list)
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class Reply:
    """What all bodies of one answer share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, answers: Sequence[Answer], usage: Usage) -> dict[str, Any]:
        """Return the body of an answer that was not streamed."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(answer.text), "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": usage.body()}

    def chunk(self, index: int, delta: dict[str, str], reason: FinishReason | None = None, *, with_usage: bool = False) -> bytes:
        """Return one server-sent event with a piece of choice `index`; with usage asked for, all chunks but the last say null."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return server_sent_event(body | {"usage": None} if with_usage else body)

    def usage_chunk(self, usage: Usage) -> bytes:
        """Return the last event of a stream that was asked to count."""
        return server_sent_event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage.body()})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def server_sent_event(body: dict[str, Any]) -> bytes:
    """Return a JSON body as one event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def error_body(error: StudioError) -> dict[str, Any]:
    """Return OpenAI's error object, all four keys present."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def error_status(error: StudioError) -> int:
    """Return the HTTP status; what other surfaces call 422 is 400 in OpenAI's protocol."""
    return 400 if isinstance(error, Invalid) else error.status


def read_body(kind: type[Body], raw: bytes) -> Body:
    """Read a request's JSON, or raise Invalid naming the field at fault."""
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        raise invalid_field(error.errors()) from None
