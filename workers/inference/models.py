"""The one base in memory and the adapters attached to it."""

from __future__ import annotations

import gc
import inspect
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoTokenizer

from app.domain.base_models import unknown_model
from workers.inference import folders
from workers.inference.sizes import is_small
from workers.training.base_model import check_folder
from workers.training.pretrained import LOAD_FAILURES, load_pretrained
from workers.training.tokenizer import first_line

MAX_ADAPTERS = 8
MAX_CONTEXT = 1_000_000
"""Tokenizers without a limit say a number far beyond this."""


@dataclass(frozen=True)
class BaseKey:
    """One state of a base's folder on one device; a base written anew is another base."""

    folder: Path
    stamp: folders.Stamp
    device: str


def key_of(folder: Path, device: str) -> BaseKey:
    """Return what a base is kept under, or raise Invalid when its folder is gone."""
    if not folder.is_dir():
        raise unknown_model("The base model's folder is not there any more.")
    return BaseKey(folder, folders.stamp(folder), device)


@dataclass(frozen=True)
class _Attached:
    name: str
    stamp: folders.Stamp


class LoadedBase:
    """A base model with its tokenizer and adapters; `use` decides which of them answers."""

    def __init__(self, key: BaseKey) -> None:
        check_folder(key.folder)
        self.key = key
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(key.folder, local_files_only=True, trust_remote_code=False)
        except LOAD_FAILURES as error:
            raise unknown_model(f"The base model's tokenizer cannot be loaded: {first_line(error)}") from error
        model: Any = load_pretrained(key.folder, dtype=_number_format(key))
        self._model = model.to(key.device).eval().requires_grad_(False)
        takes = inspect.signature(type(self._model).forward).parameters
        self.prompt_options = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        """Lets a model run its head on a prompt's last position only."""
        self._adapters: OrderedDict[Path, _Attached] = OrderedDict()
        self._used: str | None = None
        self._made = 0
        self.spoiled = False
        """Whether attaching the first adapter failed half-way, which leaves the base changed."""

    @property
    def model(self) -> Any:
        """The model as `use` left it."""
        return self._model

    @property
    def context(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        config = self._model.config.get_text_config()
        said = [getattr(config, "max_position_embeddings", None), self.tokenizer.model_max_length]
        return min(int(limit) for limit in [*said, MAX_CONTEXT] if limit)

    @property
    def adapters(self) -> list[str]:
        """The folders of the adapters attached."""
        return [str(folder) for folder in list(self._adapters)]

    def attach(self, folder: Path | None, *, in_use: frozenset[str | None]) -> str | None:
        """Return the name `use` knows an adapter by, loading it if it is new or was trained anew; None for the base itself."""
        if folder is None:
            return None
        folders.check_adapter(folder)
        now = folders.stamp(folder)
        known = self._adapters.get(folder)
        if known is None or known.stamp != now:
            self._adapters[folder] = _Attached(self._load(folder), now)
        self._adapters.move_to_end(folder)
        self._let_go(in_use)
        return self._adapters[folder].name

    def use(self, adapter: str | None) -> None:
        """Let an adapter answer from now on, or with None the base."""
        if adapter == self._used:
            return
        if adapter is None:
            self._model.base_model.disable_adapter_layers()
        else:
            self._model.base_model.enable_adapter_layers()
            self._model.set_adapter(adapter, inference_mode=True)
        self._used = adapter

    def _load(self, folder: Path) -> str:
        self._made += 1
        name = f"adapter{self._made}"
        try:
            if isinstance(self._model, PeftModel):
                self._model.load_adapter(folder, name, torch_device=self.key.device)
            else:
                self._model = PeftModel.from_pretrained(self._model, folder, adapter_name=name, torch_device=self.key.device)
                self._used = name
        except LOAD_FAILURES as error:
            self._undo(name)
            raise folders.unusable_adapter(f"The adapter does not fit its base: {first_line(error)}") from error
        self._model.eval()
        return name

    def _undo(self, name: str) -> None:
        self.spoiled = not isinstance(self._model, PeftModel)
        if not self.spoiled and name in self._model.peft_config:
            self._model.delete_adapter(name)

    def _let_go(self, in_use: frozenset[str | None]) -> None:
        """Drop adapters that are not wanted any more: those replaced by a newer training, and the least used beyond the limit."""
        while len(self._adapters) > MAX_ADAPTERS:
            self._adapters.popitem(last=False)
        wanted = {attached.name for attached in self._adapters.values()} | in_use
        for name in [name for name in self._model.peft_config if name not in wanted]:
            self._model.delete_adapter(name)


def free_memory(device: str) -> None:
    """Give memory of models that are gone back to the device."""
    gc.collect()
    if device.startswith("cuda") and torch.cuda.is_available():
        with torch.cuda.device(device):
            torch.cuda.empty_cache()


def _number_format(key: BaseKey) -> torch.dtype:
    """Return float32 for small models on a CPU, where it is exact and fast, else bfloat16, which halves the memory."""
    return torch.float32 if key.device == "cpu" and is_small(key.folder) else torch.bfloat16
