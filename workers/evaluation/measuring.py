"""One measurement from its first question to its sums: each answer is written down as it comes, and a later attempt goes on from there."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.baselines import ROWS_A_TURN, Plan, RowSaid, Said, Way, sum_up
from app.domain.errors import Invalid
from app.domain.metrics import Shape, labels_in, normalised, scores_of, shape_of
from workers.evaluation.asking import Asker, Refused, TooLong, kept
from workers.evaluation.lanes import Lanes, go_along
from workers.evaluation.patience import PATIENCE_SECONDS, Patience
from workers.evaluation.prompts import Material, Prompts, Question, messages_for, read_material

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from io import TextIOWrapper

    from app.domain.metrics import Metric

    Task = Callable[[], None]

OUTSIDE_AT_ONCE = 4
"""Questions to an outside model. This studio's own gets one: several in one batch may be answered otherwise, see docs/baselines.md."""
SIGN_SECONDS = 5.0
"""While nothing is answered it is told so often what for."""
MOST_KEPT = 2_000
"""Characters of a text that are kept to be read."""
REFUSED_ROWS_BEFORE_GIVING_UP = 3
"""A model that has refused so many rows, and answered none, will refuse the others."""
TOO_FEW_TO_TELL = 10
"""With fewer training rows the test rows' answers say too what answers look like."""


class Address(BaseModel):
    """Where one of the plan's models is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    model: str
    place: dict[str, str | None] | None = None
    private_allowed: bool = False


class BaselineSpec(BaseModel):
    """What a child is told: the rows, the plan, whom to ask, and where its answers and those of earlier attempts stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: Path
    plan: Plan
    addresses: list[Address]
    answers: Path
    earlier: list[Path] = []
    results: Path
    patience_seconds: float = PATIENCE_SECONDS

    def askers(self, keys: Sequence[str | None]) -> list[Asker]:
        """Return what asks each model, with its key."""
        return [
            Asker(each.url, each.model, key, each.place, each.private_allowed, Patience(self.patience_seconds))
            for each, key in zip(self.addresses, keys, strict=True)
        ]


class Measuring:
    """Asks everything that has not been answered yet."""

    def __init__(self, spec: BaselineSpec, askers: Sequence[Asker]) -> None:
        self._spec, self._askers = spec, askers
        self.material = read_material(spec.rows, spec.plan.rows, shows_examples=set(spec.plan.methods) != {Way.ZERO_SHOT})
        self._prompts = Prompts(self.material, spec.plan.k)
        self._shape, self._labels = _shape(self.material)
        self._said = {(each.model, each.way, each.row): each for each in _read_earlier(spec.earlier)}
        self._noting, self._waited_for = threading.Lock(), ""
        self.total = len(self.material.asked) * spec.plan.answers_a_row

    @property
    def done(self) -> int:
        """How many answers there are."""
        return len(self._said)

    @property
    def contacted(self) -> list[str]:
        """The hosts outside that were spoken to."""
        return list(dict.fromkeys(host for asker in self._askers for host in asker.contacted))

    def ask_all(self, progress: Callable[[int, int, int], None], waits: Callable[[str], None]) -> None:
        """Ask what is left, telling after each answer how far this is; StudioError when a model cannot be asked at all.

        `waits` hears again and again what for, as long as nothing is answered since a model is busy or away.
        """

        def tell() -> None:
            progress(self.done, self.total, self.done // self._spec.plan.answers_a_row)

        asked = self.material.asked
        with self._spec.answers.open("a", encoding="utf-8") as file:
            for begun in range(0, len(asked), ROWS_A_TURN):
                lanes = self._lanes(asked[begun : begun + ROWS_A_TURN], file)
                go_along(lanes, done=tell, look=partial(self._look, tell, waits), look_seconds=SIGN_SECONDS)
                self._check_refusals()
        tell()

    def write_results(self) -> None:
        """Write sums and answers into the results' file."""
        material, plan = self.material, self._spec.plan
        said = [self._said[model, way, question.number] for question in material.asked for model, way in self._wanted()]
        results = sum_up(
            plan, said, self._shape, labels=len(self._labels), rows=len(material.asked), test_rows=material.test_rows,
            training_rows=len(material.examples), notes=material.notes,
        )  # fmt: skip
        rows = [
            RowSaid(
                row=question.number, prompt=_cut(question.whole), expected=_cut(question.answer),
                said=tuple(self._said[model, way, question.number] for model, way in self._wanted()),
            ).model_dump(mode="json", exclude_defaults=True)
            for question in material.asked
        ]  # fmt: skip
        written = {"results": results.model_dump(mode="json"), "answers": {"rows": rows}}
        self._spec.results.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    def _wanted(self) -> list[tuple[int, Way]]:
        return [(model, way) for model in range(len(self._askers)) for way in self._spec.plan.methods]

    def _lanes(self, questions: list[Question], file: TextIOWrapper) -> list[Lanes]:
        """Return what is left to be asked of some rows: outside models are asked at the same time, those of this studio one after another.

        The inference server keeps one base loaded: asked by turns, two would be loaded anew for every question.
        """
        own: list[Task] = []
        outside: list[list[Task]] = []
        chosen = [(question, self._prompts.examples_for(question)) for question in questions]
        for model, asker in enumerate(self._askers):
            tasks = [task for question, examples in chosen for task in self._tasks(model, question, examples, file)]
            if asker.is_outside:
                outside.append(tasks)
            else:
                own += tasks
        return [Lanes(own, 1), *(Lanes(tasks, OUTSIDE_AT_ONCE) for tasks in outside)]

    def _tasks(self, model: int, question: Question, examples: list[Question], file: TextIOWrapper) -> Iterator[Task]:
        for way in self._spec.plan.methods:
            if (model, way, question.number) not in self._said:
                shown = [] if way is Way.ZERO_SHOT else examples
                yield partial(self._ask_and_note, model, way, question, shown, file)

    def _check_refusals(self) -> None:
        """Give up when a model refuses whatever it is asked; not before some rows are through, since refusals come sooner than answers."""
        for model in range(len(self._askers)):
            mine = [each for each in self._said.values() if each.model == model]
            if all(each.refused for each in mine) and len({each.row for each in mine}) >= REFUSED_ROWS_BEFORE_GIVING_UP:
                raise Invalid(mine[0].refused, code="model_refuses")

    def _look(self, tell: Callable[[], None], waits: Callable[[str], None]) -> None:
        why = next(filter(None, (asker.patience.waits_for for asker in self._askers)), "")
        if why or self._waited_for:
            tell()  # the last answers before the wait, which may have come too quickly to be told; or that it is over
        if why:
            waits(why)
        self._waited_for = why

    def _ask_and_note(self, model: int, way: Way, question: Question, examples: list[Question], file: TextIOWrapper) -> None:
        said = self._ask(model, way, question, examples)
        with self._noting:
            file.write(said.model_dump_json() + "\n")
            file.flush()
            self._said[model, way, question.number] = said

    def _ask(self, model: int, way: Way, question: Question, examples: list[Question]) -> Said:
        """Ask with as many examples as the model's context holds."""
        shown, asker = examples, self._askers[model]
        while True:
            try:
                reply = asker.ask(messages_for(way, question, shown), self._spec.plan.max_tokens)
            except TooLong:
                if not shown:
                    return self._refused(model, way, question, "The prompt alone is longer than its context.")
                shown = shown[: len(shown) // 2]
            except Refused as why:
                return self._refused(model, way, question, str(why))
            else:
                break
        return Said(
            model=model, way=way, row=question.number, text=_cut(reply.text), is_cut=reply.is_cut, seconds=reply.seconds,
            examples=tuple(each.number for each in shown), prompt_tokens=reply.prompt_tokens, answer_tokens=reply.answer_tokens,
            scores=self._scores(question, reply.text),
        )  # fmt: skip

    def _refused(self, model: int, way: Way, question: Question, why: str) -> Said:
        nothing = dict.fromkeys(self._scores(question, ""), 0.0)
        return Said(model=model, way=way, row=question.number, refused=why[:MOST_KEPT], scores=nothing)

    def _scores(self, question: Question, answer: str) -> dict[Metric, float]:
        return scores_of(self._shape, question.answer, answer, self._labels, self._spec.plan.metric)


def _shape(material: Material) -> tuple[Shape, frozenset[str]]:
    """Say what answers look like, and which labels there are: by the training rows, of which there are more."""
    tested = [each.answer for each in material.asked]
    answers = [each.answer for each in material.examples]
    answers = answers if len(answers) >= TOO_FEW_TO_TELL else [*answers, *tested]
    shape = shape_of(answers)
    return shape, labels_in(answers) | {normalised(each) for each in tested} if shape is Shape.LABELS else frozenset()


def _read_earlier(files: Iterable[Path]) -> list[Said]:
    """Return what earlier attempts were answered; a line that was being written when they ended is left out."""
    found = []
    for file in files:
        for line in file.read_bytes().splitlines() if file.is_file() else ():
            try:
                found.append(Said.model_validate_json(line))
            except ValidationError:
                continue
    return found


def _cut(text: str) -> str:
    return kept(text[:MOST_KEPT])
