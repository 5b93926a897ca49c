"""What a run would learn, seen before any GPU is used: rows as tokens, figures over all of them, and the faults that stop a launch."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from app.domain.errors import Invalid
from app.domain.fixes import Fix

PREFLIGHT_FAILED = "preflight_failed"
Template = Literal["tokenizer", "default", "plain"]
"""Which chat template writes the rows: the base's own, Hone's plain one since the base has none, or the same since it was asked for."""


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Piece(NamedTuple):
    """A token: its number, the text it stands for, whether it is learnt, and whether it is one of the template's marks."""

    id: int
    text: str
    trained: bool
    special: bool


class ShownRow(_Value):
    """A row as the model sees it, token by token."""

    number: int = Field(description="Its place in the dataset, from 1.")
    why: Literal["longest", "shortest", "random"]
    tokens: int = Field(description="All of the row's, cut or not.")
    trained: int = Field(description="Those that are learnt and not cut away.")
    cut: int | None = Field(description="The first token that is cut away.")
    pieces: list[Piece]
    skipped: tuple[int, int] | None = Field(None, description="Where tokens of a very long row are left out here, and how many.")


class Spread(_Value):
    """How a number of tokens is spread over rows; bins are [from, up to but without, rows]."""

    bins: list[tuple[int, int, int]]
    min: int
    median: int
    p95: int
    max: int
    sum: int


class SharedPrefix(_Value):
    """The share of tokens that other rows begin with as well, so that they could be computed once."""

    steps: float = Field(description="Over the rows of one step, where the trainer computes it once.")
    all: float = Field(description="Over all rows that were looked at.")


class Counts(_Value):
    """How many of the rows that were looked at are so."""

    rows: int
    total: int = Field(description="Rows that would be trained on; more than were looked at, where there are many.")
    truncated: int = Field(description="Cut at the end.")
    answers_cut: int = Field(description="Cut before their first answer begins, so that nothing of it is learnt.")
    silent: int = Field(description="Without anything to learn, cut or not.")
    ends_learnt: int = Field(description="Whose end is learnt: the model sees where to stop.")
    doubled_bos: int
    control_tokens: int = Field(description="With control tokens of a chat template in what is said.")
    refused: int = Field(description="That the chat template cannot write, or not so that the answers are told apart for certain.")
    trained_prompt: int = Field(description="Of those, with marks around what others say.")
    borders_differ: int = Field(description="In which an answer follows other tokens than it will in a chat.")


class PreflightFix(_Value):
    """What mends a fault: a change of the run's settings, or of the rows."""

    id: str
    label: str
    help: str
    settings: dict[str, Any] = Field(default_factory=dict)
    data: Fix | None = None


class Fault(_Value):
    """Something wrong with what would be learnt; a blocking one stops the launch."""

    code: str
    sentence: str
    why: str
    blocking: bool
    param: str = "dataset_id"
    rows: list[int] = Field(default_factory=list, description="The first ones it is in, by their places in the dataset, from 1.")
    fixes: list[PreflightFix] = Field(default_factory=list)


PLAIN = PreflightFix(
    id="plain", label="Use Hone's plain template", settings={"chat_template": "plain"},
    help="Each role's name on a line, then its text. Chat and the adapter's card follow it.",
)  # fmt: skip


def template_fault(sentence: str, *, plain_helps: bool = True) -> Fault:
    """Return the fault of a template that cannot be used for any row."""
    why = "What the template cannot write is not learnt."
    fixes = [PLAIN] if plain_helps else []
    return Fault(code="template_error", sentence=sentence, why=why, blocking=True, param="base_model", fixes=fixes)


class Preflight(_Value):
    """What was found."""

    template: Template
    max_length: int = Field(description="Where rows are cut: the setting, or what the base reads if that is less.")
    context: int | None
    counts: Counts
    rows: list[ShownRow]
    tokens: Spread | None
    answers: Spread | None
    trained_share: float
    shared_prefix: SharedPrefix
    steps_per_epoch: int
    faults: list[Fault]
    seconds: float

    @classmethod
    def of_no_row(cls, fault: Fault, *, total: int, max_length: int) -> Self:
        """Return what there is to say when not even one row could be looked at."""
        nothing = dict.fromkeys(Counts.model_fields, 0)
        return cls(
            template="tokenizer", max_length=max_length, context=None, counts=Counts(**nothing | {"total": total}), rows=[], tokens=None,
            answers=None, trained_share=0.0, shared_prefix=SharedPrefix(steps=0.0, all=0.0), steps_per_epoch=0, faults=[fault], seconds=0.0,
        )  # fmt: skip

    @property
    def blocking(self) -> list[Fault]:
        """Return the faults that stop a launch."""
        return [fault for fault in self.faults if fault.blocking]


class PreflightFailed(Invalid):
    """What would be learnt is nothing, or wrong; nothing was launched."""

    default_code = PREFLIGHT_FAILED

    def __init__(self, faults: list[Fault], *, code: str | None = None) -> None:
        first = faults[0]
        told = [fault.model_dump(mode="json") for fault in faults]
        super().__init__(first.sentence, param=first.param, code=code, data={"faults": told, "rows": first.rows})
        self.faults = faults
