"""REST of datasets: upload, look, map, page, export, delete."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from app.api.dependencies import After, Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.db import Dataset
from app.domain.datasets import DatasetFormat, DatasetStatus, Mapping, Message, Problem, Split
from app.domain.text import Text
from app.gateways.uploads import receive_upload
from app.services.runs import export_name

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


class DatasetOut(DatasetCreated):
    """A dataset as it stands."""

    reason: str
    rows: int
    format: DatasetFormat | None
    columns: list[str]
    problems: Problems


class RowOut(BaseModel):
    """One example."""

    row: int
    split: Split
    messages: list[Message]
    tokens: int = Field(description="Counted with the bundled base's tokenizer and chat template.")


class DatasetList(BaseModel):
    """Datasets, newest first."""

    data: list[DatasetOut]
    has_more: bool


class RowList(BaseModel):
    """Rows in file order."""

    data: list[RowOut]
    has_more: bool


class Remapping(BaseModel):
    """Which columns are question and answer, and a system prompt for every row without one."""

    model_config = ConfigDict(extra="forbid")

    mapping: Mapping | None = Field(None, examples=[{"user": "utterance", "assistant": "intent"}])
    system: Text | None = Field(None, max_length=64_000, examples=["Answer with the intent of the message."])


def present(dataset: Dataset) -> DatasetOut:
    """Return a dataset as REST shows it."""
    report = dataset.report
    return DatasetOut(
        id=dataset.id, name=dataset.name, status=DatasetStatus(dataset.status), reason=dataset.reason, rows=report.get("rows", 0),
        format=report.get("format"), columns=report.get("columns", []),
        problems=Problems(count=report.get("problem_count", 0), first=report.get("problems", [])),
    )  # fmt: skip


FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}, "name": {"type": "string", "maxLength": 200}},
                }
            }
        },
    }
}


@router.post("", status_code=201, operation_id="create_dataset", openapi_extra=FORM)
async def create_dataset(request: Request, studio: StudioDep, identity: IdentityDep) -> DatasetCreated:
    """Upload a file of examples; a worker reads it, and GET shows how far it is. 413, 415 and 422 refuse at the first bytes."""
    upload = await receive_upload(request.stream(), request.headers, studio.incoming, studio.max_upload_bytes)
    keep = partial(studio.bring, identity, upload.files, name=upload.fields.get("name", ""))
    made = await run_in_threadpool(keep)
    return DatasetCreated(id=made.id, name=made.name, status=DatasetStatus(made.status))


@router.get("", operation_id="list_datasets")
def list_datasets(studio: StudioDep, session: ReadSession, identity: IdentityDep, limit: Limit = 50, after: After = None) -> DatasetList:
    """List datasets, newest first."""
    page = studio.datasets(session).newest(identity, limit=limit, after=after)
    return DatasetList(data=[present(d) for d in page.items], has_more=page.has_more)


@router.get("/{dataset_id}", operation_id="get_dataset")
def get_dataset(studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id) -> DatasetOut:
    """Show a dataset: how far its reading is, what it holds, which rows were set aside."""
    return present(studio.datasets(session).get(identity, dataset_id))


@router.patch("/{dataset_id}", operation_id="map_dataset")
def map_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id, body: Remapping) -> DatasetOut:
    """Map columns or set a system prompt, and read the file again; 409 once a run has frozen the rows."""
    return present(studio.datasets(session).remap(identity, dataset_id, body.mapping, body.system))


@router.get("/{dataset_id}/rows", operation_id="list_rows")
def list_rows(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id, limit: Limit = 50,
    after: Annotated[int, Query(ge=-1, le=2**53, description="The last row number one has seen.")] = -1,
) -> RowList:  # fmt: skip
    """Page through the conversations, in file order."""
    page = studio.datasets(session).rows(identity, dataset_id, limit=limit, after=after)
    rows = [RowOut(row=r.row, split=r.split, messages=r.messages, tokens=studio.count_tokens(r.messages)) for r in page.items]
    return RowList(data=rows, has_more=page.has_more)


@router.get("/{dataset_id}/export", operation_id="export_dataset", response_class=StreamingResponse)
def export_dataset(studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id) -> StreamingResponse:
    """Download all rows as OpenAI chat JSONL."""
    datasets = studio.datasets(session)
    name = export_name(datasets.get(identity, dataset_id))
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}
    return StreamingResponse(datasets.export(identity, dataset_id), media_type="application/jsonl", headers=headers)


@router.delete("/{dataset_id}", status_code=204, operation_id="delete_dataset")
def delete_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id) -> Response:
    """Delete a dataset; 409 while a run that has not ended uses it."""
    studio.datasets(session).delete(identity, dataset_id)
    return Response(status_code=204)
