"""REST of base models on their way here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import After, Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.domain.runs import RunStatus
from app.domain.text import Text

if TYPE_CHECKING:
    from app.db import Download

router = APIRouter(prefix="/api/v1/downloads", tags=["models"])


class DownloadRequest(BaseModel):
    """A model of the Hub that is to be fetched."""

    model_config = ConfigDict(extra="forbid")

    repo: Text = Field(max_length=200, description="Its name on the Hub.", examples=["acme/small-1b"])
    revision: Text | None = Field(None, max_length=200, description="A branch, tag or commit; default: the newest.")


class DownloadOut(BaseModel):
    """A download as it stands."""

    id: str
    repo: str
    revision: str | None = Field(description="The commit.")
    status: RunStatus
    reason: str = Field(description="Why it failed or was called off.")
    error_code: str | None
    done_bytes: int
    total_bytes: int
    licence: str | None
    created_at: datetime
    finished_at: datetime | None


class DownloadList(BaseModel):
    """Downloads, newest first."""

    data: list[DownloadOut]
    has_more: bool


@router.post("", status_code=201, operation_id="create_download")
def create_download(studio: StudioDep, identity: IdentityDep, body: DownloadRequest) -> DownloadOut:
    """Scan a model and have it fetched; the same model under way is returned as it is.

    422 when the scan stops it (`remote_code`, `unsafe_format`, `incomplete`, `gated_model` …), 409 while it is being cancelled, and 503
    `disk_full` before anything is fetched.
    """
    return _shown(studio.download(identity, body.repo, body.revision))


@router.get("", operation_id="list_downloads")
def list_downloads(studio: StudioDep, session: ReadSession, identity: IdentityDep, limit: Limit = 50, after: After = None) -> DownloadList:
    """List downloads, newest first."""
    page = studio.downloads(session).newest(identity, limit=limit, after=after)
    return DownloadList(data=[_shown(one) for one in page.items], has_more=page.has_more)


@router.get("/{download_id}", operation_id="get_download")
def get_download(studio: StudioDep, session: ReadSession, identity: IdentityDep, download_id: Id) -> DownloadOut:
    """Show a download."""
    return _shown(studio.downloads(session).get(identity, download_id))


@router.post("/{download_id}/cancel", operation_id="cancel_download")
def cancel_download(studio: StudioDep, session: WriteSession, identity: IdentityDep, download_id: Id) -> DownloadOut:
    """Call a download off; what has come of it goes. 409 once it has ended."""
    return _shown(studio.downloads(session).cancel(identity, download_id))


@router.delete("/{download_id}", status_code=204, operation_id="delete_download")
def delete_download(studio: StudioDep, session: WriteSession, identity: IdentityDep, download_id: Id) -> None:
    """Forget a download and remove its files; 409 while it goes on, and `base_in_use` while runs, measurements or tuned models need it."""
    studio.downloads(session).delete(identity, download_id)


def _shown(one: Download) -> DownloadOut:
    return DownloadOut(
        id=one.id, repo=one.repo, revision=one.revision, status=RunStatus(one.status), reason=one.reason, error_code=one.error_code,
        done_bytes=one.done_bytes, total_bytes=one.total_bytes, licence=one.facts.get("licence"), created_at=one.created_at,
        finished_at=one.finished_at,
    )  # fmt: skip
