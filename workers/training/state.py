"""What a checkpoint holds beside the adapter: optimiser, random generators, and where the run stands. Safetensors and JSON only."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file

from app.domain.errors import Conflict
from workers.training.durable import write_durably
from workers.training.tensors import write_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIMISER, OPTIMISER_GROUPS, RANDOM, STATE = "optimizer.safetensors", "optimizer.json", "random.safetensors", "state.json"


class RunState(BaseModel):
    """Where a run stands: enough, with weights, optimiser and generators, to go on as if nothing had happened.

    What checkpoints of other versions say beside it is passed over: a long run outlives an upgrade.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    step: int
    evaluated_step: int | None
    fingerprint: str
    precision: str
    base_metrics: dict[str, float]
    metrics: dict[str, float]
    first_losses: tuple[float, ...] = ()
    optimiser: str = ""


@dataclass(frozen=True)
class RandomState:
    """The state of every generator that training may draw from."""

    python: tuple[Any, ...]
    numpy: dict[str, Any]
    torch_cpu: torch.Tensor
    torch_gpu: torch.Tensor | None

    @classmethod
    def now(cls) -> RandomState:
        """Take the present state."""
        gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
        state: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is what libraries draw from
        return cls(random.getstate(), state, torch.get_rng_state(), gpu)

    def restore(self) -> None:
        """Put every generator back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - see above
        torch.set_rng_state(self.torch_cpu)
        if self.torch_gpu is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.torch_gpu)


def write_state(folder: Path, state: RunState, optimiser: torch.optim.Optimizer, generators: RandomState) -> None:
    """Write everything but the adapter into a checkpoint's folder."""
    found = optimiser.state_dict()
    tensors, rest = _split(found["state"])
    write_tensors(folder / OPTIMISER, tensors)
    write_durably(folder / OPTIMISER_GROUPS, json.dumps({"groups": found["param_groups"], "state": rest}))
    words = generators.numpy["state"]
    numbers = {"torch_cpu": generators.torch_cpu, "numpy_key": torch.from_numpy(words["key"].astype(np.int64))}
    if generators.torch_gpu is not None:
        numbers["torch_gpu"] = generators.torch_gpu
    write_tensors(folder / RANDOM, numbers)
    numpy = {**{k: v for k, v in generators.numpy.items() if k != "state"}, "pos": int(words["pos"])}
    document = {"run": state.model_dump(), "python": generators.python, "numpy": numpy}
    write_durably(folder / STATE, json.dumps(document))


def read_state(folder: Path) -> tuple[RunState, RandomState]:
    """Return where a checkpoint's run stood, and its generators."""
    document = json.loads((folder / STATE).read_text(encoding="utf-8"))
    numbers = load_file(folder / RANDOM)
    version, words, gauss = document["python"]
    numpy = dict(document["numpy"])
    numpy["state"] = {"key": numbers["numpy_key"].numpy().astype(np.uint32), "pos": numpy.pop("pos")}
    generators = RandomState((version, tuple(words), gauss), numpy, numbers["torch_cpu"], numbers.get("torch_gpu"))
    return RunState.model_validate(document["run"]), generators


def read_optimiser(folder: Path, optimiser: torch.optim.Optimizer) -> None:
    """Put a checkpoint's state into what the optimiser holds already (`hold_state`): tensors of its own a paged one would not page."""
    document = json.loads((folder / OPTIMISER_GROUPS).read_text(encoding="utf-8"))
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    tensors = {_place(name): tensor for name, tensor in load_file(folder / OPTIMISER).items()}
    held = {(index, key): optimiser.state[weights[index]].get(key) for index, key in tensors if index < len(weights)}
    sizes = [[len(group["params"]) for group in groups] for groups in (optimiser.param_groups, document["groups"])]
    if sizes[0] != sizes[1] or any(getattr(held[place], "shape", None) != tensor.shape for place, tensor in tensors.items()):
        message = f"{folder.name} was made by a version of Hone that trains other weights of this base. Launch the run anew."
        raise Conflict(message, code="checkpoint_of_another_run")
    for own, saved in zip(optimiser.param_groups, document["groups"], strict=True):
        own.update({name: value for name, value in saved.items() if name != "params"})
    for index, entries in document["state"].items():
        optimiser.state[weights[int(index)]].update(entries)
    for place, tensor in tensors.items():
        held[place].copy_(tensor)


def _place(name: str) -> tuple[int, str]:
    index, _, key = name.partition(".")
    return int(index), key


def _split(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[int, dict[str, Any]]]:
    """Part tensors, which safetensors holds, from plain values, which JSON holds."""
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[int, dict[str, Any]] = {}
    for index, entries in state.items():
        for key, value in _flat(entries):
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach().cpu().contiguous().clone()
            else:
                rest.setdefault(index, {})[key] = value
    return tensors, rest


def _flat(entries: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a parameter's entries; bitsandbytes puts what it quantised into a mapping of its own, and takes it back without."""
    for key, value in entries.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield key, value
