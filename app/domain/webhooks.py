"""Notices to other programs when a run ends: which there are, how one is signed (Standard Webhooks), when it is sent again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import random
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.domain.runs import ENDED, RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = 32
TEST = "webhook.test"
"""What a person's own trial is called; it is tried once, and every endpoint gets it."""
HOUR = 3600.0
PAUSES = (5.0, 300.0, 1800.0, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 20 * HOUR)
"""Seconds between one try and the next: three days in all."""
JITTER = 0.2
"""A share added by chance, so that an endpoint that was away is not met by everybody at once."""
GONE = 410
"""An endpoint's way of saying that it wants nothing more."""


class Ending(StrEnum):
    """The kinds of notice: one for each state a run can end in."""

    SUCCEEDED = "run.succeeded"
    STOPPED = "run.stopped"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"


OF_STATUS = {RunStatus(ending.removeprefix("run.")): ending for ending in Ending}
assert OF_STATUS.keys() == ENDED  # noqa: S101 - a state that ends a run without a notice would be silent for ever


class DeliveryStatus(StrEnum):
    """Where a notice stands: still to be sent, taken, given up, or dropped because its endpoint was switched off."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Parcel:
    """A notice that was claimed to be sent: by its attempt a sender knows that it is still its own.

    `problem` says why it cannot even be signed.
    """

    id: str
    attempt: int
    kind: str
    url: str
    body: str
    secrets: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Reply:
    """What came of sending: the status answered, if any, and in words why it is not taken for delivered.

    `is_final`: trying again is of no use.
    """

    status: int | None = None
    error: str = ""
    is_final: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether the endpoint took the notice."""
        return not self.error


def make_secret() -> str:
    """Return a fresh signing secret in the standard's writing."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Return one signature of a message: v1,<HMAC-SHA256 of id.timestamp.body>."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("A signing secret is whsec_ and base64.") from None
    made = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return "v1," + base64.b64encode(made).decode()


def headers_of(parcel: Parcel, timestamp: int) -> dict[str, str]:
    """Return a notice's headers; while a secret is being changed there are two signatures, and either will do."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Hone-Webhooks/1",
        "webhook-id": parcel.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, parcel.id, timestamp, parcel.body) for secret in parcel.secrets),
    }


def body_of(kind: str, moment: datetime, content: dict[str, Any]) -> str:
    """Return a notice's body: thin, since whoever wants more asks REST."""
    timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": timestamp, "data": content}, ensure_ascii=False, separators=(",", ":"))


def pause_after(attempt: int, kind: str) -> float | None:
    """Return the seconds until a notice is tried again after its n-th try; None when it is given up."""
    if kind == TEST or attempt > len(PAUSES):
        return None
    return PAUSES[attempt - 1] * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311 - spreads load, guards nothing


def parse_events(wanted: Sequence[str]) -> list[str]:
    """Return the endings somebody wants to hear of, each once, in their order; ValueError names what is none."""
    unknown = [name for name in wanted if name not in set(Ending)]
    if unknown:
        raise ValueError(f"There is no event {unknown[0][:60]!r}; choose from {', '.join(Ending)}.")
    return [ending for ending in Ending if ending in wanted]
