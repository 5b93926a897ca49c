"""What a project's people say of their goal: what the model is for, what there is already, and what was tried."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.domain.guide import Goal
from app.domain.text import Text

MOST = 1_000_000_000
"""More than anybody has of anything that is asked for here."""


class Output(StrEnum):
    """What an answer is."""

    TEXT = "text"
    LABEL = "label"
    JSON = "json"
    SAME_TEXT = "same_text"
    CODE = "code"


OWN = frozenset({Goal.REPLACE, Goal.DISTIL, Goal.MASK, Goal.CODE})
"""Goals that are about a model of one's own: what is to be masked must not go to others, and code is completed while one types."""
OUTPUTS = {
    Output.TEXT: "Free text",
    Output.LABEL: "One label of a few",
    Output.JSON: "JSON or another exact format",
    Output.SAME_TEXT: "The same text, changed: masked, mended, translated",
    Output.CODE: "Code",
}


def _unsaid(value: Any) -> Any:
    """A form sends empty fields too: nobody has said anything there."""
    return None if isinstance(value, str) and not value.strip() else value


def _ticked(value: Any) -> Any:
    return value.strip().lower() in {"on", "true", "yes", "1"} if isinstance(value, str) else value


Tick = Annotated[bool, BeforeValidator(_ticked)]
Whole = Annotated[Annotated[int, Field(ge=0, le=MOST)] | None, BeforeValidator(_unsaid)]
Percent = Annotated[Annotated[float, Field(ge=0, le=100)] | None, BeforeValidator(_unsaid)]


class Answers(BaseModel):
    """The answers, each of which may be left open; a field's title is the question and its description the help beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)

    what: Annotated[Goal | None, BeforeValidator(_unsaid)] = Field(None, title="What should the model do?", description="What it is for.")
    task: Text = Field(
        "", max_length=500, title="The task in one sentence",
        description="What comes in, what goes out. Narrow tasks are learnt well: support e-mail into JSON with intent and urgency.",
    )  # fmt: skip
    output: Annotated[Output | None, BeforeValidator(_unsaid)] = Field(None, title="What is an answer?", description="What it is made of.")
    examples: Whole = Field(
        None, title="Examples you have", description="Questions with the answers you want. Left empty, the rows of this project count."
    )
    documents: Tick = Field(False, title="Documents in which the answers stand", description="Manuals, contracts, a wiki, a price list.")
    large_model: Tick = Field(
        False, title="A large model that does it well when prompted", description="One whose answers you may keep and learn from."
    )
    tried_prompt: Tick = Field(False, title="A careful prompt", description="Rules, the format, what to do when unsure.")
    tried_examples: Tick = Field(False, title="Examples inside the prompt", description="Few-shot: five to twenty of the best.")
    tried_documents: Tick = Field(
        False, title="Looking things up (RAG)", description="Passages found for each question, put into the prompt."
    )
    prompt_tokens: Whole = Field(None, title="Tokens of the prompt", description="As it is now; a page of text is about 500 tokens.")
    prompt_is_short: Tick = Field(
        False, title="It is as short as it can be", description="What repeats is cached, and what does not help was taken out."
    )
    right_percent: Percent = Field(
        None,
        title="Right answers of the best prompt, %",
        description="On rows you held out. Measured baselines count instead, if there are any.",
    )
    wanted_percent: Percent = Field(None, title="Right answers you need, %", description="From here on you would use it; 95 if left empty.")
    news: Tick = Field(
        False, title="It must know what happened lately", description="Prices, stock, yesterday's news, today's appointments."
    )
    fast: Tick = Field(False, title="Answers must come at once", description="Below half a second, as for completing code while one types.")
    private: Tick = Field(False, title="The data must not leave the house", description="Or the model has to work without a network.")
    many: Tick = Field(False, title="It is asked very often", description="So often that a large model's bill hurts.")

    @property
    def is_blank(self) -> bool:
        """Whether nobody has said anything yet."""
        return not self.model_dump(exclude_defaults=True)

    @property
    def wants_own(self) -> bool:
        """Whether something speaks for a small model of one's own even where a large one answers well."""
        return self.fast or self.private or self.many or self.what in OWN


class Known(BaseModel):
    """What the project shows of itself, beside what its people say."""

    model_config = ConfigDict(frozen=True)

    rows: int | None = None
    """Rows of the datasets that are ready; None while there are none."""
    right_percent: float | None = None
    """The best that a prompt alone has reached on held-out rows, where that was measured here."""
    measured: str = ""
    """Of which model and way that was, in words."""
    on_own_model: bool = False
    """Whether that model runs here."""
