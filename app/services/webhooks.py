"""What one can do with webhooks: name an endpoint, try it, switch it off, change its secret, forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from app.db import Webhook, WebhookDelivery
from app.db.audit import note
from app.db.base import database_time
from app.db.webhooks import enter
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.outside import check_url
from app.domain.webhooks import TEST, DeliveryStatus, Ending, make_secret, parse_events
from app.services.paging import Page, newest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from app.domain.ports import Secrets
    from app.services.accounts import Identity

MOST = 20
"""Endpoints of one project."""
OLD_SECRET_SECONDS = 24 * 3600.0


class Webhooks:
    """The endpoints of a project."""

    def __init__(self, session: Session, secrets: Secrets, *, private_allowed: bool) -> None:
        self.session, self.secrets, self.private_allowed = session, secrets, private_allowed

    def create(self, by: Identity, *, url: str, events: Sequence[str] | None, studio_address: str) -> tuple[Webhook, str]:
        """Name an endpoint; its secret is returned this once and kept only encrypted."""
        wanted = self._checked(url, events)
        if (self.session.scalar(select(func.count()).where(Webhook.project_id == by.project_id)) or 0) >= MOST:
            raise Conflict(f"A project has {MOST} webhooks at most. Delete one that is not needed any more.", code="too_many")
        secret = make_secret()
        locked = self.secrets.lock(secret)
        webhook = Webhook(
            project_id=by.project_id, created_by=by.user_id, url=url, events=wanted, studio_address=studio_address.rstrip("/"),
            secret=locked.text, secret_key_id=locked.key_id,
        )  # fmt: skip
        self.session.add(webhook)
        self.session.flush()
        self._audit(by, "webhook.created", webhook)
        return webhook, secret

    def get(self, by: Identity, webhook_id: str, *, to_change: bool = False) -> Webhook:
        """Return an endpoint of the project, or NotFound; `to_change` locks it until the unit of work ends."""
        query = select(Webhook).where(Webhook.id == webhook_id, Webhook.project_id == by.project_id)
        found = self.session.scalar(query.with_for_update() if to_change else query)
        if found is None:
            raise NotFound("There is no such webhook.", code="webhook_not_found")
        return found

    def newest(self, by: Identity, *, limit: int = MOST, after: str | None = None) -> Page[Webhook]:
        """Return the project's endpoints, newest first."""
        query = select(Webhook).where(Webhook.project_id == by.project_id)
        return newest_first(self.session, query, Webhook.id, limit=limit, after=after)

    def silenced(self, by: Identity) -> Sequence[Webhook]:
        """Return the endpoints that Hone itself has switched off, and nobody has looked after since."""
        mine = (Webhook.project_id == by.project_id, Webhook.enabled.is_(False), Webhook.disabled_reason != "")
        return self.session.scalars(select(Webhook).where(*mine).order_by(Webhook.id)).all()

    def last_deliveries(self, webhooks: Iterable[Webhook]) -> dict[str, WebhookDelivery]:
        """Return the newest notice of each endpoint that has had one."""
        newest = select(func.max(WebhookDelivery.id)).group_by(WebhookDelivery.webhook_id)
        mine = WebhookDelivery.webhook_id.in_([webhook.id for webhook in webhooks])
        found = self.session.scalars(select(WebhookDelivery).where(WebhookDelivery.id.in_(newest.where(mine))))
        return {delivery.webhook_id: delivery for delivery in found}

    def test(self, by: Identity, webhook_id: str) -> WebhookDelivery:
        """Have a notice sent that says nothing but that it arrived; also to an endpoint that is switched off."""
        webhook = self.get(by, webhook_id)
        self._audit(by, "webhook.tested", webhook)
        nothing = {"id": None, "name": "A test from Hone", "status": None, "model": None, "url": "/settings"}
        sent = enter(self.session, webhook, TEST, nothing)
        self.session.flush()
        return sent

    def set_enabled(self, by: Identity, webhook_id: str, *, enabled: bool) -> Webhook:
        """Switch an endpoint on or off; what still waits to be sent is dropped with it."""
        webhook = self.get(by, webhook_id, to_change=True)
        webhook.enabled, webhook.disabled_reason = enabled, ""
        if not enabled:
            drop_waiting(self.session, webhook.id)
        self._audit(by, "webhook.enabled" if enabled else "webhook.disabled", webhook)
        return webhook

    def change_secret(self, by: Identity, webhook_id: str) -> tuple[Webhook, str]:
        """Give an endpoint a new secret; for a day notices are signed with both, so that nothing is missed."""
        webhook, secret = self.get(by, webhook_id, to_change=True), make_secret()
        locked = self.secrets.lock(secret)
        webhook.old_secret, webhook.old_secret_key_id = webhook.secret, webhook.secret_key_id
        webhook.old_secret_until = database_time(self.session) + OLD_SECRET_SECONDS
        webhook.secret, webhook.secret_key_id = locked.text, locked.key_id
        self._audit(by, "webhook.secret_changed", webhook)
        return webhook, secret

    def delete(self, by: Identity, webhook_id: str) -> None:
        """Forget an endpoint and its notices."""
        webhook = self.get(by, webhook_id, to_change=True)
        self._audit(by, "webhook.deleted", webhook)
        self.session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id))
        self.session.delete(webhook)

    def _checked(self, url: str, events: Sequence[str] | None) -> list[str]:
        try:
            check_url(url, private_allowed=self.private_allowed)
        except ValueError as error:
            raise Invalid(str(error), param="url", code="unusable_address") from None
        try:
            wanted = parse_events(list(Ending) if events is None else events)
        except ValueError as error:
            raise Invalid(str(error), param="events", code="unknown_event") from None
        if not wanted:
            raise Invalid("Choose at least one event.", param="events", code="no_event")
        return wanted

    def _audit(self, by: Identity, action: str, webhook: Webhook) -> None:
        note(self.session, by.project_id, by.user_id, action, webhook.id)


def drop_waiting(session: Session, webhook_id: str) -> None:
    """Drop what an endpoint has not been sent yet."""
    waiting = (WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.status == DeliveryStatus.WAITING)
    session.execute(update(WebhookDelivery).where(*waiting).values(status=DeliveryStatus.DROPPED))
