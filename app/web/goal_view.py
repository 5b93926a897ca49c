"""The page of the goal: what was answered, the ladder that follows from it, and the next thing to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from pydantic import ValidationError

from app.domain.datasets import DatasetStatus
from app.domain.goals import OUTPUTS, Answers
from app.domain.guide import NEEDED, Enough, Goal
from app.domain.ladder import COSTS, TITLES, VERDICTS, Ladder, Rung, Verdict, climb
from app.domain.metrics import TITLES as METRIC_TITLES
from app.domain.narrowing import PAIRS, hints
from app.domain.specs import STARTER, setting_label
from app.web.forms import Form, messages_of
from app.web.looks import Look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.db import Dataset
    from app.domain.goals import Known
    from app.domain.narrowing import Hint, Pair
    from app.domain.recipes import Recipe
    from app.web.visit import Visit

LOOKS = {
    Verdict.FIRST: Look(VERDICTS[Verdict.FIRST], "next", "run"),
    Verdict.ENOUGH: Look(VERDICTS[Verdict.ENOUGH], "done", "ok"),
    Verdict.WORTH: Look(VERDICTS[Verdict.WORTH], "done", "ok"),
    Verdict.LATER: Look(VERDICTS[Verdict.LATER], "waiting", "wait"),
    Verdict.DONE: Look(VERDICTS[Verdict.DONE], "check", ""),
    Verdict.BESIDE: Look(VERDICTS[Verdict.BESIDE], "plus", "ok"),
    Verdict.NOT: Look(VERDICTS[Verdict.NOT], "cancel", ""),
}
HAVE = ("documents", "large_model")
TRIED = ("tried_prompt", "tried_examples", "tried_documents")
NEEDS = ("news", "fast", "private", "many")


class Choice(NamedTuple):
    """A goal as a card."""

    goal: Goal
    needed: Enough
    is_chosen: bool


class Action(NamedTuple):
    """A link to the next thing to do."""

    label: str
    href: str


class Line(NamedTuple):
    """One rung as it is drawn."""

    rung: Rung
    title: str
    cost: str
    look: Look
    reason: str
    decides: bool


@dataclass(frozen=True)
class Sheet:
    """The form as it was filled in, and what follows from it."""

    form: Form
    answers: Answers
    ladder: Ladder
    known: Known
    ready: Dataset | None
    is_kept: bool
    """Whether this is what was saved."""

    @property
    def choices(self) -> list[Choice]:
        """The goals as cards."""
        return [Choice(goal, needed, goal is self.answers.what) for goal, needed in NEEDED.items()]

    @property
    def lines(self) -> list[Line]:
        """The rungs, the cheapest first."""
        return [
            Line(step.rung, TITLES[step.rung], COSTS[step.rung], LOOKS[step.verdict], step.reason, step.rung is self.ladder.decided_by)
            for step in self.ladder.steps
        ]

    @property
    def hints(self) -> list[Hint]:
        """What keeps the task from being narrow."""
        return hints(self.answers.task, self.answers.output)

    @property
    def pairs(self) -> Sequence[Pair]:
        """How others put a task for this goal, too widely and narrowly."""
        return PAIRS[self.answers.what or Goal.FORMAT]

    @property
    def action(self) -> Action:
        """The next thing to do."""
        if self.answers.is_blank and not self.known.rows:
            return Action("Start from a recipe", "#recipes")
        if self.ladder.says_tune:
            return Action("Train on it" if self.ready else "Bring your examples", _training(self.ready))
        if self.ladder.decided_by in {Rung.PROMPT, Rung.DOCUMENTS} and self.ready:
            return Action("Measure what a prompt reaches", f"/baselines?{urlencode({'dataset_id': self.ready.id})}")
        return Action("Bring your examples", "/datasets#upload")


def _training(ready: Dataset | None) -> str:
    return f"/runs/new?{urlencode({'dataset_id': ready.id})}" if ready else "/datasets#upload"


def sheet(visit: Visit, given: Mapping[str, str]) -> Sheet:
    """Return the page for what was typed; what makes no sense is left out of the advice and told beside its field."""
    values = {name: given[name].strip() for name in Answers.model_fields if given.get(name, "").strip()}
    errors: dict[str, str] = {}
    try:
        answers = Answers.model_validate(values)
    except ValidationError as error:
        errors = messages_of(error)
        answers = Answers.model_validate({name: value for name, value in values.items() if name not in errors})
    known, ready = visit.goals.known(visit.identity), visit.datasets.ready(visit.identity).newest
    is_kept = not errors and answers == visit.goals.answers(visit.identity)
    return Sheet(Form(values, errors), answers, climb(answers, known), known, ready, is_kept)


def values_of(answers: Answers) -> dict[str, str]:
    """Return answers as the form's fields."""
    kept = answers.model_dump(mode="json", exclude_defaults=True)
    return {name: "on" if value is True else f"{value:g}" if isinstance(value, float) else str(value) for name, value in kept.items()}


def fields() -> dict[str, Any]:
    """Return what the form asks, by field: its title and help stand in the one model of the answers."""
    return {
        "asked": Answers.model_fields,
        "outputs": [("", "Not decided yet"), *OUTPUTS.items()],
        "have": HAVE,
        "tried": TRIED,
        "needs": NEEDS,
    }


def fitting(recipes: Sequence[Recipe], answers: Answers) -> list[tuple[Recipe, bool]]:
    """Return the recipes with whether each is for this goal, those first."""
    marked = [(recipe, recipe.goal is answers.what) for recipe in recipes]
    return sorted(marked, key=lambda one: not one[1])


@dataclass(frozen=True)
class Shown:
    """A recipe's page: the recipe, and the dataset that its sample has become."""

    recipe: Recipe
    bases: Sequence[tuple[str, str]]
    dataset: Dataset | None

    @property
    def is_live(self) -> bool:
        """Whether the page changes by itself."""
        return self.dataset is not None and self.dataset.status == DatasetStatus.IMPORTING

    @property
    def is_ready(self) -> bool:
        """Whether one can train on the sample."""
        return self.dataset is not None and self.dataset.status == DatasetStatus.READY

    @property
    def here(self) -> str:
        """The page's address."""
        address = f"/goal/recipes/{self.recipe.slug}"
        return f"{address}?{urlencode({'dataset_id': self.dataset.id})}" if self.dataset else address

    @property
    def training(self) -> str:
        """Where a run begins that has this recipe's settings filled in."""
        settings = {name: str(value) for name, value in self.recipe.settings.items()}
        chosen = {"dataset_id": self.dataset.id} if self.dataset else {}
        return f"/runs/new?{urlencode({**chosen, 'base_model': STARTER, 'preset': self.recipe.preset, **settings})}"

    @property
    def metrics(self) -> list[tuple[str, str]]:
        """What is measured, by its name and in a sentence."""
        return [METRIC_TITLES[metric] for metric in self.recipe.metrics]

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The settings that differ from the preset's, by what people call them."""
        return [(setting_label(name), str(value)) for name, value in self.recipe.settings.items()]


def shown(visit: Visit, slug: str, dataset_id: str | None) -> Shown:
    """Return a recipe's page, NotFound where there is no such recipe, or no such dataset here."""
    recipe = visit.studio.recipes.find(slug)
    known = {model.slug: model for model in visit.studio.catalog.models}
    bases = [(base, known[base].name) for base in recipe.bases if base in known]
    return Shown(recipe, bases, visit.datasets.get(visit.identity, dataset_id) if dataset_id else None)
