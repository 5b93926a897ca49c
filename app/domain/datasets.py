"""Rows, their shapes and their split: what a dataset is, apart from where it lies."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Role = Literal["system", "user", "assistant", "tool", "text"]
"""`tool`: what a tool answered. `text`: a text to learn whole, without a question; it is then its row's only message."""
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""Who speaks, by what files call them."""

HELD_OUT_SHARE = 0.1
MAX_PROBLEMS_LISTED = 100
MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
ROW_GROUP_ROWS = 5_000
STORED = ("row", "split", "messages", "rejected", "label", "tools")
"""The columns of a dataset's file that make a row; files from before a column came lack it."""
NO_EXTRAS: list[Any] = [None, None, None, None]
CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""How a conversation is spelt before it is hashed; made once, since making it takes longer than using it."""


class DatasetStatus(StrEnum):
    """Where an upload stands."""

    IMPORTING = "importing"
    NEEDS_MAPPING = "needs_mapping"
    READY = "ready"
    FAILED = "failed"


class DatasetFormat(StrEnum):
    """The shape a file was recognised as."""

    CHAT = "chat"
    PROMPT_COMPLETION = "prompt_completion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PREFERENCE = "preference"
    KTO = "kto"
    TEXT = "text"
    TABLE = "table"


class Split(StrEnum):
    """Rows to learn from, and rows kept aside."""

    TRAIN = "train"
    TEST = "test"


class Message(BaseModel):
    """One turn of a conversation, in OpenAI's words; what is not given is left out when it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str = ""
    tool_calls: list[dict[str, Any]] | None = Field(None, description="Calls of tools: {id, type, function: {name, arguments}}.")
    tool_call_id: str | None = None
    name: str | None = None
    weight: Literal[0, 1] | None = Field(None, description="0: this answer is not learnt from.")

    @model_serializer(mode="wrap")
    def _only_what_is_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class Turn(NamedTuple):
    """A message while millions of them are read: the same fields, without validation; tool calls as JSON."""

    role: Role
    content: str
    tool_calls: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    weight: int | None = None


class Example(NamedTuple):
    """A usable row as it is read: a conversation, and what some methods want besides.

    Of a comparison `turns` end with the better answer, and `rejected` holds the worse one's turns; `label` says whether an answer was
    liked; `tools` is the JSON of the tools there are; `split` is the side a file itself has put the row on.
    """

    turns: Sequence[Turn]
    rejected: Sequence[Turn] | None = None
    label: bool | None = None
    tools: str | None = None
    split: Split | None = None


class Row(BaseModel):
    """One example: its place among the usable rows (from 0, file order), which side it is on, and the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int
    split: Split
    messages: list[Message]
    rejected: list[Message] | None = Field(None, description="Of a comparison: the turns of the worse answer.")
    label: bool | None = Field(None, description="Whether the answer was liked.")
    tools: list[dict[str, Any]] | None = Field(None, description="The tools that could be called.")

    @property
    def texts(self) -> list[str]:
        """Return what is said, turn by turn, the worse answer's turns last."""
        return [message.content for message in [*self.messages, *(self.rejected or ())]]

    @property
    def letters(self) -> int:
        """How much there is to read in it: what is said, what is passed to tools, and the tools themselves."""
        calls = [message.tool_calls for message in [*self.messages, *(self.rejected or ())] if message.tool_calls]
        return sum(map(len, self.texts)) + sum(len(CANONICAL.encode(each)) for each in (*calls, self.tools) if each)


def row_from(raw: dict[str, Any]) -> Row:
    """Return the row that a dataset's file holds under `STORED`'s names; JSON inside its cells is read, and what is missing is left out."""
    tools, rejected = raw.get("tools"), raw.get("rejected")
    return Row(
        row=raw["row"], split=raw["split"], messages=[message_from(each) for each in raw["messages"]],
        rejected=None if rejected is None else [message_from(each) for each in rejected],
        label=raw.get("label"), tools=json.loads(tools) if tools else None,
    )  # fmt: skip


def message_from(raw: dict[str, Any]) -> Message:
    """Return a message as a dataset's file holds it."""
    calls = raw.get("tool_calls")
    return Message.model_validate(raw | {"tool_calls": json.loads(calls)} if calls else raw)


def in_openai_shape(row: Row) -> dict[str, Any]:
    """Return a row as OpenAI's fine-tuning files hold it; texts and liked answers, which those do not know, as Hugging Face's do."""
    messages = [message.model_dump() for message in row.messages]
    tools = {"tools": row.tools} if row.tools else {}
    if row.messages[0].role == "text":
        return {"text": row.messages[0].content}
    if row.rejected is not None:
        start = len(messages)
        while start and messages[start - 1]["role"] in {"assistant", "tool"}:
            start -= 1
        worse = [message.model_dump() for message in row.rejected]
        return {"input": {"messages": messages[:start], **tools}, "preferred_output": messages[start:], "non_preferred_output": worse}
    return {"messages": messages, **tools} | ({} if row.label is None else {"label": row.label})


class Problem(BaseModel):
    """A row that was set aside: the file it is in, the 1-based physical line where it starts, and why; `code` is one of `ASIDE`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: Annotated[int, Field(ge=1)]
    reason: str
    code: str = "broken"
    file: int = Field(0, ge=0, description="Which of the dataset's files, from 0.")


class Mapping(BaseModel):
    """Which column fills which role; a dotted name reaches into nested JSON, and `{column}` in a longer text joins columns.

    Either a text to learn whole, or a question and its answer; besides these the worse answer of a comparison, or whether the answer was
    liked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str | None = None
    assistant: str | None = None
    system: str | None = None
    rejected: str | None = None
    label: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _says_what_is_learnt(self) -> Self:
        if self.text and (self.user or self.assistant or self.rejected or self.label):
            raise ValueError("a text is learnt whole: it has no question, answer or judgement beside it")
        if not self.text and not (self.user and self.assistant):
            raise ValueError("say which column is the question and which the answer, or which is a text to learn whole")
        return self


class ImportReport(BaseModel):
    """What reading a file found: the `data` of an import's Finished event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: DatasetStatus
    format: DatasetFormat | None
    columns: list[str] = Field(default_factory=list)
    rows: int = 0
    train_rows: int = 0
    test_rows: int = 0
    problem_count: int = 0
    problems: list[Problem] = Field(default_factory=list)
    sample: list[dict[str, str]] = Field(default_factory=list, description="First rows of a table, for mapping its columns.")
    sha256: str | None = Field(None, description="Hash of the Parquet file; None when no row was usable.")
    encoding: str | None = None
    delimiter: str | None = None
    suggested: Mapping | None = Field(None, description="A guess at the mapping, for the page to offer.")
    confidence: dict[str, float] = Field(default_factory=dict, description="How sure the guess is of each column, from 0 to 1.")
    notes: list[str] = Field(default_factory=list, description="What a person should know about rows that were taken.")
    aside: dict[str, int] = Field(default_factory=dict, description="How many rows were set aside, by the code of why.")
    not_kept: dict[str, int] = Field(default_factory=dict, description="How many of these were not kept, since there were so many.")


def row_hash(
    messages: Iterable[Message | Turn],
    *,
    rejected: Iterable[Message | Turn] | None = None,
    label: bool | None = None,
    tools: str | None = None,
) -> str:
    """Return the hex SHA-256 of an example; equal examples are equal rows. Parts that are not there change nothing."""
    parts: list[Any] = [_spelt(message) for message in messages]
    extras = [[_spelt(message) for message in rejected] if rejected is not None else None, label, tools]
    if extras != [None, None, None]:
        parts.append(extras)
    return hashlib.sha256(CANONICAL.encode(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _spelt(message: Message | Turn) -> list[Any]:
    calls = CANONICAL.encode(message.tool_calls) if isinstance(message.tool_calls, list) else message.tool_calls
    extras = [calls, message.tool_call_id, message.name, message.weight]
    return [message.role, message.content] if extras == NO_EXTRAS else [message.role, message.content, extras]


def side_by_hash(row_hash: str) -> Split:
    """Return the side a row's own hash puts it on: one chance in ten to be held out."""
    return Split.TEST if int(row_hash[:8], 16) / 2**32 < HELD_OUT_SHARE else Split.TRAIN


def moved_to_fill_both_sides(distinct: set[str]) -> dict[str, Split]:
    """Return the rows that change sides because one side would be empty; distinct hashes in, hashes with their new side out."""
    sides = {side_by_hash(h) for h in distinct}
    if len(sides) != 1:
        return {}
    if sides == {Split.TRAIN}:
        return {min(distinct): Split.TEST} if len(distinct) > 1 else {}
    return {max(distinct): Split.TRAIN}


def split_by_hash(hashes: Sequence[str]) -> list[Split]:
    """Assign each row by its own hash, so that it keeps its side when others come and go, and twins stay together.

    When that would leave a side empty, the row with the lowest (or highest) hash is moved over, so that two distinct rows are enough
    for a run; a single distinct row is there to learn from.
    """
    moved = moved_to_fill_both_sides(set(hashes))
    return [moved.get(h) or side_by_hash(h) for h in hashes]
