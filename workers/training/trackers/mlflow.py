"""MLflow: a tracking server at MLFLOW_TRACKING_URI."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from app.domain.tracking import PROJECT
from workers.training.trackers.words import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.domain.tracking import Tracking
    from workers.training.trackers.relay import Numbers

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # Whoever calls it here tries again by itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
RUN_TAG = "hone.run"
MOST_NUMBERS, MOST_SETTINGS = 1000, 100
"""What its server takes at once."""
STATUSES = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowClient:
    """A run of an MLflow server."""

    def __init__(self, tracking: Tracking, _folder: Path) -> None:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            raise Unusable("MLFLOW_TRACKING_URI does not say where it is.")
        from mlflow import MlflowClient as Server
        from mlflow import entities

        self._server, self._entities, self._tracking = Server(), entities, tracking
        self._run = ""

    def open(self, configuration: Mapping[str, Any]) -> None:
        """Begin the run, or go on with the one that an earlier attempt has tagged with the run's id."""
        experiment = self._experiment()
        found = self._server.search_runs([experiment], f"tags.`{RUN_TAG}` = '{self._tracking.run_id}'", max_results=1)
        if found:
            run = found[0]
            self._server.update_run(run.info.run_id, status="RUNNING")
        else:
            run = self._server.create_run(experiment, run_name=self._tracking.name or None, tags={RUN_TAG: self._tracking.run_id})
        self._run = run.info.run_id
        # A run that was found may lack some: what began it may have got no further. Those that it has it would refuse to change.
        settings = [self._entities.Param(name, str(value)) for name, value in configuration.items() if name not in run.data.params]
        for first in range(0, len(settings), MOST_SETTINGS):
            self._server.log_batch(self._run, params=settings[first : first + MOST_SETTINGS])

    def log(self, numbers: Numbers) -> None:
        """Send numbers, as many at once as the server takes."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now, step) for step, values in numbers.items() for name, value in values.items()]
        for first in range(0, len(metrics), MOST_NUMBERS):
            self._server.log_batch(self._run, metrics=metrics[first : first + MOST_NUMBERS])

    def close(self, status: str) -> None:
        """End the run there; one that was interrupted is taken up again by its tag."""
        self._server.set_terminated(self._run, STATUSES[status])

    def _experiment(self) -> str:
        if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return chosen
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._server.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._server.create_experiment(name))
