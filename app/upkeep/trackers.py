"""The trackers of a studio, looked over: which are named, where they are, and whether their libraries are installed here."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from app.domain.tracking import ADDRESSES, PACKAGES, UNREADABLE, Tracker, hosts_of
from app.upkeep.checks import ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.config import Settings
    from app.upkeep.checks import Check

NEEDED = {Tracker.MLFLOW}
"""Those that have to be told where they are."""


def trackers(settings: Settings) -> Iterable[Check]:
    """Say of each tracker where runs' numbers go; nothing is contacted."""
    for tracker, host in hosts_of(settings.tracked_by, os.environ).items():
        variable = ADDRESSES[tracker][0]
        if not any(map(_is_installed, PACKAGES[tracker])):
            advice = f"Where training happens here: pip install {PACKAGES[tracker][0]}."
            yield warn("trackers", f"The library of {tracker.words} is not installed here.", advice)
        elif tracker in NEEDED and not os.environ.get(variable):
            yield warn("trackers", f"Nothing says where {tracker.words} is, so it gets no numbers.", f"Set {variable}.")
        elif host == UNREADABLE:
            yield warn("trackers", f"The address of {tracker.words} cannot be read.", f"Look at {variable}.")
        else:
            yield ok("trackers", f"Runs' numbers also go to {tracker.words}, {f'at {host}' if host else 'in files of this machine'}.")


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
