"""What prompts alone reach on a dataset's test rows, before anything is tuned: what is measured, what came of it, and what that advises."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.domain.goals import Answers, Output
from app.domain.guide import FEW, NEEDED, Goal
from app.domain.metrics import TITLES, Metric, Score, Shape, measures_of, score
from app.domain.text import Text

DEFAULT_ROWS, MOST_ROWS = 64, 200
DEFAULT_EXAMPLES, MOST_EXAMPLES = 4, 16
ROWS_A_TURN = 4
"""All models get so many rows, in all ways, before the next: what is left then takes as long for each answer as what is done."""
FEW_ROWS = 20
"""Fewer test rows say little: the page says so."""
ENOUGH, ENOUGH_AT_LEAST = 0.95, 0.90
"""A prompt is good enough to ship when it reaches so much, and its interval begins no lower than that."""
LOOKING_UP_LIFTS = 0.15
"""Looked-up rows in the prompt lift a lot when they bring so much more than the best prompt without them."""


class Way(StrEnum):
    """How a model is asked."""

    ZERO_SHOT = "zero_shot"
    FEW_SHOT = "few_shot"
    RETRIEVAL = "retrieval"


WAYS: dict[Way, tuple[str, str]] = {
    Way.ZERO_SHOT: ("Zero-shot", "the row's own prompt and nothing else"),
    Way.FEW_SHOT: ("Few-shot", "the most similar training rows as turns before it, the most similar last"),
    Way.RETRIEVAL: ("Retrieval", "the nearest training rows as text to look up, in the system prompt"),
}


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _once(ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """A way that is named twice is measured once: its answers would count twice, and their interval look narrower than it is."""
    return tuple(dict.fromkeys(ways))


class BaselineRequest(_Value):
    """What a person wants measured, from the form or over REST."""

    dataset_id: Text = Field(min_length=1, max_length=64, description="Whose test rows are asked; only its training rows are shown.")
    base_model: Text = Field(min_length=1, max_length=500, description="A model that this studio can ask, by its name.")
    methods: Annotated[tuple[Way, ...], AfterValidator(_once)] = Field(
        tuple(Way), min_length=1, max_length=3, description="How it is asked, each way once; all three when left out."
    )
    k: int = Field(DEFAULT_EXAMPLES, ge=1, le=MOST_EXAMPLES, description="Training rows shown in few-shot and retrieval prompts.")
    rows: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="Test rows asked, the same ones every time: those of the lowest hash.")
    max_tokens: int = Field(256, ge=1, le=4096, description="Longest answer in tokens.")
    outside: Text | None = Field(None, max_length=64, description="A connection to an outside model, measured beside the base.")
    prompt_price: Annotated[float, Field(ge=0, le=10_000)] | None = Field(
        None, description="Of the outside model, per million prompt tokens."
    )
    answer_price: Annotated[float, Field(ge=0, le=10_000)] | None = Field(
        None, description="Of the outside model, per million answer tokens."
    )


class AskedModel(_Value):
    """A model that is measured: one of this studio with its folders, or an outside one by its connection."""

    name: str
    place: dict[str, str | None] | None = Field(None, description="The folders that the inference server answers from.")
    connection_id: str | None = None
    prompt_price: float | None = None
    answer_price: float | None = None

    @property
    def is_outside(self) -> bool:
        """Whether rows leave this studio to ask it."""
        return self.connection_id is not None


class Plan(_Value):
    """What is measured, settled when it was asked for."""

    dataset: str = Field(description="The dataset's name at that time.")
    models: tuple[AskedModel, ...]
    methods: tuple[Way, ...]
    k: int
    rows: int
    max_tokens: int
    goal: Goal | None = Field(None, description="What a tuned model is for, which says how many rows are enough.")
    metric: Metric | None = Field(None, description="What its answers are compared by; None where what they look like decides.")

    @property
    def asked(self) -> int:
        """How many answers are wanted in all."""
        return self.rows * self.answers_a_row

    @property
    def answers_a_row(self) -> int:
        """How many answers are wanted to each row."""
        return len(self.models) * len(self.methods)


class Said(_Value):
    """What a model answered to one row in one way; every score of it is kept."""

    model: int = Field(description="Which of the plan's models.")
    way: Way
    row: int = Field(description="The row's number, as people call it.")
    text: str = ""
    is_cut: bool = Field(False, description="It would have gone on.")
    refused: str = Field("", description="Why there is no answer; such a row counts as wrong.")
    examples: tuple[int, ...] = Field((), description="The training rows that were shown, by their numbers.")
    seconds: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    scores: dict[Metric, float] = Field(default_factory=dict)


class RowSaid(_Value):
    """One test row with all that was answered to it."""

    row: int
    prompt: str
    expected: str
    said: tuple[Said, ...]


class Measured(_Value):
    """One model asked in one way, over all rows."""

    model: int
    way: Way
    rows: int
    scores: dict[Metric, Score]
    seconds: float = Field(description="A mean answer.")
    prompt_tokens: int | None = Field(None, description="All of them together; None where the server does not count.")
    answer_tokens: int | None = None
    cut: int = 0
    refused: int = 0
    shortened: int = Field(0, description="Prompts with fewer examples than wanted, since more did not fit the model's context.")
    examples: float = Field(0.0, description="Examples in a mean prompt.")


class Results(_Value):
    """What came of a measurement, without the rows' own answers."""

    shape: Shape
    metric: Metric | None = Field(None, description="What the plan compares by, where that fits the answers.")
    labels: int = 0
    rows: int
    test_rows: int = Field(description="How many there are to choose from.")
    training_rows: int = Field(description="How many examples were chosen from.")
    notes: tuple[str, ...] = ()
    measured: tuple[Measured, ...]

    @property
    def primary(self) -> Metric:
        """What ways are compared by."""
        return measures_of(self.shape, self.metric)[0]

    def score_of(self, measured: Measured) -> Score:
        """Return the score that ways are compared by."""
        return measured.scores[self.primary]

    @property
    def best(self) -> Measured:
        """The way that reaches most; of equal ones the one that was listed first, which is the simpler one."""
        return max(self.measured, key=lambda each: self.score_of(each).value)


class Advice(StrEnum):
    """What a measurement advises."""

    PROMPT = "prompt"
    RETRIEVAL = "retrieval"
    EXAMPLES = "examples"
    COLLECT = "collect"
    TUNE = "tune"


LEADS = {
    Advice.PROMPT: "A prompt is enough",
    Advice.RETRIEVAL: "Look rows up first",
    Advice.EXAMPLES: "Put examples into the prompt first",
    Advice.COLLECT: "Collect more rows first",
    Advice.TUNE: "Tuning is worth trying",
}
"""What is advised, in a few words."""


class Verdict(NamedTuple):
    """The sentence a page begins with, what is advised, and why."""

    sentence: str
    advice: Advice
    why: str

    @property
    def lead(self) -> str:
        """The advice in a few words."""
        return LEADS[self.advice]


def compared_by(answers: Answers) -> Metric | None:
    """Return what a goal's answers are compared by; None where what they look like decides.

    A text that comes back changed is nearly the same before anything is done to it: only the very text that is wanted counts as right.
    """
    return Metric.EXACT if answers.what is Goal.MASK or answers.output is Output.SAME_TEXT else None


def verdict_on(results: Results, plan: Plan) -> Verdict:
    """Say what tuning would have to beat, and whether it is worth trying."""
    best = results.best
    reached = results.score_of(best)
    with_model = len(plan.models) > 1
    others = [each for each in results.measured if each is not best]
    told = "; ".join(f"{_by(each, plan, with_model=with_model)} {_whole(results.score_of(each).value)}" for each in others)
    sentence = f"Tuning has to beat {_whole(reached.value)} (±{100 * reached.margin:.0f}): {_by(best, plan)}{f'; {told}' if told else ''}."
    advice, why = _advised(results, plan)
    if results.rows < FEW_ROWS:
        only = "This is only 1 row" if results.rows == 1 else f"These are only {results.rows} rows"
        why += f" {only}: with more, the figures would be surer."
    return Verdict(sentence, advice, why)


def _advised(results: Results, plan: Plan) -> tuple[Advice, str]:
    best = results.best
    reached = results.score_of(best)
    if reached.value >= ENOUGH and reached.low >= ENOUGH_AT_LEAST:
        words = (
            f"Don't tune for quality: {_by(best, plan)} reaches {_whole(reached.value)} ({TITLES[results.primary][0].lower()}), and at "
            f"least {_whole(reached.low)} as far as chance goes."
        )
        if plan.models[best.model].is_outside:
            words += " It is an outside model, though: tuning is for when rows may not leave, or each answer costs too much."
        return Advice.PROMPT, words
    without = max((results.score_of(each).value for each in results.measured if each.way is not Way.RETRIEVAL), default=None)
    if best.way is Way.RETRIEVAL and without is not None and reached.value - without >= LOOKING_UP_LIFTS and reached.low > without:
        return Advice.RETRIEVAL, (
            f"With the nearest rows in the prompt it reaches {_whole(reached.value)}, without {_whole(without)}. What is missing is "
            "knowledge, and that is better looked up than trained. Tune on top of it if the form is still wrong."
        )
    advice, words = _advised_by_rows(results.training_rows, plan.goal)
    return advice, (
        f"No prompt reaches {_whole(ENOUGH)} with certainty. {words}Afterwards compare on these rows: a tuned model that does not get "
        f"above {_whole(reached.high)} may owe it to chance."
    )


def _advised_by_rows(rows: int, goal: Goal | None) -> tuple[Advice, str]:
    """Return whether so many training rows are worth tuning on, and why not; for a goal that nobody named, the fewest are enough."""
    needed = NEEDED[goal or Goal.FORMAT]
    have = f"{rows:,} training row{'s' if rows != 1 else ''}"
    if rows <= FEW:
        return Advice.EXAMPLES, (
            f"But from {have} a model learns little except to repeat them: they do more inside the prompt. "
            f"Tune when you have {needed.about} good ones. "
        )
    if rows < needed.low:
        return Advice.COLLECT, f"But there are only {have}, of {needed.about} that are mostly enough. "
    return Advice.TUNE, ""


def _by(measured: Measured, plan: Plan, *, with_model: bool = True) -> str:
    """Name the way a model is asked, and the model."""
    shown = "" if measured.way is Way.ZERO_SHOT else f" with {plan.k} example{'s' if plan.k != 1 else ''}"
    return f"{WAYS[measured.way][0].lower()}{shown}" + (f" on {plan.models[measured.model].name.rsplit('/', 1)[-1]}" if with_model else "")


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def cost_of(measured: Measured, model: AskedModel) -> float | None:
    """Return what the answers cost, in the currency the prices were given in; None where a price or a count is missing."""
    prices = (model.prompt_price, measured.prompt_tokens), (model.answer_price, measured.answer_tokens)
    if any(price is None or tokens is None for price, tokens in prices):
        return None
    return sum((price or 0.0) * (tokens or 0) for price, tokens in prices) / 1e6


def sum_up(plan: Plan, said: list[Said], shape: Shape, **counts: Any) -> Results:
    """Return the results over all rows; `counts` are the fields of Results that only who chose the rows knows."""
    measured = []
    for model in range(len(plan.models)):
        for way in plan.methods:
            mine = [each for each in said if each.model == model and each.way is way]
            if mine:
                scores = {
                    metric: score(metric, [each.scores.get(metric, 0.0) for each in mine]) for metric in measures_of(shape, plan.metric)
                }
                measured.append(_measured(plan, mine, scores))
    return Results(shape=shape, metric=plan.metric, measured=tuple(measured), **counts)


def _measured(plan: Plan, mine: list[Said], scores: dict[Metric, Score]) -> Measured:
    answered = [each for each in mine if not each.refused]
    way = mine[0].way
    wanted = 0 if way is Way.ZERO_SHOT else plan.k
    return Measured(
        model=mine[0].model, way=way, rows=len(mine), scores=scores,
        seconds=sum(each.seconds for each in answered) / len(answered) if answered else 0.0,
        prompt_tokens=_total([each.prompt_tokens for each in answered]), answer_tokens=_total([each.answer_tokens for each in answered]),
        cut=sum(each.is_cut for each in mine), refused=len(mine) - len(answered),
        shortened=sum(len(each.examples) < wanted for each in mine), examples=sum(len(each.examples) for each in mine) / len(mine),
    )  # fmt: skip


def _total(counts: list[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if counts and len(known) == len(counts) else None
