"""trackio: by itself a file of this machine (TRACKIO_DIR), or a server of one's own (TRACKIO_SERVER_URL), or a Space (TRACKIO_SPACE_ID)."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from app.domain.tracking import PROJECT
from workers.training.trackers.reach import reach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.domain.tracking import Tracking
    from workers.training.trackers.relay import Numbers

ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1"}


class TrackioClient:
    """A run of trackio."""

    def __init__(self, tracking: Tracking, _folder: Path) -> None:
        if not os.environ.get("TRACKIO_SPACE_ID"):
            # It asks the Hub who one is, also for a file of this machine.
            os.environ["HF_HUB_OFFLINE"] = "1"
        import trackio

        self._trackio, self._tracking = trackio, tracking
        self._run: Any = None

    def open(self, configuration: Mapping[str, Any]) -> None:
        """Begin the run, or go on with an earlier attempt's: trackio knows runs by their names, so the name holds the run's id."""
        if (server := os.environ.get("TRACKIO_SERVER_URL")) and not os.environ.get("TRACKIO_SPACE_ID"):
            reach(server)
        name = f"{self._tracking.name} {self._tracking.run_id}".strip()
        with warnings.catch_warnings():
            # It warns where it cannot reach its server, and goes on by itself; here that is tried again, and told.
            warnings.simplefilter("error")
            self._run = self._trackio.init(
                project=os.environ.get("TRACKIO_PROJECT") or PROJECT, name=name, resume="allow", config=dict(configuration), embed=False,
                auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip
        self._run.config.pop("_Username", None)

    def log(self, numbers: Numbers) -> None:
        """Pass numbers on; its own thread sends them."""
        for step, values in numbers.items():
            self._run.log(dict(values), step=step)

    def close(self, _status: str) -> None:
        """End the run there."""
        self._run.finish()
