"""Webhooks as the settings page shows them: each with what became of its last notice, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.runs import RunStatus
from app.domain.webhooks import TEST, DeliveryStatus, Ending
from app.web import looks
from app.web.forms import Form
from app.web.looks import Look

if TYPE_CHECKING:
    from app.db import Webhook, WebhookDelivery
    from app.services.accounts import Identity
    from app.services.webhooks import Webhooks

FIELDS = frozenset({"url", "events"})
ENDINGS = {ending: looks.RUN_LOOKS[RunStatus(ending.removeprefix("run."))].word for ending in Ending}
"""An end is called here what it is called where runs are listed."""
LOOKS = {
    DeliveryStatus.WAITING: Look("Sending", "running", "run"),
    DeliveryStatus.DELIVERED: Look("Taken", "done", "ok"),
    DeliveryStatus.FAILED: Look("Given up", "failed", "bad"),
    DeliveryStatus.DROPPED: Look("Dropped", "cancel"),
}
AGAIN = Look("Trying again", "waiting", "wait")


def fresh_form() -> Form:
    """Return the form of a new endpoint: every end is ticked."""
    return Form(dict.fromkeys(Ending, "on"))


@dataclass(frozen=True)
class Line:
    """One endpoint in the list."""

    webhook: Webhook
    last: WebhookDelivery | None

    @property
    def look(self) -> Look | None:
        """What became of the last notice."""
        if self.last is None:
            return None
        is_again = self.last.status == DeliveryStatus.WAITING and self.last.error
        return AGAIN if is_again else LOOKS[DeliveryStatus(self.last.status)]

    @property
    def kind(self) -> str:
        """What the last notice was of."""
        return "a test" if self.last and self.last.type == TEST else self.last.type if self.last else ""

    @property
    def is_being_sent(self) -> bool:
        """Whether the next look may bring news."""
        return self.last is not None and self.last.status == DeliveryStatus.WAITING and not self.last.error

    @property
    def wants(self) -> str:
        """Which ends it hears of, in words."""
        if len(self.webhook.events) == len(Ending):
            return "every end"
        return ", ".join(ENDINGS[Ending(name)].lower() for name in self.webhook.events)


def lines(webhooks: Webhooks, by: Identity) -> list[Line]:
    """Return the project's endpoints, newest first."""
    found = webhooks.newest(by).items
    last = webhooks.last_deliveries(found)
    return [Line(webhook, last.get(webhook.id)) for webhook in found]
