"""Which trackers get a run's numbers besides the studio, and what they are told of it: numbers and settings, never rows."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from app.domain.specs import OWN_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.domain.events import Started


class Tracker(StrEnum):
    """A service or a library that draws curves; TensorBoard's files are written in any case."""

    TRACKIO = "trackio"
    WANDB = "wandb"
    MLFLOW = "mlflow"

    @property
    def words(self) -> str:
        """Return what people call it."""
        return WORDS[self]


WORDS = {Tracker.TRACKIO: "trackio", Tracker.WANDB: "Weights & Biases", Tracker.MLFLOW: "MLflow"}
VARIABLES = {Tracker.TRACKIO: ("TRACKIO_",), Tracker.WANDB: ("WANDB_",), Tracker.MLFLOW: ("MLFLOW_", "DATABRICKS_")}
"""How the variables begin that say where a tracker is, and open it."""
SPACES = "https://huggingface.co"
ADDRESSES = {
    Tracker.TRACKIO: ("TRACKIO_SERVER_URL", ""), Tracker.WANDB: ("WANDB_BASE_URL", "https://api.wandb.ai"),
    Tracker.MLFLOW: ("MLFLOW_TRACKING_URI", ""),
}  # fmt: skip
"""The variable that says where each is, and where it is without that."""
PACKAGES = {Tracker.TRACKIO: ("trackio",), Tracker.WANDB: ("wandb",), Tracker.MLFLOW: ("mlflow-skinny", "mlflow")}
"""What holds each one's library; the first is the smallest that does."""
UNREADABLE = "an address that cannot be read"
"""What is said in place of its host: no part of it may be repeated, since any may be a password."""
LOCAL_MODES = {"offline", "disabled", "dryrun"}
"""Under these words of WANDB_MODE Weights & Biases contacts nobody; under any other, and under none, it does."""
DATABRICKS = re.compile(r"databricks(-uc)?(:|$)")
"""MLflow addresses that are a word: the host stands in another variable, or in a file of the library."""
PROJECT = "hone"
"""What runs are filed under where the tracker's own variables name nothing else."""
TOLD = (
    "base", "dataset", "method", "device", "precision", "trainable_parameters", "total_parameters", "rows", "held_out_rows", "total_steps",
    "max_length", "template",
)  # fmt: skip
"""What of a start's figures goes out beside the settings. All else stays here: folders of this machine, texts, what comes later."""


class Tracking(BaseModel):
    """Where one run's numbers go, and under what name; `run_id` is the same for all attempts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trackers: tuple[Tracker, ...] = ()
    run_id: str = ""
    name: str = ""
    dataset: str = ""
    """Its file's name alone."""


def trackers_named(listed: str) -> tuple[Tracker, ...]:
    """Return the trackers of a list with commas; ValueError, in words, for one there is not."""
    names = dict.fromkeys(name.strip().lower() for name in listed.split(",") if name.strip())
    unknown = [name for name in names if name not in set(Tracker)]
    if unknown:
        raise ValueError(f"there is no tracker {unknown[0]!r}; there are {', '.join(Tracker)} (TensorBoard's files are always written)")
    return tuple(Tracker(name) for name in names)


def variables_of(trackers: Iterable[Tracker], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that trackers are set up with; those that are empty stand for none."""
    begins = tuple(begin for one in trackers for begin in VARIABLES[one])
    return {name: value for name, value in environment.items() if value and name.startswith(begins)}


def hosts_of(trackers: Iterable[Tracker], environment: Mapping[str, str]) -> dict[Tracker, str]:
    """Return the hosts that trackers are contacted at, or UNREADABLE; empty for one that only writes files here."""
    found = {}
    for one in trackers:
        variable, otherwise = ADDRESSES[one]
        address = environment.get(variable) or otherwise
        if one is Tracker.TRACKIO and environment.get("TRACKIO_SPACE_ID"):
            address = SPACES
        found[one] = _host_in(address)
        if one is Tracker.WANDB and environment.get("WANDB_MODE") in LOCAL_MODES:
            found[one] = ""
        elif one is Tracker.MLFLOW and DATABRICKS.match(address):
            found[one] = _host_in(environment.get("DATABRICKS_HOST") or "") or "databricks"
    return found


def _host_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return UNREADABLE


def configuration_of(started: Started) -> dict[str, Any]:
    """Return what a tracker is told of a run as it begins: its settings, and of what was found only what is listed here."""
    wished = {name: value for name, value in settings_of(started.data).items() if value is not None}
    # What was found goes over what was wished: a device is `cpu`, no longer `auto`.
    return wished | {name: started.data[name] for name in TOLD if name in started.data}


def settings_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among a start's figures, each with a plain value."""
    settings = facts.get("settings")
    if not isinstance(settings, dict):
        return {}
    told = {name: value for name, value in settings.items() if name not in OWN_WORDS}
    return {name: value if isinstance(value, bool | int | float | str | None) else str(value) for name, value in told.items()}
