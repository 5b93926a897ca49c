"""Weights & Biases: https://wandb.ai, or a server of one's own (WANDB_BASE_URL); WANDB_MODE=offline keeps everything beside the run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from app.domain.tracking import ADDRESSES, LOCAL_MODES, PROJECT, Tracker
from workers.training.trackers.reach import reach
from workers.training.trackers.words import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.domain.tracking import Tracking
    from workers.training.trackers.relay import Numbers

OPEN_SECONDS = 15.0
ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""Its own reports of errors would go to its makers."""


class WandbClient:
    """A run of Weights & Biases."""

    def __init__(self, tracking: Tracking, folder: Path) -> None:
        import wandb

        self._wandb, self._tracking, self._folder = wandb, tracking, folder
        self._run: Any = None

    def open(self, configuration: Mapping[str, Any]) -> None:
        """Begin the run, or go on with the one of an earlier attempt: its id is the run's own."""
        if os.environ.get("WANDB_MODE") not in LOCAL_MODES:
            variable, cloud = ADDRESSES[Tracker.WANDB]
            reach(os.environ.get(variable) or cloud)
        # By itself it would send the machine's name, its user, the installed packages, the repository, what is printed and how busy it is.
        settings = self._wandb.Settings(
            console="off", disable_code=True, disable_git=True, disable_job_creation=True, save_code=False, host=PROJECT, username=PROJECT,
            program=PROJECT, x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False,
            init_timeout=OPEN_SECONDS, x_graphql_timeout_seconds=OPEN_SECONDS / 3, silent=True,
        )  # fmt: skip
        try:
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT, id=self._tracking.run_id, name=self._tracking.name or None,
                resume="allow", config=dict(configuration), dir=os.environ.get("WANDB_DIR") or self._folder, settings=settings,
            )  # fmt: skip
        except self._wandb.errors.UsageError as error:
            raise Unusable("it knows no key. Set WANDB_API_KEY.") from error

    def log(self, numbers: Numbers) -> None:
        """Pass numbers on; its own process sends them. Of steps that an earlier attempt has sent, it keeps those."""
        for step, values in numbers.items():
            self._run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        """End the run there; an interrupted one is taken up again by its id."""
        self._run.finish(exit_code=1 if status == "failed" else 0)
        # Its own process still writes then, and ends unasked, with what it has not written, as soon as this one has ended.
        self._wandb.teardown()
