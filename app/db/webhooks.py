"""Endpoints that want to hear when a run ends, and the outbox: a notice is written in the commit it speaks of, and sent after it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.base import Base, IdMixin, OwnedMixin, database_clock, utc_now
from app.domain.webhooks import DeliveryStatus, body_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Webhook(IdMixin, OwnedMixin, Base):
    """An endpoint. Its secret is encrypted; after a change the earlier one also signs for a while.

    `studio_address` is how its maker reached the studio: what links in notices begin with.
    """

    __tablename__ = "webhooks"

    url: Mapped[str] = mapped_column(String(2000))
    events: Mapped[list[Any]]
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_reason: Mapped[str] = mapped_column(String(500), default="")
    studio_address: Mapped[str] = mapped_column(String(500))
    secret: Mapped[str] = mapped_column(Text)
    secret_key_id: Mapped[str] = mapped_column(String(16))
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_secret_key_id: Mapped[str | None] = mapped_column(String(16))
    old_secret_until: Mapped[float | None]
    last_succeeded_at: Mapped[datetime | None]


class WebhookDelivery(IdMixin, Base):
    """A notice for one endpoint, to be sent at least once; the receiver tells twins by the id."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_due", "status", "next_attempt_at"),)

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), index=True)
    type: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20), default=DeliveryStatus.WAITING)
    attempt: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[float] = mapped_column(default=database_clock())
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_attempt_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str] = mapped_column(String(500), default="")

    webhook: Mapped[Webhook] = relationship()


def announce(session: Session, project_id: str, kind: str, content: dict[str, Any]) -> None:
    """Write a notice for every endpoint of a project that wants this kind; `content` names a path of the studio as `url`."""
    with session.no_autoflush:
        listening = select(Webhook).where(Webhook.project_id == project_id, Webhook.enabled)
        # Held against being deleted until the commit: else the notice would point at nothing, and the run could not end.
        for webhook in session.scalars(listening.with_for_update(read=True, key_share=True)).all():
            if kind in webhook.events:
                enter(session, webhook, kind, content)


def enter(session: Session, webhook: Webhook, kind: str, content: dict[str, Any]) -> WebhookDelivery:
    """Write one notice for one endpoint."""
    body = body_of(kind, utc_now(), content | {"url": webhook.studio_address + content["url"]})
    notice = WebhookDelivery(webhook_id=webhook.id, type=kind, body=body)
    session.add(notice)
    return notice
