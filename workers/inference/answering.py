"""The base in memory and the answers under way on it; lives on the engine's thread, and imports what is heavy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from app.domain.errors import StudioError, Unavailable
from workers.inference.decoding import Sampling, Sequence, read_prompt
from workers.inference.devices import AUTO, FIRST_GPU
from workers.inference.jobs import Begun, Choice, Done, Ended, Failed, Job, Piece
from workers.inference.models import BaseKey, LoadedBase, free_memory, key_of
from workers.inference.prompts import Prompts, own_template
from workers.inference.rendering import Renderer
from workers.inference.text import AnswerText
from workers.training.memory import as_out_of_memory

DEFAULT_TEMPERATURE = 1.0
DEFAULT_ANSWER_TOKENS = 1024
TURN_TOKENS = 4
"""Tokens before the next answer has its turn: switching adapters costs a fifth of a token of a small model, so not at every one."""


class Answering:
    """Loads one base at a time and writes several answers on it in turns."""

    def __init__(self, device: str, threads: int, *, side_by_side: int) -> None:
        torch.set_num_threads(threads)
        transformers_logging.disable_progress_bar()
        self.device = (FIRST_GPU if torch.cuda.is_available() else "cpu") if device == AUTO else device
        self._side_by_side = side_by_side
        self._renderer = Renderer()
        self._loaded: LoadedBase | None = None
        self._prompts: dict[str | None, Prompts] = {}
        self.active: list[Job] = []

    @property
    def loaded_folder(self) -> str | None:
        """The base in memory."""
        loaded = self._loaded
        return str(loaded.key.folder) if loaded else None

    @property
    def adapter_folders(self) -> list[str]:
        """The adapters attached to it."""
        loaded = self._loaded
        return loaded.adapters if loaded else []

    def begin(self, job: Job, device: str) -> bool:
        """Read a request's prompt and take it among those under way; False while it has to wait for them."""
        key = key_of(job.request.hone.base_dir, device)
        if self.active and (len(self.active) >= self._side_by_side or self._loaded is None or self._loaded.key != key):
            return False
        with _memory_may_end():
            loaded = self._load(key)
            job.adapter = self._attach(loaded, job)
            prompts = self._prompts_for(loaded, job.request.hone.adapter_dir)
            prompt = prompts.tokens(job.request.turns(), context=loaded.context)
            self._read(job, loaded, prompt, prompts.end_ids)
        self.active.append(job)
        job.tell(Begun())
        return True

    def turn(self, job: Job) -> bool:
        """Write a few tokens of a request's answers; True, since a turn always ends."""
        assert self._loaded is not None  # noqa: S101 - jobs under way have their base
        self._loaded.use(job.adapter)
        with _memory_may_end():
            for _ in range(TURN_TOKENS):
                for choice in job.choices:
                    if not choice.is_over:
                        _advance(job, choice, self._loaded)
                if job.is_over:
                    self.active.remove(job)
                    job.tell(Done(job.usage))
                    break
        return True

    def unload(self, device: str, why: StudioError) -> None:
        """End what is under way on a device and free its memory."""
        if self._loaded is None or self._loaded.key.device != device:
            return
        for job in self.active:
            job.tell(Failed(why))
        self.active = []
        self._loaded, self._prompts = None, {}
        free_memory(device)

    def _load(self, key: BaseKey) -> LoadedBase:
        if self._loaded is None or self._loaded.key != key:
            if self._loaded is not None:
                self.unload(self._loaded.key.device, Unavailable("Another model was asked for."))
            self._loaded = LoadedBase(key)
        return self._loaded

    def _prompts_for(self, loaded: LoadedBase, adapter: Path | None) -> Prompts:
        """Return what writes prompts for the base or one of its adapters, most of which use the base's template."""
        own = own_template(adapter)
        if own not in self._prompts:
            self._prompts[own] = Prompts(loaded.tokenizer, loaded.model, self._renderer, own=own)
        return self._prompts[own]

    def _attach(self, loaded: LoadedBase, job: Job) -> str | None:
        try:
            return loaded.attach(job.request.hone.adapter_dir, in_use=frozenset(other.adapter for other in self.active))
        except StudioError:
            if loaded.spoiled:
                self.unload(loaded.key.device, Unavailable("The model is being loaded anew; ask again."))
            raise

    def _read(self, job: Job, loaded: LoadedBase, prompt: list[int], end_ids: frozenset[int]) -> None:
        loaded.use(job.adapter)
        request = job.request
        sampling = Sampling(
            temperature=DEFAULT_TEMPERATURE if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=request.seed,
            limit=min(request.token_limit or DEFAULT_ANSWER_TOKENS, loaded.context - len(prompt)),
            end_ids=end_ids,
        )
        prefix = read_prompt(loaded.model, prompt, loaded.prompt_options)
        count = request.n or 1
        copies = [prefix, *(prefix.fork() for _ in range(count - 1))]
        job.prompt_tokens = len(prompt)
        job.choices = [
            Choice(index, Sequence(copy, sampling, choice=index), AnswerText(loaded.tokenizer, request.stops))
            for index, copy in enumerate(copies)
        ]


def _advance(job: Job, choice: Choice, loaded: LoadedBase) -> None:
    token = choice.sequence.step(loaded.model)
    said = "" if token is None else choice.text.push(token)
    if choice.sequence.finish_reason and not choice.text.stopped:
        said += choice.text.rest()
    if said:
        job.tell(Piece(choice.index, said))
    reason = "stop" if choice.text.stopped else choice.sequence.finish_reason
    if reason:
        choice.is_over = True
        job.tell(Ended(choice.index, reason))


@contextmanager
def _memory_may_end() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if as_out_of_memory(error) is None:
            raise
        raise Unavailable("There is not enough free memory on the device for this model.", code="out_of_memory") from None
