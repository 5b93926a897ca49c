"""Recipes: tasks that others have solved by tuning, with all it takes: what a row is, a sample, what to measure, which settings."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.goals import Answers, Output
from app.domain.guide import NEEDED, Goal
from app.domain.metrics import Metric
from app.domain.specs import Preset, TrainingSettings, settings_for
from app.domain.written.writers import Writer

MOST_ROWS = 2_000
"""As many as every list of words is enough for without two rows being nearly the same."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowSchema(_Told):
    """What a row of a recipe's dataset is: its turns, each as it may look, and the JSON Schema of the answer where that is JSON."""

    system: str = Field(min_length=1, description="The same in every row, and in every question afterwards.")
    user: str = Field(min_length=1, description="A question as it may come in.")
    assistant: str = Field(min_length=1, description="The answer to learn for it.")
    answer: dict[str, Any] | None = Field(None, description="JSON Schema of the answer; none where it is no JSON.")
    labels: tuple[str, ...] = Field((), description="The only answers there are, where it is one of a few.")


class SampleSource(_Told):
    """Where a recipe's sample rows come from: a sample on the shelf, or a writer with its lists of words."""

    shelf: str | None = Field(None, description="A sample that comes with Hone.")
    writer: Writer | None = Field(None, description="Who writes the rows, as many as one likes.")
    words: str | None = Field(None, pattern=r"^[a-z_]+$", description="The lists of words that the writer draws from.")
    rows: Annotated[int, Field(ge=50, le=MOST_ROWS)] = Field(description="Rows if nobody says how many.")
    most: Annotated[int, Field(ge=50, le=MOST_ROWS)] = Field(description="Rows there are at most.")

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Self:
        if (self.shelf is None) == (self.writer is None) or (self.writer is None) != (self.words is None):
            message = "a sample is either on the shelf, or has a writer and its words"
            raise ValueError(message)
        if self.rows > self.most:
            message = f"{self.rows} rows are more than there are ({self.most})"
            raise ValueError(message)
        return self


class Recipe(_Told):
    """A starting point: everything between a task and a first run."""

    slug: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60, examples=["support-emails"])
    title: str = Field(min_length=1, max_length=80)
    goal: Goal
    output: Output
    description: str = Field(description="What it is, in two sentences.")
    task: str = Field(description="The task as one would write it down: narrow.")
    good: tuple[str, ...] = Field(min_length=1, description="Neighbouring tasks that are as narrow.")
    bad: tuple[str, ...] = Field(min_length=1, description="The same wish put too widely.")
    row: RowSchema
    metrics: tuple[Metric, ...] = Field(min_length=1, description="What to measure on held-out rows; the first is what counts.")
    measuring: str = Field(description="Why these, and what they do not see.")
    preset: Preset
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings that differ from the preset's.")
    why_settings: str = Field(description="Why these settings.")
    bases: tuple[str, ...] = Field(min_length=1, description="Base models that suit it, by their names in the catalogue; smaller first.")
    own_rows: str = Field(description="Where one's own rows come from.")
    watch: str = Field(description="What mostly goes wrong.")
    sample: SampleSource

    @model_validator(mode="after")
    def _has_settings(self) -> Self:
        settings_for(self.preset, self.settings)
        return self

    @property
    def examples(self) -> str:
        """How many examples are mostly enough, in words."""
        return NEEDED[self.goal].about

    @property
    def training(self) -> TrainingSettings:
        """The settings of a run by this recipe."""
        return settings_for(self.preset, self.settings)

    @property
    def answers(self) -> Answers:
        """The goal of somebody who takes this recipe, as far as the recipe says it."""
        return Answers(what=self.goal, task=self.task, output=self.output)
