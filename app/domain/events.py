"""What a child process reports on its event pipe, one JSON object a line; `hone train` writes the same to events.jsonl."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.domain.datasets import Message


class Event(BaseModel):
    """Base of all events: unknown fields are refused, so both ends stay in step."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Started(Event):
    """The child is set up and begins its work; `data` says what was chosen (device, precision …) and why."""

    type: Literal["started"] = "started"
    step: int = 0
    total_steps: int = 0
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class Metric(Event):
    """A number at a step, in full precision."""

    type: Literal["metric"] = "metric"
    step: int
    name: str
    value: float


class Progress(Event):
    """How far an import has come: `done` of `total` bytes, `rows` read."""

    type: Literal["progress"] = "progress"
    done: int
    total: int
    rows: int


class Sample(Event):
    """What the model answers to one of the run's fixed prompts at a step; at step 0 it is the base that answers."""

    type: Literal["sample"] = "sample"
    step: int
    place: int = Field(description="Which of the prompts, from 0; the same at every step.")
    origin: Literal["held_out", "training", "own"]
    row: int | None = Field(None, description="The number of the prompt's row, as people call it.")
    prompt: list[Message]
    expected: str | None = None
    answer: str
    is_cut: bool = Field(False, description="The model would have gone on.")


class Checkpoint(Event):
    """A whole, verified checkpoint lies at `path` (relative to the output folder)."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class Notice(Event):
    """Something a person should know; never a failure."""

    type: Literal["notice"] = "notice"
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class Doing(Event):
    """A sign of life in a phase without steps, and what the phase is: "fetching the base"; told at least every half minute."""

    type: Literal["doing"] = "doing"
    what: str


class Contacted(Event):
    """A host outside that is about to be spoken to for the first time: told before, since what comes of it may never be."""

    type: Literal["contacted"] = "contacted"
    host: str


class Finished(Event):
    """The last line of a child. `interrupted`: it was told to leave and kept what it had. `code` is stable for programs."""

    type: Literal["finished"] = "finished"
    status: Literal["succeeded", "interrupted", "failed"]
    reason: str = ""
    code: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


AnyEvent = Annotated[Started | Metric | Progress | Sample | Checkpoint | Notice | Doing | Contacted | Finished, Field(discriminator="type")]
ZERO = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""A zero byte as JSON writes it; not a backslash before such letters."""
_adapter: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def parse_event(line: str | bytes) -> AnyEvent:
    """Read one line of the pipe; pydantic's ValidationError if it is no event.

    A zero byte in a text of it is replaced: PostgreSQL has no place for one.
    """
    return _adapter.validate_json(ZERO.sub(rb"\1\\ufffd", line.encode() if isinstance(line, str) else line))


class Command(Event):
    """What a supervisor asks of its child on the child's standard input; end-of-file means: leave at once, nobody listens."""

    command: Literal["pause", "stop", "cancel"]
