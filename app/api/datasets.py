"""REST of datasets: bring files or say where they are, look, map, delete. What is done about their rows is in `desk`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from app.api.dependencies import After, Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.db import Dataset, DatasetFile
from app.domain.datasets import DatasetFormat, DatasetStatus, Mapping, Problem
from app.domain.errors import TooLarge
from app.domain.sources import Source
from app.domain.text import Text
from app.gateways.uploads import receive_upload

if TYPE_CHECKING:
    from app.services.desk import Desk

MAX_DOCUMENT = 64 * 1024
router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])


class DatasetCreated(BaseModel):
    """A dataset that is being read."""

    id: str = Field(examples=["019aa1f0-7c1e-7d20-9d51-5f0c7f5d9c11"])
    name: str = Field(examples=["support e-mails"])
    status: DatasetStatus


class Problems(BaseModel):
    """Rows set aside: how many, and the first hundred."""

    count: int
    first: list[Problem]


class FileOut(BaseModel):
    """A file that a dataset is made of."""

    filename: str = Field(examples=["emails-march.csv"])
    size_bytes: int | None = Field(description="None once the file is not kept any more.")
    origin: dict[str, Any] = Field(description="Where it was fetched from: an address, or repository and revision. Empty for an upload.")


class WorkOut(BaseModel):
    """What a worker is doing with a dataset, or is to do."""

    task: str = Field(examples=["check"], description="import, append, fetch, check or fix.")
    status: str = Field(examples=["running"])
    done: int = Field(description="Bytes or rows, out of `total`.")
    total: int


class DatasetOut(DatasetCreated):
    """A dataset as it stands."""

    reason: str
    rows: int
    format: DatasetFormat | None
    columns: list[str]
    problems: Problems
    files: list[FileOut] = Field(default_factory=list)
    version: int | None = Field(None, description="The number of the present state of its rows.")
    version_id: str | None = Field(None, description="What alone names that state: the number of one that was undone is given again.")
    step: str = Field("", description="What was done to the rows last.")
    can_undo: bool = False
    work: WorkOut | None = None


class DatasetList(BaseModel):
    """Datasets, newest first."""

    data: list[DatasetOut]
    has_more: bool


class Remapping(BaseModel):
    """Which columns are question and answer, and a system prompt for every row without one."""

    model_config = ConfigDict(extra="forbid")

    mapping: Mapping | None = Field(None, examples=[{"user": "utterance", "assistant": "intent"}])
    system: Text | None = Field(None, max_length=64_000, examples=["Answer with the intent of the message."])


def present(dataset: Dataset, desk: Desk) -> DatasetOut:
    """Return a dataset as REST shows it."""
    report, version, work = dataset.report, dataset.version, desk.work(dataset)
    return DatasetOut(
        id=dataset.id, name=dataset.name, status=DatasetStatus(dataset.status), reason=dataset.reason, rows=report.get("rows", 0),
        format=report.get("format"), columns=report.get("columns", []),
        problems=Problems(count=report.get("problem_count", 0), first=report.get("problems", [])),
        files=[_file(file) for file in dataset.files], version=version.number if version else None, version_id=dataset.version_id,
        step=str(version.step.get("words", "")) if version else "", can_undo=desk.can_undo(dataset),
        work=WorkOut(task=str(work.task.get("kind", "import")), status=work.status, done=work.done_bytes, total=work.total_bytes)
        if work else None,
    )  # fmt: skip


def _file(file: DatasetFile) -> FileOut:
    return FileOut(filename=file.filename, size_bytes=file.upload.size_bytes if file.upload else None, origin=file.origin)


class FetchRequest(BaseModel):
    """A dataset that is fetched from outside: a file at an address, a dataset of the Hub, files on S3."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field("", max_length=200)
    source: Source


FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "One part a file."},
                        "name": {"type": "string", "maxLength": 200},
                    },
                }
            },
            "application/json": {
                "schema": FetchRequest.model_json_schema(),
                "examples": {
                    "hub": {"value": {"name": "dolly", "source": {"kind": "hub", "repo": "databricks/databricks-dolly-15k"}}},
                    "url": {"value": {"source": {"kind": "url", "url": "https://example.com/rows.jsonl"}}},
                    "s3": {"value": {"source": {"kind": "s3", "url": "s3://bucket/exports/"}}},
                },
            },
        },
    }
}


@router.post("", status_code=201, operation_id="create_dataset", openapi_extra=FORM)
async def create_dataset(request: Request, studio: StudioDep, identity: IdentityDep) -> DatasetCreated:
    """Upload files of examples, or name where to fetch them; a worker reads them, and GET shows how far it is.

    Several `file` parts become one dataset. 413, 415 and 422 refuse at the first bytes.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        asked = _fetch_request(await _small_body(request))
        made = await run_in_threadpool(partial(studio.fetch, identity, name=asked.name, source=asked.source))
    else:
        upload = await receive_upload(request.stream(), request.headers, studio.incoming, studio.max_upload_bytes)
        made = await run_in_threadpool(partial(studio.bring, identity, upload.files, name=upload.fields.get("name", "")))
    return DatasetCreated(id=made.id, name=made.name, status=DatasetStatus(made.status))


def _fetch_request(body: bytes) -> FetchRequest:
    try:
        return FetchRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]) from None


async def _small_body(request: Request) -> bytes:
    """Return a body that is no upload: this address has no other bound."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_DOCUMENT:
            message = f"A request that names a source has at most {MAX_DOCUMENT // 1024} KiB."
            raise TooLarge(message)
    return body


@router.get("", operation_id="list_datasets")
def list_datasets(studio: StudioDep, session: ReadSession, identity: IdentityDep, limit: Limit = 50, after: After = None) -> DatasetList:
    """List datasets, newest first."""
    page = studio.datasets(session).newest(identity, limit=limit, after=after)
    return DatasetList(data=[present(d, studio.desk(session)) for d in page.items], has_more=page.has_more)


@router.get("/{dataset_id}", operation_id="get_dataset")
def get_dataset(studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id) -> DatasetOut:
    """Show a dataset: how far its reading is, what it holds, which rows were set aside."""
    return present(studio.datasets(session).get(identity, dataset_id), studio.desk(session))


@router.patch("/{dataset_id}", operation_id="map_dataset")
def map_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id, body: Remapping) -> DatasetOut:
    """Map columns or set a system prompt, and read the file again; 409 once a run has frozen the rows."""
    return present(studio.datasets(session).remap(identity, dataset_id, body.mapping, body.system), studio.desk(session))


@router.delete("/{dataset_id}", status_code=204, operation_id="delete_dataset")
def delete_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id) -> Response:
    """Delete a dataset; 409 while a run that has not ended uses it."""
    studio.datasets(session).delete(identity, dataset_id)
    return Response(status_code=204)
