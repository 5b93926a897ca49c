"""What `hone estimate` tells: a run's memory, time, money and energy; needs no network, no database and no running studio."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.config import PROJECT_ROOT
from app.domain.accelerators import USUAL_CORES, of_device, processor
from app.domain.architectures import Architecture
from app.domain.devices import Device
from app.domain.errors import Invalid, StudioError
from app.domain.estimates import ONE_DEVICE, Target, rented, side_by_side
from app.domain.figures import in_bytes, in_money, in_thousands
from app.domain.precisions import PRECISIONS
from app.domain.prices import PriceTable
from app.domain.quotes import Quote, parameters_from, work_of_examples
from app.domain.specs import STARTER, TrainingSettings
from app.gateways.catalog import read_catalog
from app.gateways.fetched_bases import FetchedBases
from app.gateways.gpus import memory_of, visible_gpus
from app.gateways.model_folders import ModelFolders
from app.web.forms import messages_of
from app.web.words import count, parameters, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config import Settings
    from app.domain.catalog import CatalogModel
    from app.domain.quotes import DeviceOut

OPTIONS = {"params": "--params", "base_model": "--model", "examples": "--examples", "tokens": "--tokens"}
"""Of what a refusal names, what it is called on the command line."""
FITS = {"yes": "yes", "tight": "barely", "no": "no", "unknown": "?"}


@dataclass(frozen=True)
class Asked:
    """What somebody wants to know: a size or a model, how many examples of how many tokens, and settings that differ from the usual."""

    params: str | None
    model: str | None
    examples: int
    tokens: float | None
    changed: dict[str, Any] = field(default_factory=dict)


def estimate(settings: Settings, asked: Asked, *, as_json: bool) -> int:
    """Print an estimate; 2 for what makes no sense."""
    try:
        quote = quote_for(settings, asked)
    except ValidationError as error:
        name, sentence = next(iter(messages_of(error).items()))
        return _refused(f"--{name.replace('_', '-')}: {sentence}")
    except StudioError as error:
        option = OPTIONS.get(error.param or "")
        return _refused(f"{option}: {error.message}" if option else error.message)
    print(quote.model_dump_json() if as_json else "\n".join(_table(quote)))  # noqa: T201 - data goes to stdout
    return 0


def quote_for(settings: Settings, asked: Asked) -> Quote:
    """Return the estimate that was asked for, at the prices that come with Hone."""
    arch, name = _measured(settings, asked)
    training = TrainingSettings.model_validate({name: value for name, value in asked.changed.items() if value is not None})
    work, assumptions = work_of_examples(asked.examples, asked.tokens, training)
    if not arch.exact:
        assumptions.append(arch.gap)
    prices = PriceTable()
    found = side_by_side(arch, training, work, [*_own(), *rented(prices)], prices)
    return Quote.of(model=name, arch=arch, settings=training, work=work, estimates=found, prices=prices, assumptions=assumptions)


def _measured(settings: Settings, asked: Asked) -> tuple[Architecture, str]:
    if (asked.params is None) == (asked.model is None):
        raise Invalid("Say either how large the model is (--params 7e9) or which one it is (--model), not both.")
    if asked.params is not None:
        wanted = parameters_from(asked.params)
        return Architecture.of_size(wanted), parameters(wanted)
    name = asked.model or ""
    known = _in_catalogue(name)
    if known is None:
        return _of_folder(settings, name), name
    if known.architecture is None and known.parameters is None:
        raise Invalid(f"Nobody here knows the measures of {known.name}. Give its size instead (--params).", param="base_model")
    return known.architecture or Architecture.of_size(known.parameters or 0), known.name


def _in_catalogue(name: str) -> CatalogModel | None:
    """Return the catalogue's entry that a person means by its short name or by the Hub's."""
    return read_catalog(PROJECT_ROOT / "catalog").named(name)


def _of_folder(settings: Settings, name: str) -> Architecture:
    """Return the measures of the bundled base or of a model folder."""
    found = ModelFolders(
        PROJECT_ROOT / "models" / STARTER, settings.model_folders, only_under=False, fetched=FetchedBases(settings.fetched_bases)
    ).find(name)
    if found.folder is None:
        message = f"Nobody here knows the measures of {name}. Give its size instead (--params), or its folder once it is fetched."
        raise Invalid(message, param="base_model")
    return Architecture.from_config(json.loads((found.folder / "config.json").read_bytes()))


def _own() -> Iterator[Target]:
    """Give this machine's GPUs, each kind once, and its processor: as a worker here would tell of them."""
    memories: dict[str, int] = {}
    for gpu in visible_gpus():
        memories[gpu.name] = max(memories.get(gpu.name, 0), memory_of(gpu) or 0)
    for name, memory in memories.items():
        if memory:  # else nobody can say what fits
            here = of_device(Device(name=name, kind="gpu", total_bytes=memory, used_bytes=0))
            yield Target(f"own:{name}", f"{name} (here)", here, 1, None, None, is_own=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Target("own:cpu", "This machine's processor", processor(os.cpu_count() or USUAL_CORES, memory), 1, None, None, is_own=True)


def _table(quote: Quote) -> Iterator[str]:
    """Give the lines that people read."""
    yield f"{quote.model}: {count(quote.parameters)} parameters, {count(quote.trained_parameters)} of them trained ({_how(quote)})"
    yield ""
    yield "Weights alone"
    for key, level in PRECISIONS.items():
        yield f"  {level.label:<28}{level.bits:>8.3f} bits {in_bytes(quote.weights_bytes[key]):>10}"
    memory = quote.memory_bytes
    yield ""
    yield f"Memory to train on {memory.device}: {in_bytes(memory.total)} ({in_bytes(memory.low)} to {in_bytes(memory.high)})"
    for part in memory.parts:
        yield f"  {part.label:<28}{in_bytes(part.bytes):>10}   {part.arithmetic}"
    yield ""
    yield f"Devices, those that hold it first, then those done within a week, then the cheapest; prices of {quote.prices_as_of}"
    yield f"  {'':<30}{'holds it':>9}{'time':>14}{'cost':>14}{'energy':>12}{'CO₂':>12}"
    for device in quote.devices:
        yield _line(device, quote.currency)
    for assumption in quote.assumptions:
        yield f"Assumed: {assumption}"


def _how(quote: Quote) -> str:
    rank = quote.settings.get("rank")
    return str(quote.settings["tuning"]) + (f", rank {rank}" if rank else "")


def _line(device: DeviceOut, currency: str) -> str:
    cost, energy, grams = in_money(device.cost, currency), in_thousands(device.energy_wh, "Wh"), in_thousands(device.co2_grams, "g")
    row = f"  {device.name:<30}{FITS[device.fits]:>9}{span(device.seconds):>14}{cost:>14}{energy:>12}{grams:>12}"
    return f"{row}   {ONE_DEVICE}" if device.count > 1 else row


def _refused(message: str) -> int:
    print(f"hone: {message}", file=sys.stderr)  # noqa: T201 - talk goes to stderr
    return 2
