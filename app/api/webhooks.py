"""REST of webhooks: endpoints that are told when a run ends."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import After, Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.domain.text import Text
from app.domain.webhooks import DeliveryStatus, Ending

if TYPE_CHECKING:
    from app.db import Webhook, WebhookDelivery

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])


class WebhookRequest(BaseModel):
    """An endpoint to be told."""

    model_config = ConfigDict(extra="forbid")

    url: Text = Field(description="Where notices are posted to: https, a public address.", examples=["https://example.com/hooks/hone"])
    events: list[Text] | None = Field(
        None, max_length=20, description="Which ends it hears of; all when left out.", examples=[list(Ending)]
    )


class WebhookChange(BaseModel):
    """What may be changed of an endpoint."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(description="Switched off it hears nothing, and what still waits for it is dropped.")


class DeliveryOut(BaseModel):
    """A notice, and what came of it."""

    id: str = Field(description="The `webhook-id` header: the same at every try.")
    type: str = Field(examples=["run.succeeded", "webhook.test"])
    status: DeliveryStatus
    attempt: int
    created_at: datetime
    last_attempt_at: datetime | None
    response_status: int | None
    error: str


class WebhookOut(BaseModel):
    """An endpoint as it stands."""

    id: str
    url: str
    events: list[Ending]
    enabled: bool
    disabled_reason: str = Field(description="Why Hone switched it off, if it did.")
    created_at: datetime
    last_delivery: DeliveryOut | None


class WebhookMade(WebhookOut):
    """An endpoint with its secret, shown this once."""

    secret: str = Field(description="Verifies signatures by Standard Webhooks.", examples=["whsec_…"])


class WebhookList(BaseModel):
    """Endpoints, newest first."""

    data: list[WebhookOut]
    has_more: bool


@router.post("", status_code=201, operation_id="create_webhook")
def create_webhook(studio: StudioDep, session: WriteSession, identity: IdentityDep, request: Request, body: WebhookRequest) -> WebhookMade:
    """Name an endpoint; 422 for an address that may not be contacted. The answer holds the secret that signs its notices."""
    made, secret = studio.webhooks(session).create(identity, url=body.url, events=body.events, studio_address=str(request.base_url))
    return WebhookMade(**_shown(made, None).model_dump(), secret=secret)


@router.get("", operation_id="list_webhooks")
def list_webhooks(studio: StudioDep, session: ReadSession, identity: IdentityDep, limit: Limit = 50, after: After = None) -> WebhookList:
    """List endpoints, newest first, each with its last notice."""
    webhooks = studio.webhooks(session)
    page = webhooks.newest(identity, limit=limit, after=after)
    last = webhooks.last_deliveries(page.items)
    return WebhookList(data=[_shown(webhook, last.get(webhook.id)) for webhook in page.items], has_more=page.has_more)


@router.get("/{webhook_id}", operation_id="get_webhook")
def get_webhook(studio: StudioDep, session: ReadSession, identity: IdentityDep, webhook_id: Id) -> WebhookOut:
    """Show an endpoint."""
    webhooks = studio.webhooks(session)
    webhook = webhooks.get(identity, webhook_id)
    return _shown(webhook, webhooks.last_deliveries([webhook]).get(webhook.id))


@router.patch("/{webhook_id}", operation_id="update_webhook")
def update_webhook(studio: StudioDep, session: WriteSession, identity: IdentityDep, webhook_id: Id, body: WebhookChange) -> WebhookOut:
    """Switch an endpoint on or off."""
    webhooks = studio.webhooks(session)
    webhook = webhooks.set_enabled(identity, webhook_id, enabled=body.enabled)
    session.flush()
    return _shown(webhook, webhooks.last_deliveries([webhook]).get(webhook.id))


@router.post("/{webhook_id}/test", status_code=202, operation_id="test_webhook")
def test_webhook(studio: StudioDep, session: WriteSession, identity: IdentityDep, webhook_id: Id) -> DeliveryOut:
    """Have a notice of type `webhook.test` sent within seconds, once; what comes of it is the endpoint's `last_delivery`."""
    return _delivery(studio.webhooks(session).test(identity, webhook_id))


@router.post("/{webhook_id}/secret", operation_id="change_webhook_secret")
def change_webhook_secret(studio: StudioDep, session: WriteSession, identity: IdentityDep, webhook_id: Id) -> WebhookMade:
    """Give an endpoint a new secret; for 24 hours notices are signed with the old one too."""
    webhooks = studio.webhooks(session)
    webhook, secret = webhooks.change_secret(identity, webhook_id)
    return WebhookMade(**_shown(webhook, webhooks.last_deliveries([webhook]).get(webhook.id)).model_dump(), secret=secret)


@router.delete("/{webhook_id}", status_code=204, operation_id="delete_webhook")
def delete_webhook(studio: StudioDep, session: WriteSession, identity: IdentityDep, webhook_id: Id) -> None:
    """Forget an endpoint and its notices."""
    studio.webhooks(session).delete(identity, webhook_id)


def _delivery(notice: WebhookDelivery) -> DeliveryOut:
    return DeliveryOut(
        id=notice.id, type=notice.type, status=DeliveryStatus(notice.status), attempt=notice.attempt, created_at=notice.created_at,
        last_attempt_at=notice.last_attempt_at, response_status=notice.response_status, error=notice.error,
    )  # fmt: skip


def _shown(webhook: Webhook, last: WebhookDelivery | None) -> WebhookOut:
    return WebhookOut(
        id=webhook.id, url=webhook.url, events=[Ending(name) for name in webhook.events], enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason, created_at=webhook.created_at, last_delivery=_delivery(last) if last else None,
    )  # fmt: skip
