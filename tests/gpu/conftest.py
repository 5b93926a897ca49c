"""The trainer's fixtures, for runs on a GPU."""

from __future__ import annotations

from tests.workers.training.conftest import base, rows, shares_all, train_here, undisturbed

__all__ = ["base", "rows", "shares_all", "train_here", "undisturbed"]
