"""One run from its spec to its result: everything is found, checked and loaded here, then the step loop has it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from app.domain.cards import Lineage
from app.domain.checkpoints import CheckpointBroken, verify
from app.domain.errors import Conflict
from app.domain.events import Finished
from app.domain.specs import NEWER, OWN_WORDS, TrainingSettings
from workers.training.batches import Layout
from workers.training.budget import Budget
from workers.training.control import Leave
from workers.training.forest import shared_share
from workers.training.layouts import choose_layout
from workers.training.loop import Standing, StepLoop
from workers.training.material import make_material
from workers.training.model import adapted_share, choose_device, load_model
from workers.training.optim import choose_optimiser, make_optimiser
from workers.training.order import DataOrder
from workers.training.precision import choose_precision
from workers.training.probe import hold_state, make_fit
from workers.training.replicas import ROOM, Replicas, Work, replicas_that_pay
from workers.training.result import checkpoint_bytes, publish, read_result, write_result
from workers.training.samples import Samples
from workers.training.state import RandomState, RunState, read_optimiser, read_state, write_state

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.specs import TrainingSpec
    from workers.training.base_model import BaseModel
    from workers.training.checkpoints import Checkpoints
    from workers.training.control import Control
    from workers.training.material import Material
    from workers.training.model import LoadedModel
    from workers.training.progress import ProgressLine
    from workers.training.report import Reporter
    from workers.training.rows import Rows
    from workers.training.token_cache import TokenCache

MAY_DIFFER = {"eval_every_steps", "checkpoint_every_steps", "micro_batch_size", "gradient_checkpointing", "device", "precision"} | OWN_WORDS
"""Settings that change nothing a checkpoint depends on; the precision is the checkpoint's own, whatever they say."""


LEAST_ADAPTED = 0.9
"""With less than this share of the layers' weights within an adapter's reach people are told."""


@dataclass(frozen=True)
class Job:
    """What to do, and where."""

    spec: TrainingSpec
    base: BaseModel
    rows: Rows
    adapter: Path
    checkpoints: Checkpoints
    resume: Path | None
    cache: TokenCache | None = None


class Run:
    """A run in hand: what was decided once, and what the step loop calls back."""

    def __init__(self, job: Job, reporter: Reporter, control: Control, progress: ProgressLine) -> None:
        self._job = job
        self._reporter = reporter
        self._control = control
        self._progress = progress
        self._pool = ThreadPoolExecutor(1)  # hashing gigabytes of weights goes on beside everything else
        self._revision = self._pool.submit(job.base.revision)

    def go(self) -> Finished:
        """Train to the end, or until asked to leave; return the last event."""
        try:
            loop = self._set_up()
            return self._train(loop)
        except Leave as leave:
            return Finished(status="interrupted", reason=f"asked to {leave.wish} before the training began")
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _train(self, loop: StepLoop) -> Finished:
        try:
            with closing(loop.replicas):  # before anything else is done: they would go on with a step that is left
                loop.run()
        except Leave as leave:
            return self._leave(loop, leave)
        self._publish(loop)
        return Finished(status="succeeded", data={"step": loop.standing.step, **loop.standing.metrics})

    def _leave(self, loop: StepLoop, leave: Leave) -> Finished:
        step = loop.standing.step
        if leave.wish != "cancel" and loop.is_astray:  # the last good checkpoint is to stay the newest
            self._reporter.notice(f"After step {step} the run had lost its way, so what step {loop.standing.saved_step} came to is kept.")
        elif leave.wish != "cancel":
            loop.last_checkpoint()
            if leave.wish == "stop" and step > 0:
                self._publish(loop)
        return Finished(status="interrupted", reason=f"asked to {leave.wish} after step {step}", data={"step": step})

    def _publish(self, loop: StepLoop) -> None:
        self._reporter.doing("writing the adapter" if loop.model.peft else "writing the model")
        publish(self._job.adapter, lambda folder: self._write(folder, loop.model, loop.standing))

    def _write(self, folder: Path, model: LoadedModel, standing: Standing) -> None:
        write_result(folder, model, self._lineage(standing), self._template, self._job.base.folder)

    def _set_up(self) -> StepLoop:
        spec = self._job.spec
        device = choose_device(spec.settings.device, self._reporter)
        job, check = self._job, self._control.check
        material = make_material(job.base, job.rows, spec.settings, reporter=self._reporter, check=check, cache=job.cache)
        self._template = material.template
        earlier = self._earlier()
        precision = choose_precision(spec.settings, device, earlier=earlier[1].precision if earlier else None, base=self._job.base)
        torch.use_deterministic_algorithms(device.type == "cpu" and precision.name == "fp32")
        self._control.check()
        self._reporter.doing("loading the base model")
        model = load_model(self._to_load(earlier[0] if earlier else None), spec.settings, precision, device)
        self._tell_of_what_no_adapter_reaches(model)
        self._chosen = choose_layout(model.loss)
        self._settings = spec.settings.filled_in(training_rows=len(material.train.rows), parameters=model.base_parameters)
        self._precision = precision
        self._optimiser = choose_optimiser(self._settings, device, earlier=earlier[1].optimiser if earlier else None)
        self._total_steps = self._settings.total_steps(len(material.train.rows))
        loop = self._loop(model, material)
        hold_state(loop.optimiser, model.trainable())
        if earlier is not None:
            self._take_up(loop, *earlier)
        self._fit = make_fit(loop)
        self._shared = self._shared_share(material)
        self._replicate(loop)
        self._announce(loop, material)
        return loop

    def _tell_of_what_no_adapter_reaches(self, model: LoadedModel) -> None:
        """Say when a large part of the layers keeps its weights, as in mixtures of experts that peft adapts in part."""
        share = adapted_share(model.base) if model.peft else 1.0
        if share < LEAST_ADAPTED:
            words = f"The adapter reaches {share:.0%} of the weights of the base's layers; the others, such as experts, stay as they are."
            self._reporter.notice(words, adapted_share=round(share, 4))

    def _replicate(self, loop: StepLoop) -> None:
        """Have more processes compute each step, where that is faster and memory has room for them."""
        many = replicas_that_pay(loop.model, loop.rows, self._settings, loop.budget.layout, self._shared)
        # A long row is not divided, so each may take what the trainer does.
        if many and self._fit.leaves(many * (ROOM + self._fit.need)):
            loop.replicas.start(many)
            loop.budget.processes = loop.replicas.processes

    def _to_load(self, checkpoint: Path | None) -> BaseModel:
        """Return what lies where the weights are: the base, or with full tuning the checkpoint, which holds a whole model."""
        if checkpoint is None or self._job.spec.settings.tuning != "full":
            return self._job.base
        return replace(self._job.base, folder=checkpoint)

    def _loop(self, model: LoadedModel, material: Material) -> StepLoop:
        settings = self._settings
        epochs = None if settings.max_steps else settings.epochs
        order = DataOrder.over(len(material.train.rows), batch_size=settings.batch_size, seed=settings.seed, epochs=epochs)
        optimiser = make_optimiser(self._optimiser, model, settings)
        standing = Standing()
        return StepLoop(
            model=model,
            optimiser=optimiser,
            rows=material.train.rows,
            numbers=material.train.numbers,
            order=order,
            held_out=material.held_out,
            samples=Samples(material.asked, model.base, self._reporter),
            settings=settings,
            budget=Budget.of(settings, model.device, self._reporter, self._chosen.layout),
            total_steps=self._total_steps,
            control=self._control,
            reporter=self._reporter,
            save=lambda: self._save(model, optimiser, standing),
            watch=lambda step, result: self._progress.step(step, self._total_steps, result),
            replicas=Replicas(Work(model.loss, model.trainable(), material.train.rows, self._chosen.layout)),
            standing=standing,
        )

    def _save(self, model: LoadedModel, optimiser: torch.optim.Optimizer, standing: Standing) -> Path:
        state = RunState(
            step=standing.step,
            evaluated_step=standing.evaluated_step,
            fingerprint=self._fingerprint,
            precision=self._precision.name,
            base_metrics=standing.base_metrics,
            metrics=standing.metrics,
            first_losses=tuple(standing.first_losses),
            optimiser=self._optimiser,
        )

        def write(folder: Path) -> None:
            self._write(folder, model, standing)
            if model.masters:
                model.masters.save(folder)
            write_state(folder, state, optimiser, RandomState.now())

        return self._job.checkpoints.save(standing.step, write, expected=checkpoint_bytes(model, optimiser))

    def _earlier(self) -> tuple[Path, RunState, RandomState] | None:
        """Return the checkpoint to go on from: the one named, or in a run without a supervisor the newest that verifies."""
        folder = self._job.resume
        if folder is None:
            return None
        try:
            verify(folder)
        except CheckpointBroken as error:
            raise Conflict(f"The checkpoint cannot be used: {error}", code="checkpoint_broken") from error
        return folder, *read_state(folder)

    def _take_up(self, loop: StepLoop, folder: Path, state: RunState, generators: RandomState) -> None:
        if state.fingerprint != self._fingerprint:
            message = f"{folder.name} was made from another base, other rows or other settings. Choose an empty output folder."
            raise Conflict(message, code="checkpoint_of_another_run")
        read_result(folder, loop.model)
        read_optimiser(folder, loop.optimiser)
        generators.restore()
        standing = loop.standing
        standing.step = standing.saved_step = state.step
        standing.evaluated_step = state.evaluated_step
        standing.base_metrics, standing.metrics = state.base_metrics, state.metrics
        standing.first_losses[:] = state.first_losses

    def _announce(self, loop: StepLoop, material: Material) -> None:
        settings, model = self._settings, loop.model
        place = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "the CPU"
        begun = f" from step {loop.standing.step}" if loop.standing.step else ""
        message = (
            f"Training {self._job.base.name} with {settings.in_words}, on {len(loop.rows)} rows{begun}: "
            f"{self._total_steps} steps on {place} in {self._precision.name}. {self._fit.words}"
        )
        data: dict[str, Any] = {
            "base": self._job.base.name,
            "device": model.device.type,
            "precision": self._precision.name,
            "precision_reason": self._precision.reason,
            "optimiser": self._optimiser,
            "trainable_parameters": sum(p.numel() for p in model.trainable()),
            "total_parameters": model.base_parameters,
            "nf4_share": model.nf4_share,
            "rows": len(loop.rows),
            "truncated_rows": material.train.truncated,
            "untrained_rows": material.train.untrained,
            "held_out_rows": self._job.rows.held_out_rows,
            "evaluated_rows": len(loop.held_out),
            "matched_rows": loop.held_out.questions,
            "total_steps": self._total_steps,
            "template": material.template.source,
            "max_length": material.max_length,
            "longest_row": min(material.train.longest, material.max_length),
            "base_dir": str(self._job.base.folder),
            "memory_total_bytes": self._fit.memory.total,
            "threads": torch.get_num_threads(),
            "processes": loop.replicas.processes,
            "layout": self._chosen.layout,
            "layout_reason": self._chosen.reason,
            "shared_share": self._shared,
            "settings": settings.model_dump(),
            **self._fit.facts(),
        }
        self._reporter.started(message, step=loop.standing.step, total_steps=self._total_steps, data=data)
        if self._fit.probed is not None:
            self._reporter.metric(loop.standing.step, "memory/peak_bytes", self._fit.probed)
        self._progress.say(message)

    def _shared_share(self, material: Material) -> float:
        """Return which share of the training tokens is not computed again, since rows of one step begin with them."""
        if self._chosen.layout != Layout.SHARED_PREFIX:
            return 0.0
        ids = [row.ids for row in material.train.rows]
        return shared_share(ids, batch_size=self._settings.batch_size, seed=self._settings.seed)

    def _lineage(self, standing: Standing) -> Lineage:
        spec, rows = self._job.spec, self._job.rows
        return Lineage(
            base_model=self._job.base.name,
            revision=self._revision.result(),
            dataset=spec.dataset.replace("\\", "/").rpartition("/")[2],
            training_rows=rows.training_rows,
            held_out_rows=rows.held_out_rows,
            tuning=spec.settings.tuning,
            steps=standing.step,
            settings=self._settings.model_dump(),
            metrics=standing.metrics,
            base_metrics=standing.base_metrics,
            has_template=self._template.is_plain,
        )

    @cached_property
    def _fingerprint(self) -> str:
        """Hash what a checkpoint depends on, so that it is never continued with something else; the first step does not wait for it."""
        if not self._revision.done():
            self._reporter.doing("hashing the base model")
        # The studio writes what was decided into the spec, so a later attempt's settings may say what this one's left open.
        settings = self._settings
        # Read once more, so that a default of 4 and a 4.0 from a file are the same.
        read = TrainingSettings.model_validate(settings.model_dump())
        told = read.model_dump(exclude=MAY_DIFFER)
        known = {name: value for name, value in told.items() if NEWER.get(name) != value}
        parts = [self._revision.result(), self._job.rows.fingerprint, known]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
