"""REST of the data desk: rows with what was found in them, problems, fixes, undo, preflight, export."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from app.api.datasets import FORM, DatasetOut, present
from app.api.dependencies import Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.db.session import reading
from app.domain.aside import Aside
from app.domain.datasets import Row
from app.domain.errors import Invalid
from app.domain.fixes import Fix
from app.domain.preflight import Preflight
from app.domain.problems import ALONE, Trouble
from app.domain.sources import HubSource
from app.domain.specs import RunRequest, parse_settings
from app.domain.text import Text
from app.gateways.hub import HubDatasets
from app.gateways.uploads import receive_upload
from app.services.desk_rows import DeskRows, Looked, Wanted
from app.services.exports import export

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
RowAfter = Annotated[int, Query(ge=-1, le=2**53, description="The last row number one has seen.")]
Seen = Annotated[
    Text | None,
    Query(max_length=64, description="The `version_id` of the rows one has looked at; 409 `rows_changed` when they are others by now."),
]


class MarkOut(BaseModel):
    """A part of a row's text that a problem is about.

    `turn` counts messages, those of the worse answer behind the others; and behind all of them the values in arguments of tool calls.
    """

    turn: int
    start: int
    end: int
    kind: str = Field(examples=["EMAIL"])


class RowOut(Row):
    """One example, and what was found in it once its rows were looked at."""

    tokens: int = Field(description="Counted with the bundled base's tokenizer and chat template.")
    problems: list[Trouble] = Field(default_factory=list)
    spans: list[MarkOut] = Field(default_factory=list)
    copy_of: int | None = Field(None, description="The first row of the same content.")
    near_of: int | None = Field(None, description="The first row that is nearly the same.")
    other_answer_of: int | None = Field(None, description="The first row with the same question and another answer.")
    leak_of: int | None = Field(None, description="The training row that this test row repeats.")
    language: str | None = None


class RowList(BaseModel):
    """Rows in file order."""

    data: list[RowOut]
    has_more: bool
    next_after: int | None = Field(None, description="What to give as `after` for the next page: filters may have looked further.")


class ProblemsOut(BaseModel):
    """What is wrong with the rows of a dataset."""

    checked: bool = Field(description="Whether its present rows were looked at.")
    counts: dict[Trouble, int] = Field(description="Rows by problem.", examples=[{"near_duplicate": 67}])
    groups: dict[str, int] = Field(default_factory=dict, description="Groups of rows that are alike.")
    aside: dict[str, int] = Field(default_factory=dict, description="Rows set aside, by why.")
    summary: dict[str, Any] = Field(default_factory=dict, description="Labels, languages, personal data by kind, token histograms.")


class AsideOut(Aside):
    """A row that was set aside, and what tells it from others."""

    was: str = Field(description="Given with a `mend`, it is done only if this is still the row under that number.")


class AsideList(BaseModel):
    """Rows that were set aside at reading, as their files have them."""

    data: list[AsideOut]
    has_more: bool
    not_kept: dict[str, int] = Field(
        default_factory=dict,
        description="Rows set aside beyond the first 10,000, or 64 MB of them, by why: they are counted, but nothing is kept of them.",
    )


class PreflightRequest(BaseModel):
    """The run whose learning is asked for."""

    model_config = ConfigDict(extra="forbid")

    base_model: Text = Field("hone-starter", min_length=1, max_length=500)
    settings: dict[Text, Any] = Field(default_factory=dict, examples=[{"max_length": 2048}])


class HubOut(BaseModel):
    """What there is of a dataset on the Hub: configurations, their splits, and how many bytes each has."""

    repo: str
    revision: str
    licence: str | None
    gated: bool
    configs: dict[str, dict[str, int]] = Field(examples=[{"default": {"train": 13_085_339}}])


@router.get("/hub", operation_id="look_at_hub_dataset")
def look_at_hub_dataset(
    studio: StudioDep,
    identity: IdentityDep,
    repo: Annotated[Text, Query(max_length=200, examples=["databricks/databricks-dolly-15k"])],
    revision: Annotated[Text | None, Query(max_length=200)] = None,
) -> HubOut:
    """Ask the Hub what a dataset consists of, so that one can choose; the only thing that this contacts."""
    try:
        asked = HubSource(repo=repo, revision=revision)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise Invalid(message, param=str(error.errors()[0]["loc"][0])) from None
    found = HubDatasets.from_environment().look(asked.repo, asked.revision, studio.hub_looks.token(identity))
    configs = {
        config: {split: sum(file.size for file in files) for split, files in splits.items()} for config, splits in found.configs.items()
    }
    return HubOut(repo=found.repo, revision=found.revision, licence=found.licence, gated=found.gated, configs=configs)


@router.post("/{dataset_id}/files", status_code=202, operation_id="append_to_dataset", openapi_extra=FORM)
async def append_to_dataset(request: Request, studio: StudioDep, identity: IdentityDep, dataset_id: Id) -> DatasetOut:
    """Upload files whose rows come behind those there are, as a new version; 409 while work goes on."""
    upload = await receive_upload(request.stream(), request.headers, studio.incoming, studio.max_upload_bytes)
    await run_in_threadpool(partial(studio.bring, identity, upload.files, to=dataset_id))
    return await run_in_threadpool(partial(_shown, studio, identity, dataset_id))


def _shown(studio: StudioDep, identity: IdentityDep, dataset_id: str) -> DatasetOut:
    with reading(studio.engine) as session:
        return present(studio.datasets(session).get(identity, dataset_id), studio.desk(session))


@router.post("/{dataset_id}/check", status_code=202, operation_id="check_dataset")
def check_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id) -> DatasetOut:
    """Have the rows looked at for problems; this happens by itself after each change."""
    desk = studio.desk(session)
    return present(desk.check(identity, dataset_id), desk)


@router.post("/{dataset_id}/fix", status_code=202, operation_id="fix_dataset")
def fix_dataset(
    studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id, body: Fix, version_id: Seen = None
) -> DatasetOut:
    """Have the rows changed, as a new version that can be undone; 409 before they were looked at for problems."""
    desk = studio.desk(session)
    return present(desk.fix(identity, dataset_id, body, version_id), desk)


@router.post("/{dataset_id}/undo", operation_id="undo_dataset")
def undo_dataset(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id, version_id: Seen = None) -> DatasetOut:
    """Go back to the rows before the last change; 409 when there are none."""
    desk = studio.desk(session)
    return present(desk.undo(identity, dataset_id, version_id), desk)


@router.post("/{dataset_id}/cancel", status_code=202, operation_id="cancel_dataset_work")
def cancel_dataset_work(studio: StudioDep, session: WriteSession, identity: IdentityDep, dataset_id: Id) -> DatasetOut:
    """Call off what a worker is doing with a dataset; what was there before stays."""
    desk = studio.desk(session)
    return present(desk.cancel(identity, dataset_id), desk)


@router.get("/{dataset_id}/problems", operation_id="get_problems")
def get_problems(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id,
    max_tokens: Annotated[int, Query(ge=16, le=1_048_576, description="Which rows count as longer than the context.")] = 1024,
) -> ProblemsOut:  # fmt: skip
    """Count the rows with each problem."""
    dataset = studio.datasets(session).get(identity, dataset_id)
    summary = dict(dataset.version.findings) if dataset.version else {}
    counts = DeskRows(studio.desk(session), dataset).counts(max_tokens)
    return ProblemsOut(
        checked=bool(summary), counts={trouble: many for trouble, many in counts.items() if many}, groups=summary.get("groups") or {},
        aside=dataset.report.get("aside") or {}, summary=summary,
    )  # fmt: skip


@router.get("/{dataset_id}/rows", operation_id="list_rows")
def list_rows(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id, wanted: Annotated[Wanted, Query()],
    limit: Limit = 50, after: RowAfter = -1,
) -> RowList:  # fmt: skip
    """Page through the rows in file order: all, or those with a problem, that say something, of one side."""
    if wanted.problem is not None and wanted.problem.is_aside:
        message = f"Rows with {wanted.problem} are in no version; GET …/aside lists them."
        raise Invalid(message, param="problem", code="set_aside")
    dataset = studio.datasets(session).get(identity, dataset_id)
    page = DeskRows(studio.desk(session), dataset).page(wanted, after=after, limit=limit)
    data = [_row(studio, looked, wanted.max_tokens) for looked in page.rows]
    return RowList(data=data, has_more=page.next_after is not None, next_after=page.next_after)


@router.get("/{dataset_id}/aside", operation_id="list_rows_set_aside")
def list_rows_set_aside(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id, limit: Limit = 50,
    code: Literal["broken", "empty_answer", "no_answer"] | None = None,
    after: Annotated[int, Query(ge=0, le=2**53, description="How many one has seen.")] = 0,
) -> AsideList:  # fmt: skip
    """List rows that could not be used, with their line, why, and their text, so that they can be mended."""
    dataset = studio.datasets(session).get(identity, dataset_id)
    found, more = DeskRows(studio.desk(session), dataset).aside(Trouble(code) if code else None, after=after, limit=limit)
    return AsideList(
        data=[AsideOut(**row.model_dump(), was=row.fingerprint) for row in found],
        has_more=more,
        not_kept=dataset.report.get("not_kept") or {},
    )


@router.get("/{dataset_id}/mask-map", operation_id="get_mask_map", response_class=FileResponse)
def get_mask_map(studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id) -> FileResponse:
    """Download what the masks in the rows stand for, as JSONL; 404 when no map was kept."""
    sha256, name = studio.desk(session).mask_map(identity, dataset_id)
    return FileResponse(studio.storage.path(sha256), media_type="application/jsonl", filename=name)


@router.get("/{dataset_id}/export", operation_id="export_dataset", response_class=StreamingResponse)
def export_dataset(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, dataset_id: Id,
    kind: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl",
) -> StreamingResponse:  # fmt: skip
    """Download all rows as JSONL in OpenAI's shapes, or as a table.

    Split at its commas, no cell of the table begins as a formula does. A spreadsheet that splits at semicolons, as some languages have
    it, cuts texts in their middle, and may run what then begins a cell: import the file there with the comma chosen.
    """
    made = export(studio.datasets(session), identity, dataset_id, kind)
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(made.filename, safe='')}"}
    return StreamingResponse(made.content, media_type=made.media_type, headers=headers)


@router.post("/{dataset_id}/preflight", operation_id="preflight_dataset")
def preflight_dataset(studio: StudioDep, identity: IdentityDep, dataset_id: Id, body: PreflightRequest) -> Preflight:
    """Show what a run would learn: rows token by token, figures, faults with what mends them. 503 while nobody can look."""
    request = RunRequest(name="preflight", base_model=body.base_model, dataset_id=dataset_id, settings=body.settings)
    return studio.preflights.look(identity, dataset_id, body.base_model, parse_settings(request))


def _row(studio: StudioDep, looked: Looked, max_tokens: int) -> RowOut:
    row, found = looked
    if found is None:
        return RowOut(**dict(row), tokens=studio.count_tokens(row.messages))
    too_long = [Trouble.TOO_LONG] if found.tokens > max_tokens else []
    return RowOut(
        **dict(row), tokens=found.tokens, problems=[*found.troubles, *too_long],
        spans=[MarkOut(**mark._asdict()) for mark in found.marks], copy_of=_other(found.exact, row), near_of=_other(found.near, row),
        other_answer_of=_other(found.other_answer, row), leak_of=_other(found.leak_of, row), language=found.language,
    )  # fmt: skip


def _other(number: int, row: Row) -> int | None:
    return None if number in (ALONE, row.row) else number
