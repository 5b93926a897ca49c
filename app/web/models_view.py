"""Base models as their pages show them: what the address asks for, a line of the list, and one model with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

from pydantic import BaseModel, BeforeValidator, Field

from app.domain import catalog
from app.domain.catalog import SIZES, TASKS, Need, Size, Task
from app.domain.figures import in_bytes
from app.domain.precisions import PRECISIONS, stored_bytes, weights_bytes
from app.domain.text import Text
from app.services.bases import Bases
from app.web import words
from app.web.estimate_view import FITS
from app.web.looks import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.architectures import Architecture
    from app.domain.catalog import CatalogModel, Choice
    from app.services.bases import Base, Here
    from app.web.visit import Visit

FOLDERS = "Folders of this machine"
UNMEASURED = Look("Not measured", "waiting")
FOR_ANSWERS_ALONE = Look("Not for training", "failed", "bad")
LEVELS = ("bf16", "int8", "nf4_dq", "q8_0", "q4_k_m", "ternary")
"""The precisions that matter to who takes a model: how it comes, how it is trained, how it is served."""
SHOWN_LANGUAGES = 3
BESIDE_MEMORY = {"context", "quantised", "exact", "gap"}
"""What is said of a model's measures that changes nothing of what it takes at a precision."""


def _none(value: object) -> object:
    """A form sends the fields that nobody filled in too."""
    return None if value == "" else value


class Asked(BaseModel):
    """What the address of the list asks for: answers to the four questions, and what the list is narrowed to."""

    reasoning: bool = False
    multilingual: bool = False
    tools: bool = False
    prefer: Literal["", "smallest", "newest"] = ""
    chosen: bool = False
    q: Text = Field("", max_length=100)
    size: Annotated[Size | None, BeforeValidator(_none)] = None
    licence: Text = Field("", max_length=40)
    task: Annotated[Task | None, BeforeValidator(_none)] = None
    language: Text = Field("", max_length=40)
    fits: bool = False

    @property
    def narrowed(self) -> catalog.Asked:
        """What the catalogue is asked."""
        return catalog.Asked(size=self.size, licence=self.licence, task=self.task, language=self.language, words=self.q)

    @property
    def needs(self) -> list[Need]:
        """What the answers ask of a base."""
        said = {Need.REASONING: self.reasoning, Need.MULTILINGUAL: self.multilingual, Need.TOOLS: self.tools}
        return [need for need, wanted in said.items() if wanted] + ([Need(self.prefer)] if self.prefer else [])

    @property
    def answers(self) -> dict[str, str]:
        """The fields of the questions that say something: what the other form of the page carries along."""
        return {name: value for name, value in self._pairs if name in QUESTIONS}

    @property
    def filters(self) -> dict[str, str]:
        """The fields that narrow the list and say something."""
        return {name: value for name, value in self._pairs if name not in QUESTIONS}

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        given = self.model_dump(mode="json")
        return [(name, "1" if value is True else str(value)) for name, value in given.items() if value]

    @property
    def href(self) -> str:
        """The address of this list; the shortest that says it."""
        return f"/models?{urlencode(self._pairs)}" if self._pairs else "/models"


QUESTIONS = {"reasoning", "multilingual", "tools", "prefer", "chosen"}
PREFERENCES = {"": "what suits best, of any size", "smallest": "the smallest that does", "newest": "the newest idea, bleeding edge"}
NEEDS = {
    Need.REASONING: "reasoning", Need.MULTILINGUAL: "several languages", Need.TOOLS: "calling tools", Need.SMALLEST: "the smallest",
    Need.NEWEST: "the newest",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A base in the list."""

    base: Base
    here: Here | None

    @property
    def model(self) -> CatalogModel | None:
        """The catalogue's word of it."""
        return self.base.model

    @property
    def title(self) -> str:
        """What it is called on a page."""
        return self.model.name if self.model else self.base.name.rstrip("/").rpartition("/")[2]

    @property
    def href(self) -> str:
        """Where its page is."""
        return f"/models/{self.model.slug}" if self.model else f"/models/folder?path={quote(self.base.name, safe='')}"

    @property
    def size(self) -> str:
        """How many parameters it has, as people say it; about, where nobody has counted them."""
        return ("about " if self.base.is_approximate else "") + _short(self.base.parameters)

    @property
    def used(self) -> str:
        """How many parameters a token passes, where these are fewer; empty otherwise."""
        arch = self.base.architecture
        return f"{_short(arch.computed_parameters)} a token" if arch and arch.experts else ""

    @property
    def languages(self) -> str:
        """The languages it speaks, few by name."""
        if self.model is None:
            return "–"
        count = self.model.languages_spoken
        return ", ".join(self.model.languages) if count <= SHOWN_LANGUAGES else f"{count} languages"

    @property
    def tasks(self) -> str:
        """What it was made to do, in a few words."""
        return ", ".join(task.value for task in self.model.tasks) if self.model else "–"

    @property
    def look(self) -> Look:
        """Whether it fits here."""
        if self.base.architecture and self.base.architecture.is_for_answers_alone:
            return FOR_ANSWERS_ALONE
        return FITS[self.here.verdict] if self.here else UNMEASURED

    @property
    def why(self) -> str:
        """The reason for that in a sentence."""
        if self.here is None:
            return (
                "Its config.json does not measure it."
                if self.base.local
                else "Its measures are read from its own config.json once it is here."
            )
        return f"QLoRA: {self.here.qlora.words}"


class Group(NamedTuple):
    """The models of a family, or the folders that belong to none."""

    title: str
    words: str
    lines: tuple[Line, ...]


class Level(NamedTuple):
    """What a model takes at a precision."""

    label: str
    sentence: str
    bits: float
    bytes: int


@dataclass(frozen=True)
class One(Line):
    """A base on a page of its own."""

    @property
    def can_download(self) -> bool:
        """Whether it may be fetched from the Hub: it has a name there, and is not here."""
        return self.base.local is None and self.model is not None and self.model.hub_id is not None

    @property
    def runs_as(self) -> str:
        """The address at which a run on it begins."""
        return f"/runs/new?base_model={quote(self.base.name, safe='')}"

    @property
    def at_every_precision(self) -> str:
        """Where it is shown at every precision: by its name where that leads to the figures shown here, else as any model of its size."""
        arch, local = self.base.architecture, self.base.local
        if arch and ((local and local.folder) or (self.model and _takes_alike(arch, self.model.architecture))):
            return f"/precision?model={quote(self.model.slug if self.model else self.base.name, safe='')}"
        return f"/precision?params={self.base.parameters}"

    @cached_property
    def levels(self) -> list[Level]:
        """Its bytes at the precisions that matter, what NF4 does not reach in 16 bits."""
        count, arch = self.base.parameters, self.base.architecture
        kept = arch.unquantised_parameters if arch else 0
        sizes = (
            {key: weights_bytes(count, key, unquantised=kept) if key != "ternary" else stored_bytes(count, key) for key in LEVELS}
            if count
            else {}
        )
        return [Level(PRECISIONS[key].label, PRECISIONS[key].sentence, size * 8 / (count or 1), size) for key, size in sizes.items()]

    @property
    def facts(self) -> list[tuple[str, str, str]]:
        """What its config.json says, each with the exact value or a word of help."""
        arch = self.base.architecture
        return [] if arch is None else [*_shape(arch), ("Adapter of rank 16", _short(arch.lora_parameters(16)), _adapter(arch))]


def _takes_alike(arch: Architecture, other: Architecture | None) -> bool:
    """Return whether two take the same memory at every precision."""
    return other is not None and arch.model_dump(exclude=BESIDE_MEMORY) == other.model_dump(exclude=BESIDE_MEMORY)


def _shape(arch: Architecture) -> list[tuple[str, str, str]]:
    kinds = (
        f"{arch.attention_layers} attend, {arch.layers - arch.attention_layers} keep a state" if arch.attention_layers < arch.layers else ""
    )
    return [
        ("Layers", f"{arch.layers} × {arch.hidden:,}", kinds or f"{arch.intermediate:,} wide inside"),
        ("Heads", f"{arch.heads} × {arch.head_dim}", f"{arch.kv_heads} for keys and values"),
        ("Context", f"{arch.context:,} tokens", "as long as it was taught to read"),
        (
            "Vocabulary",
            f"{arch.vocabulary:,}",
            f"{arch.embedding_parameters:,} parameters" + (", head and embeddings in one" if arch.tied else ""),
        ),
    ]


def _adapter(arch: Architecture) -> str:
    beside = f"; {arch.active_experts} of {arch.experts} experts a token, and it reaches none of them" if arch.experts else ""
    return f"parameters trained, {in_bytes(arch.lora_parameters(16) * 4)} as a file{beside}"


def _short(parameters: int | None) -> str:
    return words.parameters(parameters).removesuffix(" parameters")


def line(base: Base, bases: Bases) -> Line:
    """Return a base as a line of the list."""
    return Line(base, bases.here(base))


def one(base: Base, bases: Bases) -> One:
    """Return a base as its own page shows it."""
    return One(base, bases.here(base))


def groups(lines: Sequence[Line]) -> list[Group]:
    """Return lines by family, what is here with Hone first and folders last."""
    ordered = sorted(lines, key=lambda each: (each.model is None, each.model is not None and each.model.hub_id is not None))
    found = [(title, tuple(each)) for title, each in groupby(ordered, key=lambda each: each.model.family_title if each.model else FOLDERS)]
    return [Group(title, _of_family(each[0]), each) for title, each in found]


def _of_family(first: Line) -> str:
    if first.model is None:
        return "in HONE_MODEL_DIRS; each measured by its own config.json"
    by = f"{first.model.maker}: " if first.model.maker != first.model.family_title else ""
    return by + first.model.family_superpower


def bases_of(visit: Visit) -> Bases:
    """Return the base models, with the devices of the workers that live."""
    return Bases(visit.studio, visit.workers.known())


def shown(visit: Visit, asked: Asked) -> dict[str, Any]:
    """Return what the list's page shows."""
    bases, known = bases_of(visit), visit.studio.catalog
    lines = [line(base, bases) for base in bases.listed(asked.narrowed)]
    choice: Choice | None = known.choose(asked.needs) if asked.chosen or asked.needs else None
    fitting = [each for each in lines if not asked.fits or (each.here and each.here.verdict in {"yes", "tight"})]
    return {
        "groups": groups(fitting),
        "number": len(fitting),
        "choice": choice,
        "picked": [line(bases.get(model.slug), bases) for model in (choice.model, choice.runner_up)] if choice else [],
        "unmet": [NEEDS[need] for need in choice.unmet] if choice else [],
        "asked": asked, "sizes": SIZES, "tasks": TASKS, "licences": known.licences, "languages": known.languages,
        "preferences": PREFERENCES, "devices": [device.name for device in bases.devices],
    }  # fmt: skip
