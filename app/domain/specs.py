"""The document that describes a run: one model read by the form, REST, `hone train`'s YAML and the trainer."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from app.domain.errors import Invalid
from app.domain.labels import Notes, Tags
from app.domain.queueing import Priority
from app.domain.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTER = "hone-starter"
MAX_STEPS = 1_000_000_000
"""More than anybody trains, and small enough for every column and counter."""
EVALUATIONS = 8
"""How often held-out rows are looked at in a run, about, where nobody says."""
Auto = Literal["auto"]


def rows_seen(rows: int, epochs: float) -> int:
    """Return how many rows so many passes show: 1.1 passes over 100 rows show 110, though in floating point the product is a hair more."""
    return math.ceil(rows * epochs * (1 - 1e-14))


class Preset(StrEnum):
    """How thorough a run is, for people who want no settings."""

    QUICK = "quick"
    BALANCED = "balanced"
    THOROUGH = "thorough"


PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.QUICK: {"epochs": 4, "rank": 16},
    Preset.BALANCED: {"epochs": 6, "rank": 16},
    Preset.THOROUGH: {"epochs": 10, "rank": 32},
}
"""Chosen by measurement on the bundled base: docs/presets.md has what was tried."""


def on_one_line(prompt: str) -> str:
    """Return a prompt with spaces for its line breaks: the form and a clone hold one a line."""
    return " ".join(filter(None, map(str.strip, prompt.splitlines())))


SamplePrompt = Annotated[Text, AfterValidator(on_one_line), Field(min_length=1, max_length=4000)]


class TrainingSettings(BaseModel):
    """Every setting of a run with its default; the field's description is the help a page shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tuning: Literal["lora", "qlora", "full"] = Field(
        "lora",
        description="LoRA trains a small adapter beside the frozen base; QLoRA also holds the base in 4 bits (NF4) to save memory; "
        "full trains every weight of the base, takes several times the memory, and makes a whole model.",
    )
    epochs: Annotated[float, Field(gt=0, le=1000)] = Field(6, description="How many times each example is seen.")
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = Field(
        None, description="Stop after this many steps, whatever the epochs say."
    )
    batch_size: Annotated[int, Field(ge=1, le=4096)] = Field(8, description="Examples per optimiser step.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Auto = Field(
        "auto",
        description="How far each step moves the weights; auto takes 0.0002, with full tuning 0.00002, and for bases under 50 million "
        "parameters 0.002 and 0.0005.",
    )
    rank: Annotated[int, Field(ge=1, le=512)] = Field(16, description="How many directions the adapter may change; 16 suits most.")
    alpha: Annotated[float, Field(gt=0, le=4096)] | Auto = Field(
        "auto", description="How strongly the adapter acts; auto is twice the rank."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Share of adapter inputs dropped at random while training.")
    adapter: Literal["lora", "dora"] = Field(
        "lora",
        title="Kind of adapter",
        description="DoRA also learns how long each row of a weight is: sometimes better at low ranks, always slower.",
    )
    rslora: bool = Field(
        False, title="rsLoRA", description="Scales the adapter by alpha over the root of its rank, so that high ranks (64 and more) count."
    )
    lora_plus: Annotated[float, Field(ge=1, le=1024)] | None = Field(
        None,
        title="LoRA+",
        description="How many times as fast the adapter's second matrix (B) learns as its first; 16 is usual, with a lower learning rate.",
    )
    max_length: Annotated[int, Field(ge=16, le=1_048_576)] = Field(
        1024, description="Longest example in tokens; what is beyond is cut off."
    )
    chat_template: Literal["auto", "plain"] = Field(
        "auto",
        description="How rows are written: as the base's own chat template has it, or with Hone's plain one, for bases whose own is unfit.",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Number format of the products; auto takes bf16 where the processor is fast at it."
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="How the learning rate falls over the run.")
    warmup_ratio: Annotated[float, Field(ge=0, le=0.5)] = Field(0.05, description="Share of the steps in which the learning rate rises.")
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="Pulls the trained weights towards zero.")
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(
        1.0, description="What pulls at the weights harder than this in one step is weakened to it; 1 suits most."
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(0, description="The same seed gives the same run.")
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to train; auto takes a GPU if the worker has one.")
    micro_batch_size: Annotated[int, Field(ge=1, le=4096)] | Auto = Field(
        "auto", description="Examples computed at once; smaller saves memory and changes nothing else."
    )
    gradient_checkpointing: Annotated[int, Field(ge=0, le=4096)] | Auto = Field(
        "auto",
        description="In so many layers results are computed twice rather than kept; it saves memory and changes nothing else.",
    )
    optimiser: Literal["auto", "adamw", "adamw_8bit", "paged_adamw_8bit"] = Field(
        "auto",
        description="AdamW in float32 or with its state in 8 bits; paged also lets a GPU's state move to the machine's memory. "
        "Auto takes the paged one for QLoRA on a GPU, else AdamW.",
    )
    eval_every_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | Auto = Field(
        "auto", description="Steps between checks on held-out rows; auto is about eight checks a run."
    )
    checkpoint_every_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | Auto = Field(
        "auto", description="Steps between checkpoints; auto saves at least every two minutes of training."
    )
    sample_prompts: Annotated[tuple[SamplePrompt, ...], Field(max_length=8)] = Field(
        (), description="What else to ask at each checkpoint beside a few held-out rows: up to 8 prompts, one a line. They change nothing."
    )

    @field_validator("sample_prompts", mode="before")
    @classmethod
    def _one_a_line(cls, given: Any) -> Any:
        return [line.strip() for line in given.split("\n") if line.strip()] if isinstance(given, str) else given

    @field_validator("dropout", "adapter", "rslora", "lora_plus")
    @classmethod
    def _full_tuning_has_no_adapter(cls, value: Any, given: ValidationInfo) -> Any:
        if given.data.get("tuning") == "full" and value not in {None, 0, "lora"}:  # 0 is also False
            message = "full fine-tuning has no adapter to set this for; leave it out, or choose lora or qlora as tuning."
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _alpha_is_twice_the_rank(self) -> Self:
        if self.alpha == "auto":
            object.__setattr__(self, "alpha", 2.0 * self.rank)
        return self

    @property
    def in_words(self) -> str:
        """What is trained, in a few words."""
        return tuning_words(self.model_dump())

    def total_steps(self, training_rows: int) -> int:
        """Return the number of optimiser steps over `training_rows` rows, or raise Invalid for more than anybody trains."""
        steps = self.max_steps or math.ceil(rows_seen(training_rows, self.epochs) / self.batch_size)
        if steps > MAX_STEPS:
            message = f"settings.epochs: {self.epochs:g} epochs of these rows are {steps:,} steps; {MAX_STEPS:,} is the most."
            raise Invalid(message, param="settings.epochs")
        return steps

    def filled_in(self, *, training_rows: int, parameters: int | None) -> TrainingSettings:
        """Return these settings with every `auto` decided that rows and base size decide (`parameters` None: unknown yet)."""
        decided: dict[str, Any] = {}
        steps = self.total_steps(training_rows)
        if self.learning_rate == "auto" and parameters is not None:
            small, usual = (5e-4, 2e-5) if self.tuning == "full" else (2e-3, 2e-4)
            decided["learning_rate"] = small if parameters < SMALL_BASE else usual
        if self.eval_every_steps == "auto":
            decided["eval_every_steps"] = max(1, math.ceil(steps / EVALUATIONS))
        return self.model_copy(update=decided)


NEWER: dict[str, Any] = {
    "chat_template": "auto",
    "adapter": "lora",
    "rslora": False,
    "lora_plus": None,
    "optimiser": "auto",
    "gradient_checkpointing": "auto",
    "sample_prompts": (),
}
"""Settings that came later, and what stands for their absence: runs and checkpoints from before know nothing of them."""
OWN_WORDS = frozenset({"sample_prompts"})
"""Settings that hold one's own words: a card goes to others, and so does what trackers are told, without them."""
SMALL_BASE = 50_000_000
"""Bases under this many parameters want a much higher learning rate (measured, docs/presets.md)."""


OF_ADAPTERS = frozenset({"rank", "alpha", "dropout", "adapter", "rslora", "lora_plus"})
"""Settings that mean nothing where no adapter is trained."""


def tuning_words(settings: Mapping[str, Any]) -> str:
    """Return what a run with these settings trains, in a few words."""
    if settings["tuning"] == "full":
        return "full tuning"
    words = f"{adapter_words(settings)}, rank {settings['rank']}"
    return f"{words} (rsLoRA)" if settings.get("rslora") else words


def adapter_words(settings: Mapping[str, Any]) -> str:
    """Return what an adapter's kind is called."""
    kind = "DoRA" if settings.get("adapter") == "dora" else "LoRA"
    return f"{'Q' if settings['tuning'] == 'qlora' else ''}{kind}{'+' if settings.get('lora_plus') else ''}"


def setting_label(name: str) -> str:
    """Return what people call a setting."""
    known = TrainingSettings.model_fields.get(name)
    return (known.title if known else None) or name.replace("_", " ").capitalize()


class TrainingSpec(BaseModel):
    """A run as a file: what to train, on what, how. Paths are relative to the file's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: Text = Field(min_length=1, description="hone-starter, a folder, or a Hub id.")
    dataset: Text = Field(min_length=1, description="JSONL, JSON or CSV in a known shape, or Hone's Parquet.")
    eval_dataset: Text | None = Field(None, description="Held-out rows; without it a tenth of the dataset is held out.")
    method: Literal["sft"] = "sft"
    settings: TrainingSettings = Field(default_factory=TrainingSettings)


def settings_for(preset: Preset | None, given: dict[str, Any]) -> TrainingSettings:
    """Return a preset's settings (balanced when None), with what was `given` on top."""
    return TrainingSettings.model_validate({**PRESETS[preset or Preset.BALANCED], **given})


class RunRequest(BaseModel):
    """What a person asks for, from the form or over REST; `settings` go over the preset's."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: Text = Field(min_length=1, max_length=200)
    base_model: Text = Field(min_length=1, max_length=500)
    dataset_id: Text = Field(min_length=1, max_length=64)
    eval_dataset_id: Text | None = Field(None, max_length=64)
    method: Literal["sft"] = "sft"
    preset: Preset | None = None
    settings: dict[Text, Any] = Field(default_factory=dict)
    notes: Notes = Field("", description="Plain text, for people.")
    tags: Tags = Field(default_factory=list, description="Words to find it by, kept in lower case.")
    priority: Priority = Field(Priority.NORMAL, description="Which waiting run goes first; of equal ones the one that came first.")
    cloned_from: Text | None = Field(None, max_length=64, description="The run that this one takes up with changes.")


def parse_settings(request: RunRequest) -> TrainingSettings:
    """Return the settings of a request, or Invalid naming the first field at fault."""
    try:
        return settings_for(request.preset, request.settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][:1]) or "tuning"
        what = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        message = f"settings.{field}: {what}"
        raise Invalid(message, param=f"settings.{field}", code="invalid_setting") from None
