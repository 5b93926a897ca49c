"""Base models as a studio knows them: the catalogue's, those that are here, what each measures, and what it would run on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from app.domain.accelerators import of_device
from app.domain.architectures import Architecture
from app.domain.base_models import MAX_JSON_BYTES, BaseModel
from app.domain.errors import Invalid, NotFound
from app.domain.figures import in_bytes
from app.domain.memory_estimate import Fits, estimate_memory
from app.domain.packs import Work
from app.domain.precisions import weights_bytes
from app.domain.specs import TrainingSettings
from app.services.workers import devices_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from app.domain.accelerators import Accelerator
    from app.domain.catalog import Asked, Catalog, CatalogModel
    from app.domain.hub_models import Looked
    from app.domain.ports import BaseModels
    from app.services.workers import Known

SAMPLE = Work(rows=1000, steps=125, mean_tokens=512.0, longest_tokens=1024)
"""What is asked when a model is to fit somewhere: rows of up to 1,024 tokens, however many."""
TO_ANSWER = "q4_k_m"
ROOM_TO_ANSWER = 1.2
"""Beside the weights an answer needs a cache and buffers; at 1,024 tokens they stay under a fifth of a small model's weights."""
BEST_FIRST: tuple[Fits, ...] = ("yes", "tight", "no", "unknown")


class Knows(Protocol):
    """What has to be known to measure a base: a studio is one."""

    @property
    def bases(self) -> BaseModels:
        """Base models as a person names them."""

    @property
    def catalog(self) -> Catalog:
        """The catalogue."""


class Fit(NamedTuple):
    """Whether something fits a device, in one word and in one sentence, and how many bytes it takes there."""

    verdict: Fits
    words: str
    takes: int


@dataclass(frozen=True)
class Here:
    """Whether a base can be trained with QLoRA, with LoRA, and answer, on the devices that workers report."""

    qlora: Fit
    lora: Fit
    answers: Fit

    @property
    def verdict(self) -> Fits:
        """The whole in one word: what trains it at all also answers with it."""
        return min(self.qlora.verdict, self.lora.verdict, key=BEST_FIRST.index)


@dataclass(frozen=True)
class Base:
    """A base model in a list: the catalogue's word of it, what is here of it, and what it measures; one of the first two is there."""

    model: CatalogModel | None
    local: BaseModel | None
    architecture: Architecture | None

    @property
    def name(self) -> str:
        """What a run names it by."""
        if self.model:
            return self.model.answers_by
        return self.local.name if self.local else ""

    @property
    def parameters(self) -> int | None:
        """How many it has: as its files say, as they are counted, or as its maker names them."""
        if self.local and self.local.parameters is not None:
            return self.local.parameters
        if self.architecture:
            return self.architecture.parameters
        return self.model.parameters if self.model else None

    @property
    def is_approximate(self) -> bool:
        """Whether its size is its maker's word alone, since nobody here has seen its config.json."""
        return self.architecture is None and not (self.local and self.local.parameters is not None)

    @property
    def has_template(self) -> bool | None:
        """Whether it brings a chat template; None where nobody knows."""
        if self.local and self.local.has_template is not None:
            return self.local.has_template
        return self.model.chat_template if self.model else None


class Bases:
    """The base models that can be taken, and the devices they would run on."""

    def __init__(self, studio: Knows, workers: Iterable[Known]) -> None:
        self.studio = studio
        self.devices = _devices(workers)

    def listed(self, asked: Asked) -> list[Base]:
        """Return the catalogue's models that were asked for, and behind them the folders that it does not know."""
        local = {base.name: base for base in self.studio.bases.listed()}
        models = [self._of_catalog(model, local) for model in self.studio.catalog.asked(asked)]
        known = {model.answers_by for model in self.studio.catalog.models}
        others = [Base(None, base, measured(base)) for name, base in local.items() if name not in known]
        return models + [base for base in others if asked.takes(base.name, base.parameters)]

    def get(self, slug: str) -> Base:
        """Return a model of the catalogue, or NotFound."""
        return self._of_catalog(self.studio.catalog.get(slug), {})

    def folder(self, name: str) -> Base:
        """Return a model folder that is here, or NotFound."""
        found = _found(self.studio, name)
        if found is None:
            raise NotFound("There is no such model here.", code="model_not_found")
        return Base(self.studio.catalog.named(name), found, measured(found))

    def on_hub(self, looked: Looked) -> Base:
        """Return a model as a look at the Hub found it: it measures what its own config.json says there, else what the Hub counts.

        Where that config.json cannot be read, as that of a gated model, it measures what the catalogue says.
        """
        name, known = looked.model.id, self.studio.catalog.named(looked.model.id)
        unread = known.architecture if known and looked.config is None else None
        arch = unread or counted(looked.config or {})
        return Base(known, BaseModel(name, None, None if arch else looked.model.parameters, None), arch)

    def here(self, base: Base) -> Here | None:
        """Return whether a base can be trained and answers on the devices here; None where nobody knows its measures."""
        if base.architecture is None:
            return None
        arch = base.architecture
        fits = (self._trains(arch, "qlora"), self._trains(arch, "lora"), _best(self.devices, partial(_answering, arch)))
        return Here(*(fits if arch.is_known else (_hedged(fit, arch) for fit in fits)))

    def _trains(self, arch: Architecture, tuning: Literal["lora", "qlora"]) -> Fit:
        never = arch.refusal(tuning)
        return Fit("no", never, 0) if never else _best(self.devices, partial(_training, arch, tuning))

    def _of_catalog(self, model: CatalogModel, local: dict[str, BaseModel]) -> Base:
        found = local.get(model.answers_by) or _found(self.studio, model.answers_by)
        return Base(model, found, (measured(found) if found else None) or model.architecture)


def measures(studio: Knows, name: str) -> Architecture | None:
    """Return what a base measures, as a person names it: by its own config.json where it is here, else by the catalogue; None: unknown."""
    found = _found(studio, name)
    if found:
        return measured(found)
    known = studio.catalog.named(name)
    return known.architecture if known else None


def measured(base: BaseModel) -> Architecture | None:
    """Return what the config.json of a base that is here says; None when that makes no sense."""
    if base.folder is None:
        return None
    try:
        return counted(_config(base.folder))
    except (OSError, ValueError):
        return None


def counted(config: Mapping[str, Any]) -> Architecture | None:
    """Return what a config.json says; None when that makes no sense."""
    try:
        return Architecture.from_config(config)
    except (ValueError, Invalid):
        return None


def _config(folder: Path) -> dict[str, Any]:
    with (folder / "config.json").open("rb") as file:
        read = json.loads(file.read(MAX_JSON_BYTES))
    return read if isinstance(read, dict) else {}


def _found(studio: Knows, name: str) -> BaseModel | None:
    try:
        base = studio.bases.find(name)
    except Invalid:
        return None
    return base if base.folder else None


def _devices(workers: Iterable[Known]) -> list[Accelerator]:
    """Return the devices of the workers that train, each kind once; the one with most memory where several are called the same."""
    return [of_device(device) for device in devices_here(workers)]


def _hedged(fit: Fit, arch: Architecture) -> Fit:
    """Return a verdict on a model of a family that nobody here knows: what it takes is a guess, and whether it loads at all is open."""
    words = f"{fit.words} Hone does not know the family {arch.family!r}, so nobody here can say whether it loads."
    return Fit("no" if fit.verdict == "no" else "unknown", words, fit.takes)


def _training(arch: Architecture, tuning: Literal["qlora", "lora"], device: Accelerator | None) -> tuple[Fits, int]:
    """Return whether training fits where it takes least: one example at a time, every layer computed twice."""
    least = {"micro_batch_size": 1, "gradient_checkpointing": min(arch.layers, 4096), "max_length": SAMPLE.longest_tokens}
    settings = TrainingSettings.model_validate({"tuning": tuning} | least)
    needed = estimate_memory(arch, settings, SAMPLE, device.unit if device else "gpu", device.memory_bytes if device else None)
    return needed.fits, needed.total


def _answering(arch: Architecture, device: Accelerator | None) -> tuple[Fits, int]:
    needed = round(weights_bytes(arch.parameters, TO_ANSWER) * ROOM_TO_ANSWER)
    if device is None:
        return "unknown", needed
    return ("yes" if needed <= device.memory_bytes else "no"), needed


def _best(devices: Sequence[Accelerator], judge: Callable[[Accelerator | None], tuple[Fits, int]]) -> Fit:
    """Return the verdict on the device where it is best, of like ones on a GPU, which is quicker, and its reason.

    Where no device is reported it is that of a GPU that nobody knows.
    """
    if not devices:
        needed = judge(None)[1]
        return Fit("unknown", f"Takes about {in_bytes(needed)}. No worker has reported a device, so nobody knows whether it fits.", needed)
    judged = [(*judge(device), device) for device in devices]
    verdict, needed, device = min(judged, key=_by_use)
    has = f"about {in_bytes(needed)}; {device.name} has {in_bytes(device.memory_bytes)}"
    words = {"yes": f"Takes {has}.", "tight": f"Takes {has}: it may or may not do."}.get(verdict, f"Would take {has}, the most here.")
    return Fit(verdict, words, needed)


def _by_use(judged: tuple[Fits, int, Accelerator]) -> tuple[int, bool, int]:
    verdict, _, device = judged
    return BEST_FIRST.index(verdict), verdict != "no" and device.kind != "gpu", -device.memory_bytes
