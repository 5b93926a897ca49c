"""What a check of `hone doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands: fine, worth a look, or wrong."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do where that is not fine."""

    name: str
    verdict: Verdict
    what: str
    advice: str = ""


def ok(name: str, what: str) -> Check:
    """Say that it is fine."""
    return Check(name, Verdict.OK, what)


def warn(name: str, what: str, advice: str) -> Check:
    """Say that it is worth a look."""
    return Check(name, Verdict.WARN, what, advice)


def fail(name: str, what: str, advice: str) -> Check:
    """Say that it is wrong."""
    return Check(name, Verdict.FAIL, what, advice)
