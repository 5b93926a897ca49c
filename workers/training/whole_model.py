"""Full tuning: every weight of the language model is trained, in float32 whatever it computes in, and the result is a model of its own.

Where products are in bf16 the optimiser moves float32 masters of the weights: a step is often smaller than the distance between two
bf16 numbers, and would be lost. Gradients are added up in the masters' float32 too, pack by pack.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig

from app.domain.cards import CHAT_TEMPLATE, render_card
from app.domain.results import CARD, LINEAGE, TOKENIZER_FILES
from workers.training.durable import write_durably
from workers.training.tensors import as_os_error, write_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

    from app.domain.cards import Lineage
    from workers.training.templates import ChatTemplate

MASTERS = "masters.safetensors"
GENERATION = "generation_config.json"


class MasterWeights:
    """Float32 copies of weights that compute in fewer bits: gradients gather in them, and after each step the weights follow them."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.weights = [torch.nn.Parameter(weight.detach().float()) for weight in self._named.values()]
        for master, weight in zip(self.weights, self._named.values(), strict=True):
            weight.register_post_accumulate_grad_hook(_gather_in(master))

    def lead(self, optimiser: torch.optim.Optimizer) -> None:
        """Let the weights follow after each step of an optimiser that moves the masters."""
        optimiser.register_step_post_hook(lambda *_: self.write_through())

    @torch.no_grad()
    def write_through(self) -> None:
        """Round the masters into the weights that compute."""
        for master, weight in zip(self.weights, self._named.values(), strict=True):
            weight.copy_(master)

    def save(self, folder: Path) -> None:
        """Write the masters beside the weights of a checkpoint."""
        named = zip(self._named, self.weights, strict=True)
        write_tensors(folder / MASTERS, {name: master.detach().cpu() for name, master in named})

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Put back what `save` wrote; the weights themselves are loaded with the model."""
        saved = load_file(folder / MASTERS)
        for name, master in zip(self._named, self.weights, strict=True):
            master.copy_(saved[name])
        self.write_through()


def open_up(model: PreTrainedModel) -> MasterWeights | None:
    """Let every weight of the language model be trained; masters are returned where it computes in fewer bits than float32.

    What else a model holds, such as an encoder of pictures, stays frozen: no row of text moves it.
    """
    model.requires_grad_(requires_grad=False)
    for part in (model.get_decoder(), model.get_output_embeddings()):
        part.requires_grad_(requires_grad=True)
    return MasterWeights(model) if model.dtype != torch.float32 else None


def write_model(folder: Path, model: PreTrainedModel, lineage: Lineage, template: ChatTemplate, base_folder: Path) -> None:
    """Write a model that loads by itself into `folder`, which exists: weights, configuration, the base's tokenizer, chat template, card."""
    with _any_generation(model), as_os_error(folder):
        model.save_pretrained(folder)
    (folder / GENERATION).unlink(missing_ok=True)
    for name in (*TOKENIZER_FILES, GENERATION):
        if (base_folder / name).is_file():
            shutil.copyfile(base_folder / name, folder / name)
    if template.is_plain:
        write_durably(folder / CHAT_TEMPLATE, template.for_others())
    write_durably(folder / LINEAGE, json.dumps({"base_model": lineage.base_model, "revision": lineage.revision}, indent=2) + "\n")
    write_durably(folder / CARD, render_card(lineage))


@contextmanager
def _any_generation(model: PreTrainedModel) -> Iterator[None]:
    """Keep transformers from refusing to save: it checks how a model is to generate more strictly then than when it loads."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _gather_in(master: torch.nn.Parameter) -> Callable[[torch.Tensor], None]:
    def gather(weight: torch.Tensor) -> None:
        if weight.grad is None:
            return
        try:
            master.grad = weight.grad.float() if master.grad is None else master.grad.add_(weight.grad)
        finally:  # where memory runs out here the step is taken again, and what it abandons are the masters' gradients alone
            weight.grad = None

    return gather
