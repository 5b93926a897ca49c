"""The precision explorer as a page shows it: what a model takes at each level, and where it fits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.domain.architectures import Architecture
from app.domain.errors import Invalid
from app.domain.figures import in_bytes
from app.domain.precisions import PRECISIONS, UNQUANTISED_BITS, Precision, stored_bytes, weights_bytes
from app.domain.quotes import parameters_from
from app.domain.room import PLACES, Fit, Place, context_bytes, fit
from app.services.bases import measures
from app.web.looks import Look
from app.web.words import parameters

if TYPE_CHECKING:
    from app.services.studio import Studio

GIGA, MEGA = 10**9, 10**6
EXACT = 2
"""Decimals of bytes that tell levels of precision apart: 16.38 GB in FP16, 1.15 GB in one bit."""
FITS = {Fit.YES: Look("fits", "check", "ok"), Fit.TIGHT: Look("tight", "waiting", "wait"), Fit.NO: Look("no", "cancel", "dimmer")}


def read_size(text: object) -> float:
    """Return a number of parameters as people write it: 7e9, 7B, 350M, 8,190,735,360."""
    try:
        return parameters_from(re.sub(r"[,_\s]", "", str(text)))
    except Invalid as error:
        raise ValueError(error.message) from None


class Asked(BaseModel):
    """What the page is asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str = Field("", max_length=200)
    params: Annotated[float, BeforeValidator(read_size), Field(ge=1e5, le=1e13)] = 7e9
    context: int = Field(4096, ge=0, le=10_000_000)
    weight: float = Field(0.1, ge=-1000, le=1000, allow_inf_nan=False)
    largest: float = Field(1.0, ge=1e-6, le=1000, allow_inf_nan=False)


USUAL = {"model": "", "params": "7B", "context": "4096", "weight": "0.1", "largest": "1"}
"""The same as a person would write it."""


class Cell(NamedTuple):
    """Whether a level fits a device."""

    place: Place
    look: Look


@dataclass(frozen=True)
class Level:
    """A model at one level."""

    precision: Precision
    bytes: int
    stored: int
    arithmetic: str
    share: float
    """What the weights take of the drawing's width, in percent."""
    beside: float
    """What the conversation takes of it."""
    cells: tuple[Cell, ...]

    @property
    def bits(self) -> str:
        """How many bits a weight takes."""
        return f"{self.precision.bits:.4g}"

    @property
    def parts(self) -> str:
        """What these bits are for, where some are for scales."""
        level = self.precision
        return f"{level.code_bits:g} + {level.scale_bits:.3g} for scales" if level.scale_bits else ""

    @property
    def keeps_scales(self) -> bool:
        """Whether files of such models keep more than the plain weights."""
        return self.stored != self.bytes and self.precision.stored_bits is not None


class Mark(NamedTuple):
    """A device's memory as a line across the bars."""

    at: float
    label: str


@dataclass(frozen=True)
class Model:
    """A model that is looked at."""

    name: str
    arch: Architecture
    slug: str = ""

    @property
    def parameters(self) -> int:
        """How many it has."""
        return self.arch.parameters


def named(studio: Studio, name: str) -> Model | None:
    """Return a model of the catalogue, or one that is here, as a person names it; None when nobody knows how large it is."""
    known = studio.catalog.named(name)
    arch = measures(studio, name)
    if arch is None and known and known.parameters:
        arch = Architecture.of_size(known.parameters)
    return Model(known.name if known else name, arch, known.slug if known else "") if arch else None


def sized(count: float) -> Model:
    """Return a model of which only the size is known."""
    arch = Architecture.of_size(count)
    return Model(f"A model of {parameters(arch.parameters)}", arch)


def choices(studio: Studio, none: str) -> list[tuple[str, str]]:
    """Return what may be chosen, with its name: none, the catalogue's models, then those that are here beside them."""
    models = studio.catalog.models
    known = {model.answers_by for model in models}
    listed = [(model.slug, f"{model.name}, {parameters(model.parameters)}") for model in models if model.parameters]
    here = [(base.name, base.name) for base in studio.bases.listed() if base.name not in known]
    return [("", none), *listed, *here]


@dataclass(frozen=True)
class Explored:
    """A model at every level."""

    model: Model
    tokens: int

    @property
    def context(self) -> int:
        """What the conversation takes beside the weights, in bytes."""
        return context_bytes(self.model.arch, self.tokens)

    @property
    def context_arithmetic(self) -> str:
        """How that comes about."""
        arch = self.model.arch
        return (
            f"2 (a key and a value) × {arch.attention_layers} layers × {arch.kv_heads} heads × {arch.head_dim} numbers × 2 bytes "
            f"× {self.tokens:,} tokens = {in_bytes(self.context, EXACT)}"
        )

    @property
    def most(self) -> int:
        """The bytes of the largest level and a conversation: where the drawing ends."""
        return weights_bytes(self.model.parameters, "fp32") + self.context

    @property
    def marks(self) -> list[Mark]:
        """The devices whose memory ends within the drawing."""
        return [
            Mark(self._part(place.memory_bytes), f"{place.memory_bytes // GIGA} GB") for place in PLACES if place.memory_bytes < self.most
        ]

    @property
    def levels(self) -> list[Level]:
        """Every level, from the most bits to the fewest of a kind."""
        return [self._level(level) for level in PRECISIONS.values()]

    @property
    def smallest(self) -> list[tuple[str, int, str]]:
        """The way from 16 bits down to one: what it is, its bytes, and how they come about."""
        count = self.model.parameters
        rows = [("FP16", PRECISIONS["fp16"].bits)]
        for key, name in (("ternary", "Ternary"), ("1bit", "1 bit")):
            level = PRECISIONS[key]
            rows += [(f"{name}, the weights alone", level.bits), (f"{name}, a file with its scales", level.stored_bits or level.bits)]
        return [(name, round(count * bits / 8), f"{_many(count)} × {bits:.4g} / 8") for name, bits in rows]

    def bytes_at(self, key: str) -> int:
        """Return what the weights take at a level."""
        return weights_bytes(self.model.parameters, key, unquantised=self.model.arch.unquantised_parameters)

    def _level(self, level: Precision) -> Level:
        many, size = self.model.parameters, self.bytes_at(level.key)
        stored = stored_bytes(many, level.key) if level.stored_bits else size
        kept = min(self.model.arch.unquantised_parameters, many) if level.is_partial else 0
        beside = f" + {_many(kept)} others × {UNQUANTISED_BITS}" if kept else ""
        arithmetic = f"({_many(many - kept)} × {level.bits:.4g}{beside}) bits / 8 = {in_bytes(size, EXACT)}"
        cells = tuple(Cell(place, FITS[fit(stored, self.context, place)]) for place in PLACES)
        return Level(level, size, stored, arithmetic, self._part(stored), self._part(self.context), cells)

    def _part(self, size: int) -> float:
        return round(100 * size / self.most, 2)


def _many(count: int) -> str:
    return f"{count / GIGA:.3f} G" if count >= GIGA else f"{count / MEGA:.1f} M"
