"""The page that says which column is what, and shows at once what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from app.domain.datasets import DatasetStatus
from app.domain.errors import StudioError
from app.web import desk_view, mapping_view
from app.web.dependencies import Act, Look, Posted
from app.web.desk_view import DatasetId
from app.web.forms import Form
from app.web.visit import Visit

if TYPE_CHECKING:
    from app.db import Dataset

router = APIRouter(include_in_schema=False)


@router.get("/datasets/{dataset_id}/mapping")
def show_mapping(visit: Look, dataset_id: DatasetId) -> Response:
    """Show the columns, what each seems to be, and the first rows as conversations."""
    return page(visit, visit.datasets.get(visit.identity, dataset_id))


@router.post("/datasets/{dataset_id}/mapping/preview")
def preview_mapping(visit: Look, dataset_id: DatasetId, fields: Posted) -> Response:
    """Show what a mapping would make of the first rows; nothing is changed."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    mapped = mapping_view.mapped_from(mapping_view.columns_of(dataset), fields)
    return page(visit, dataset, mapped.form)


@router.post("/datasets/{dataset_id}/mapping")
def map_columns(visit: Act, dataset_id: DatasetId, fields: Posted) -> Response:
    """Say which column holds what, and have the files read again."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    mapped = mapping_view.mapped_from(mapping_view.columns_of(dataset), fields)
    if mapped.form.errors or mapped.form.general:
        return page(visit, dataset, mapped.form, status=422)
    try:
        visit.datasets.remap(visit.identity, dataset_id, mapped.mapping, fields.get("system"))
    except StudioError as error:
        if error.status >= 500:  # noqa: PLR2004 - a failure of ours is no fault of the form
            raise
        return page(visit, dataset, Form(fields, {}, error.message), status=error.status)
    return visit.go(f"/datasets/{dataset_id}")


def page(visit: Visit, dataset: Dataset, form: Form | None = None, *, status: int = 200) -> Response:
    """Answer with the form as it stands or was filled in."""
    columns, form = mapping_view.columns_of(dataset), form or mapping_view.form_of(dataset)
    mapped = mapping_view.mapped_from(columns, form.values)
    wrong = [*mapped.form.errors.values(), mapped.form.general]
    sample = dataset.report.get("sample", []) if dataset.report else []
    tab = "" if dataset.status == DatasetStatus.NEEDS_MAPPING else "mapping"
    return visit.page(
        "datasets/mapping.html", status=status, dataset=dataset, head=desk_view.head_of(visit.desk, dataset, tab), columns=columns,
        form=form, sample=sample[:5], roles=mapping_view.ROLES, words=mapping_view.WORDS, joinable=mapping_view.JOINED,
        joined=any(form.values.get(f"join-{role}") for role in mapping_view.JOINED), preview_errors=[told for told in wrong if told],
        tried=mapping_view.tried(mapped.mapping, sample, form.values.get("system", "")),
    )  # fmt: skip
