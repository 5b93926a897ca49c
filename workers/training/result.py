"""What a run has made so far, an adapter or a whole model: written into its checkpoints, and published as a whole at the end."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import torch

from workers.training.adapter import read_weights, write_adapter
from workers.training.durable import flush_folder
from workers.training.room import staged
from workers.training.whole_model import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain.cards import Lineage
    from workers.training.model import LoadedModel
    from workers.training.templates import ChatTemplate


def write_result(folder: Path, model: LoadedModel, lineage: Lineage, template: ChatTemplate, base_folder: Path) -> None:
    """Write what was made into `folder`, which exists; a whole model takes its tokenizer from the base's folder."""
    if model.peft is not None:
        write_adapter(folder, model.peft, lineage, template)
    else:
        write_model(folder, model.base, lineage, template, base_folder)


def read_result(folder: Path, model: LoadedModel) -> None:
    """Put back what a checkpoint holds of it; a whole model was loaded from there itself, so only its masters are left to read."""
    if model.peft is not None:
        read_weights(folder, model.peft)
    elif model.masters is not None:
        model.masters.load(folder)


def publish(final: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill the folder `final` as a whole: readers see the old one or the new one, never a half."""
    staging = final.with_name(f".{final.name}.staging")
    with staged(staging, on=final.parent):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        write(staging)
        flush_folder(staging)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(staging, final)  # noqa: PTH105 - the atomic rename is the point
        flush_folder(final.parent, files=False)


def checkpoint_bytes(model: LoadedModel, optimiser: torch.optim.Optimizer) -> int:
    """Return about how much a checkpoint holds: what was made, float32 masters where there are some, and the optimiser's state."""
    held = list(model.base.parameters()) if model.peft is None else model.trainable()
    masters = model.masters.weights if model.masters else []
    state = [value for entries in optimiser.state.values() for value in entries.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*held, *masters, *state))
