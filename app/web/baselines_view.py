"""Measurements as pages show them: lines of a list, the ways with their ranges drawn, and rows with what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.domain.baselines import DEFAULT_EXAMPLES, DEFAULT_ROWS, WAYS, Advice, BaselineRequest, Way, cost_of
from app.domain.metrics import SHARES, TITLES, Metric
from app.domain.runs import ENDED, RunStatus
from app.domain.specs import STARTER
from app.services.baselines import plan_of, seconds_left, verdict_of
from app.web import looks, words
from app.web.forms import Form, messages_of
from app.web.word_diff import GONE, Comparing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Baseline
    from app.domain.baselines import Measured, Plan, Results, RowSaid, Said, Verdict
    from app.domain.metrics import Score
    from app.web.looks import Look
    from app.web.rows_view import Piece

ROWS_SHOWN = 10
FIELDS = frozenset(BaselineRequest.model_fields)
RIGHT = 1.0
TONES = {Advice.PROMPT: "ok", Advice.TUNE: ""}
"""Tones of advice; all other advice is to do something else first."""


class Only(StrEnum):
    """Which rows of a measurement are shown."""

    ALL = ""
    WRONG = "wrong"
    DIFFER = "differ"


class Asked(BaseModel):
    """What the address of a measurement's page asks for."""

    model_config = ConfigDict(frozen=True)

    only: Only = Only.ALL
    after: int = Field(0, ge=0, le=1000)

    def address(self, *, only: Only | None = None, after: int = 0) -> str:
        """Return the query of other rows."""
        parts = [f"only={chosen}" if (chosen := self.only if only is None else only) else "", f"after={after}" if after else ""]
        query = "&".join(filter(None, parts))
        return f"?{query}" if query else ""


class Drawn(NamedTuple):
    """A score with its range as it is drawn, on a scale from 0 to 100, and in words."""

    title: str
    help: str
    value: str
    low: float
    high: float
    at: float
    words: str


@dataclass(frozen=True)
class Line:
    """One way in the table."""

    measured: Measured
    name: str
    model: str
    is_outside: bool
    is_best: bool
    scores: list[Drawn]
    cost: float | None
    notes: list[str]


class Answer(NamedTuple):
    """What one way answered to a row; `score` is by what ways are compared by."""

    name: str
    said: Said
    pieces: list[Piece]
    score: float
    is_right: bool


class Shown(NamedTuple):
    """A row as it is shown."""

    row: RowSaid
    answers: list[Answer]


@dataclass(frozen=True)
class Head:
    """A measurement's state, for its page and for lists."""

    row: Baseline
    plan: Plan
    look: Look
    is_live: bool
    sentence: str
    verdict: Verdict | None

    @property
    def tone(self) -> str:
        """How the advice is shown."""
        return TONES.get(self.verdict.advice, "wait") if self.verdict else ""

    @property
    def here(self) -> str:
        """Its address."""
        return f"/baselines/{self.row.id}"

    @property
    def models(self) -> str:
        """Whom it asks."""
        return ", ".join(short(model.name) for model in self.plan.models)

    @property
    def ways(self) -> str:
        """How it asks."""
        return ", ".join(WAYS[way][0].lower() for way in self.plan.methods)


def head_of(row: Baseline) -> Head:
    """Return a measurement as lists and its page begin with it."""
    plan, verdict, status = plan_of(row), verdict_of(row), RunStatus(row.status)
    sentence = verdict.sentence if verdict else _state(row, status)
    return Head(row, plan, looks.run_look(row.status), status not in ENDED, sentence, verdict)


def _state(row: Baseline, status: RunStatus) -> str:
    if status == RunStatus.QUEUED and row.done:
        return f"Waiting to go on: {words.plural(row.done, 'answer')} of {words.count(row.total)} are kept."
    if status == RunStatus.RUNNING and row.reason:
        return f"Waiting, with {words.count(row.done)} of {words.plural(row.total, 'answer')}. {row.reason}"
    if status == RunStatus.RUNNING:
        left = seconds_left(row)
        tail = f"; about {words.span(left)} left" if left is not None else ""
        return f"Asking: {words.count(row.done)} of {words.plural(row.total, 'answer')}{tail}."
    return {
        RunStatus.QUEUED: "Waiting for a worker.",
        RunStatus.STARTING: "Starting: choosing rows and examples.",
        RunStatus.FINALIZING: "All asked, summing up.",
        RunStatus.CANCELLING: "Cancelling.",
        RunStatus.CANCELLED: "Cancelled; nothing was kept.",
        RunStatus.FAILED: row.reason or "It failed.",
    }.get(status, looks.run_look(status).word)


def lines_of(results: Results, plan: Plan) -> list[Line]:
    """Return the ways, those that reach most first."""
    best = results.best
    ranked = sorted(results.measured, key=lambda each: -results.score_of(each).value)
    return [_line(each, results, plan, is_best=each is best) for each in ranked]


def _line(each: Measured, results: Results, plan: Plan, *, is_best: bool) -> Line:
    model = plan.models[each.model]
    scores = [drawn(metric, score) for metric, score in sorted(each.scores.items(), key=lambda item: item[0] != results.primary)]
    notes = [
        (each.shortened, f"{words.plural(each.shortened, 'prompt')} with fewer examples, since {plan.k} did not fit"),
        (each.cut, f"{words.plural(each.cut, 'answer')} cut at {words.plural(plan.max_tokens, 'token')}"),
        (each.refused, f"{words.plural(each.refused, 'row')} without an answer"),
    ]
    return Line(
        each,
        WAYS[each.way][0],
        short(model.name),
        model.is_outside,
        is_best,
        scores,
        cost_of(each, model),
        [words for n, words in notes if n],
    )


def drawn(metric: Metric, score: Score) -> Drawn:
    """Return a score as it is drawn: all measures are between 0 and 1."""
    title, help_ = TITLES[metric]
    value, low, high = (100 * part for part in (score.value, score.low, score.high))
    said = f"{title} {value:.0f} %, between {low:.0f} and {high:.0f} % as far as chance goes"
    return Drawn(title, help_, f"{value:.0f} %", round(low, 1), round(high, 1), round(min(max(value, 1.0), 99.0), 1), said)


def metrics_of(results: Results) -> list[tuple[str, str]]:
    """Return what was measured, as titles with what they mean."""
    return [TITLES[metric] for metric in results.measured[0].scores]


def rows_shown(rows: Sequence[RowSaid], results: Results, plan: Plan, asked: Asked) -> tuple[list[Shown], int]:
    """Return one page of the rows that are wanted, and how many such rows there are."""
    best = results.best
    wanted = [row for row in rows if _is_wanted(row, results, (best.model, best.way), asked.only)]
    comparing = Comparing()
    return [_shown(row, results, plan, comparing) for row in wanted[asked.after : asked.after + ROWS_SHOWN]], len(wanted)


def _is_wanted(row: RowSaid, results: Results, best: tuple[int, Way], only: Only) -> bool:
    scores = {(said.model, said.way): said.scores.get(results.primary, 0.0) for said in row.said}
    if only is Only.WRONG:
        return scores.get(best, 0.0) < RIGHT
    return only is Only.ALL or len(set(scores.values())) > 1


def _shown(row: RowSaid, results: Results, plan: Plan, comparing: Comparing) -> Shown:
    answers = []
    for said in row.said:
        score = said.scores.get(results.primary, 0.0)
        pieces = comparing.merged(row.expected, said.text) if said.text else []
        name = WAYS[said.way][0] + (f" · {short(plan.models[said.model].name)}" if len(plan.models) > 1 else "")
        answers.append(Answer(name, said, [piece for piece in pieces if piece.kind != GONE], score, score >= RIGHT))
    return Shown(row, answers)


def is_share(results: Results) -> bool:
    """Return whether an answer is right or wrong as a whole by what ways are compared by."""
    return results.primary in SHARES


def short(name: str) -> str:
    """Return a model's name without the folders or the organisation before it."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def _given(value: object) -> object:
    """A form sends the fields that nobody filled in too."""
    return None if value == "" else value


Blank = BeforeValidator(_given)


class _Typed(BaselineRequest):
    outside: Annotated[str | None, Blank] = None
    prompt_price: Annotated[float | None, Blank, Field(ge=0, le=10_000)] = None
    answer_price: Annotated[float | None, Blank, Field(ge=0, le=10_000)] = None


def fresh_form(given: dict[str, str]) -> Form:
    """Return the form as it begins: all ways, and what the address names."""
    begun = {"base_model": STARTER, "rows": str(DEFAULT_ROWS), "k": str(DEFAULT_EXAMPLES), "max_tokens": "256"} | dict.fromkeys(Way, "1")
    return Form(begun | {name: value for name, value in given.items() if name in FIELDS and value})


def parse(fields: dict[str, str]) -> BaselineRequest | Form:
    """Return what a posted form asks for, or the form with what is wrong."""
    given: dict[str, Any] = {name: value.strip() for name, value in fields.items() if name in FIELDS} | {
        "methods": [way for way in Way if fields.get(way)]
    }
    try:
        typed = _Typed.model_validate(given)
    except ValidationError as error:
        messages = messages_of(error)
        return Form(fields, messages | ({"methods": "Choose at least one."} if "methods" in messages else {}))
    return BaselineRequest.model_validate(typed.model_dump())
