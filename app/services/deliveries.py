"""Sending what the outbox holds: which notices are due, who has claimed one, and what came of it.

Safe with any number of senders: a claim is one conditional UPDATE that puts the next try a minute off, so a sender that dies leaves its
notice to be claimed again. So a notice is sent at least once, and under the same id each time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import ColumnElement, and_, delete, select, update

from app.db import Webhook, WebhookDelivery
from app.db.base import database_clock, database_time, utc_now
from app.domain.errors import StudioError
from app.domain.ports import Locked
from app.domain.webhooks import TEST, DeliveryStatus, Parcel, Reply, pause_after
from app.services.webhooks import drop_waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.domain.ports import Secrets

CLAIM_SECONDS = 60.0
"""How long a claimed notice is its sender's: well above the ten seconds that sending may take."""
KEPT = timedelta(days=30)
log = structlog.get_logger()


class Deliveries:
    """The outbox, from a sender's side."""

    def __init__(self, session: Session, secrets: Secrets) -> None:
        self.session, self.secrets = session, secrets

    def due(self, limit: int) -> Sequence[str]:
        """Return notices to be sent now, the longest waiting first; only reads."""
        query = select(WebhookDelivery.id).where(_is_due()).order_by(WebhookDelivery.next_attempt_at).limit(limit)
        return self.session.scalars(query).all()

    def claim(self, delivery_id: str) -> Parcel | None:
        """Take a notice to send it, or None when another sender was faster."""
        taken = self.session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == delivery_id, _is_due())
            .values(attempt=WebhookDelivery.attempt + 1, next_attempt_at=database_clock() + CLAIM_SECONDS, last_attempt_at=utc_now())
            .returning(WebhookDelivery.id),
            execution_options={"synchronize_session": False},
        ).scalar()
        if taken is None:
            return None
        notice = self.session.get_one(WebhookDelivery, taken, populate_existing=True)
        known, problem = self._secrets_of(notice.webhook)
        return Parcel(notice.id, notice.attempt, notice.type, notice.webhook.url, notice.body, known, problem)

    def settle(self, parcel: Parcel, reply: Reply) -> None:
        """Enter what came of sending; nothing when another sender has claimed the notice since."""
        # The endpoint is locked before any of its notices, by everybody: else two that end at once could wait for each other.
        of_notice = select(WebhookDelivery.webhook_id).where(WebhookDelivery.id == parcel.id).scalar_subquery()
        webhook = self.session.scalar(select(Webhook).where(Webhook.id == of_notice).with_for_update(key_share=True))
        mine = (WebhookDelivery.id == parcel.id, WebhookDelivery.attempt == parcel.attempt)
        notice = self.session.scalar(select(WebhookDelivery).where(*mine, WebhookDelivery.status == DeliveryStatus.WAITING))
        if notice is None or webhook is None:
            return
        notice.response_status, notice.error = reply.status, reply.error[:500]
        pause = pause_after(parcel.attempt, parcel.kind)
        if reply.is_taken:
            notice.status, webhook.last_succeeded_at = DeliveryStatus.DELIVERED, utc_now()
            self._forget_old(webhook.id)
        elif pause is None or reply.is_final:
            self._give_up(notice, reply.error, at_once=reply.is_final)
        else:
            notice.next_attempt_at = database_time(self.session) + pause

    def _give_up(self, notice: WebhookDelivery, why: str, *, at_once: bool) -> None:
        """Give up a notice, and its endpoint with it when nothing has come through since the notice was written."""
        webhook = notice.webhook
        notice.status, notice.error = DeliveryStatus.FAILED, why[:500]
        has_worked = webhook.last_succeeded_at is not None and webhook.last_succeeded_at > notice.created_at
        if at_once or not (has_worked or notice.type == TEST):
            log.warning("a webhook was switched off", webhook=webhook.id, status=notice.response_status)
            webhook.enabled = False
            webhook.disabled_reason = why[:500] if at_once else f"Nothing could be delivered for three days. {why}"[:500]
            self.session.flush()
            drop_waiting(self.session, webhook.id)

    def _secrets_of(self, webhook: Webhook) -> tuple[tuple[str, ...], str]:
        """Return what signs an endpoint's notices now, or why that cannot be read."""
        locked = [Locked(webhook.secret, webhook.secret_key_id)]
        if webhook.old_secret and webhook.old_secret_key_id and (webhook.old_secret_until or 0.0) >= database_time(self.session):
            locked.append(Locked(webhook.old_secret, webhook.old_secret_key_id))
        try:
            return tuple(self.secrets.unlock(one) for one in locked), ""
        except StudioError as error:
            return (), f"{error.message} Delete this webhook and add it again."

    def _forget_old(self, webhook_id: str) -> None:
        settled = (WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.status != DeliveryStatus.WAITING)
        self.session.execute(delete(WebhookDelivery).where(*settled, WebhookDelivery.created_at < utc_now() - KEPT))


def _is_due() -> ColumnElement[bool]:
    return and_(WebhookDelivery.status == DeliveryStatus.WAITING, WebhookDelivery.next_attempt_at <= database_clock())
