"""The goal: what the model is for, and whether tuning is the right tool; and recipes to start from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from app.db.session import unit_of_work
from app.domain.errors import Invalid
from app.domain.goals import Answers
from app.web import goal_view
from app.web.dependencies import Act, Caller, Look, Posted, studio_of
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=100)]
DIGITS = 9
"""More than any number of rows or seed of a sample has."""


@router.get("/goal")
def show_goal(visit: Look) -> Response:
    """Show the goal as it was saved; or as it is being filled in, with the advice for that."""
    asked = {name: value for name, value in visit.request.query_params.items() if name in Answers.model_fields}
    return _page(visit, asked or goal_view.values_of(visit.goals.answers(visit.identity)))


@router.post("/goal")
def save_goal(visit: Act, fields: Posted) -> Response:
    """Keep the answers; or show them again with what is wrong beside its field."""
    sheet = goal_view.sheet(visit, fields)
    if sheet.form.errors:
        return _page(visit, fields, status=422)
    visit.goals.save(visit.identity, sheet.answers)
    return visit.go("/goal")


def _page(visit: Visit, values: dict[str, str], status: int = 200) -> Response:
    sheet, saved = goal_view.sheet(visit, values), visit.goals.get(visit.identity)
    return visit.page(
        "goal/goal.html", also=("goal_head",), status=status, sheet=sheet, form=sheet.form, ladder=sheet.ladder,
        saved_at=datetime.fromtimestamp(saved.updated_at, UTC) if saved else None,
        recipes=goal_view.fitting(visit.studio.recipes.listed(), sheet.answers), **goal_view.fields(),
    )  # fmt: skip


@router.get("/goal/recipes/{slug}")
def show_recipe(visit: Look, slug: Slug, dataset_id: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """Show a recipe; and, once its sample was added, how far that is and what comes next."""
    shown = goal_view.shown(visit, slug, dataset_id)
    return visit.page("goal/recipe.html", also=("live",), shown=shown, recipe=shown.recipe, dataset=shown.dataset)


@router.post("/goal/recipes/{slug}/sample")
def use_recipe(request: Request, caller: Caller, slug: Slug, fields: Posted) -> Response:
    """Add the recipe's sample like an upload, make its goal the project's unless that has one, and lead to what comes next."""
    studio = studio_of(request)
    rows, seed = _number(fields, "rows"), _number(fields, "seed")
    dataset, _ = studio.add_recipe_sample(caller, slug, rows=rows, seed=seed or 0)
    with unit_of_work(studio.engine) as session:
        studio.goals(session).adopt(caller, studio.recipes.find(slug).answers)
    return RedirectResponse(f"/goal/recipes/{slug}?{urlencode({'dataset_id': dataset.id})}#sample", 303)


def _number(fields: dict[str, str], name: str) -> int | None:
    """Return a whole number of a form; None where nothing was typed."""
    typed = fields.get(name, "").strip()
    if typed and not (typed.isascii() and typed.isdigit() and len(typed) <= DIGITS):
        raise Invalid("Give a whole number.", param=name)
    return int(typed) if typed else None
