"""What can be done about rows: look for problems, compare twins, see what a fix would do, do it, undo it, call work off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.responses import FileResponse, Response

from app.domain.errors import Invalid
from app.domain.fixes import Fill, Fix, KeepBest, Mask, offers
from app.domain.problems import EXPLAINED
from app.services.desk_rows import DeskRows
from app.services.previews import preview
from app.web import desk_view, fix_view
from app.web.dependencies import Act, Look, Posted
from app.web.desk_view import Asked, DatasetId
from app.web.groups_view import group_of
from app.web.visit import Visit
from app.web.word_diff import Comparing

router = APIRouter(include_in_schema=False)
GROUPS, ROWS_OF_A_GROUP = 10, 6


@router.post("/datasets/{dataset_id}/check")
def check(visit: Act, dataset_id: DatasetId) -> Response:
    """Have the rows looked at for problems."""
    visit.desk.check(visit.identity, dataset_id)
    return visit.go(f"/datasets/{dataset_id}")


@router.post("/datasets/{dataset_id}/undo")
def undo(visit: Act, dataset_id: DatasetId, fields: Posted) -> Response:
    """Go back to the rows before the last change."""
    visit.desk.undo(visit.identity, dataset_id, fields.get("version") or None)
    return visit.go(f"/datasets/{dataset_id}")


@router.post("/datasets/{dataset_id}/cancel")
def cancel(visit: Act, dataset_id: DatasetId) -> Response:
    """Call off what a worker is doing."""
    visit.desk.cancel(visit.identity, dataset_id)
    return visit.go(f"/datasets/{dataset_id}")


@router.get("/datasets/{dataset_id}/fix")
def preview_fix(visit: Look, dataset_id: DatasetId) -> Response:
    """Show what a fix would do, and ask for what it needs."""
    fields = dict(visit.request.query_params)
    try:
        fix, wrong = fix_view.fix_from(fields), ""
    except Invalid as error:
        if fields.get("op") != "fill":
            raise
        # Which texts is what this page asks for.
        fix, wrong = None, error.message if any(name.startswith("fill-") for name in fields) else ""
    return _fix_page(visit, dataset_id, fields, fix, wrong)


@router.post("/datasets/{dataset_id}/fix")
def apply_fix(visit: Act, dataset_id: DatasetId, fields: Posted) -> Response:
    """Have the rows changed."""
    visit.desk.fix(visit.identity, dataset_id, fix_view.fix_from(fields), fields.get("version") or None)
    return visit.go(f"/datasets/{dataset_id}")


@router.get("/datasets/{dataset_id}/groups")
def show_groups(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show rows that are alike side by side."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    problem = asked.problem
    if problem not in desk_view.GROUPED:
        raise Invalid("Only duplicates, leaks and questions with several answers come in groups.", param="problem")
    head, rows = desk_view.head_of(visit.desk, dataset, ""), DeskRows(visit.desk, dataset)
    count = rows.counts(asked.max_tokens)[problem]
    found, next_after = rows.groups(problem, after=asked.after, limit=GROUPS, most_rows=ROWS_OF_A_GROUP)
    bold, why = desk_view.explained(problem, count, head.summary)
    comparing = Comparing()
    return visit.page(
        "datasets/groups.html", dataset=dataset, head=head, asked=asked, title=EXPLAINED[problem].title, bold=bold, why=why,
        weight=EXPLAINED[problem].weight, groups=[group_of(group, problem, comparing) for group in found], comparing=comparing,
        next_after=next_after, can_keep=problem in desk_view.GROUP_NAMES,
        offers=[(offer, fix_view.address_of(head.here, offer, asked)) for offer in offers(problem, head.summary)] if count else [],
    )  # fmt: skip


@router.get("/datasets/{dataset_id}/mask-map")
def mask_map(visit: Look, dataset_id: DatasetId) -> FileResponse:
    """Hand out the file that says what the masks in the rows stand for."""
    sha256, name = visit.desk.mask_map(visit.identity, dataset_id)
    return FileResponse(visit.studio.storage.path(sha256), media_type="application/jsonl", filename=name)


def _context(fields: dict[str, str]) -> int:
    """Return the context that the page was asked for, under the bounds that the rows' page has; the usual one without such a number."""
    try:
        return Asked.model_validate({"max_tokens": fields["max_tokens"]}).max_tokens
    except (KeyError, ValidationError):
        return desk_view.MAX_LENGTH


def _fix_page(visit: Visit, dataset_id: str, fields: dict[str, str], fix: Fix | None, wrong: str) -> Response:
    dataset = visit.datasets.get(visit.identity, dataset_id)
    visit.desk.require_same(dataset, fields.get("version") or None)
    head = desk_view.head_of(visit.desk, dataset, "")
    seen = preview(DeskRows(visit.desk, dataset), fix) if fix else None
    max_tokens, comparing = _context(fields), Comparing()
    problem = getattr(fix, "problem", None)
    back = f"{head.here}?problem={problem}" if problem else head.here
    return visit.page(
        "datasets/fix.html", dataset=dataset, head=head, fix=fix, fields=fields, wrong=wrong, back=back, preview=seen,
        title=fix_view.title_of(fix, fields.get("op", "")),
        told=fix_view.told(seen, dataset.version.rows) if seen and dataset.version else "",
        changes=fix_view.shown_of(seen, max_tokens, comparing) if seen else [], comparing=comparing,
        plain={name: value for name, value in fields.items() if name in fix_view.PLAIN and name not in {"most", "tokens"}} | _rows(fields),
        blanks=fix_view.blanks_of(fields, head.summary) if isinstance(fix, Fill) or fields.get("op") == "fill" else [],
        ticks=fix_view.ticks_of(fix, head.summary) if isinstance(fix, Mask) and problem == "pii" else [],
        asks_number=next((name for name in ("most", "tokens") if name in fields), ""), is_keeping=isinstance(fix, KeepBest),
    )  # fmt: skip


def _rows(fields: dict[str, str]) -> dict[str, str]:
    return {"rows": fields["rows"]} if fields.get("rows") else {}
