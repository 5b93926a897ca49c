"""The demo's course and its words: data, training, questions, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.launcher import show_in_browser
from tools.demo import work
from tools.demo.scoring import Score, fields_of, judge, score
from tools.demo.terminal import Progress, shorten, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tools.demo.work import Question
    from tools.running import RunningStudio

SHOWN = 5
RAMBLING = 26


def play(studio: RunningStudio, asked: argparse.Namespace) -> None:
    """Take the sample in, train on it, ask both models, and tell."""
    reading = Progress("Data")
    learned, held_out = work.take_in(studio, "train"), work.take_in(studio, "test")
    reading.end(f"{learned['rows']:,} e-mails to learn from, {held_out['rows']:,} held out")
    wanted: dict[str, Any] = {
        "name": f"Demo, {asked.preset}", "dataset_id": learned["id"], "eval_dataset_id": held_out["id"], "preset": asked.preset,
    }  # fmt: skip
    run = _train(studio, wanted | _cut(asked.max_steps))
    questions = work.questions_of(studio, held_out)[: asked.rows]
    tuned, base = _ask(studio, run["model"], questions, "tuned"), _ask(studio, work.BASE, questions, "base")
    _tell(studio, run, questions, base, tuned)


def _cut(steps: int | None) -> dict[str, Any]:
    """Return the settings of a run that only shows that it works: few steps, and one check at the end."""
    return {"settings": {"max_steps": steps, "eval_every_steps": steps}} if steps else {}


def _train(studio: RunningStudio, wanted: dict[str, Any]) -> dict[str, Any]:
    progress, shown = Progress("Training"), False

    def watch(run: dict[str, Any]) -> None:
        nonlocal shown
        if not shown:
            show_in_browser(f"{studio.address}/runs/{run['id']}")
            shown = True
        words = run["waiting_for"] or f"{run['status']}, step {run['step']} of {run['total_steps']}"
        progress.show(run["step"] / run["total_steps"], words)

    run = work.train(studio, wanted, watch)
    progress.end(f"{run['total_steps']} steps in {work.seconds_between(run):.0f} s: {studio.address}/runs/{run['id']}")
    return run


def _ask(studio: RunningStudio, model: str, questions: Sequence[Question], name: str) -> list[str]:
    progress, done = Progress("Asking"), 0

    def tell() -> None:
        nonlocal done
        done += 1
        progress.show(done / len(questions), f"the {name} model, {done} of {len(questions)} e-mails")

    answers = work.answers_of(studio, model, questions, tell)
    progress.end(f"the {name} model about {len(questions)} e-mails it has never seen")
    return answers


def _tell(studio: RunningStudio, run: dict[str, Any], questions: Sequence[Question], base: list[str], tuned: list[str]) -> None:
    """Print before and after, and the line that scripts read, last."""
    expected = [question.expected for question in questions]
    before, after = score(expected, base), score(expected, tuned)
    lines = [
        (question.gist, _short(question.expected), _marked(question.expected, was), _marked(question.expected, now))
        for question, was, now in _some(list(zip(questions, base, tuned, strict=True)))
    ]
    print(f"\n{table(('E-mail', 'Expected', 'Base says', 'Tuned says'), lines)}\n")
    print(f"Urgency: tuned {after.share_urgency:.0%} right, base {before.share_urgency:.0%}".replace("%", " %"))
    print(f"Look: {studio.address}/runs/{run['id']} and {studio.address}/chat")
    print(last_line(after, before, work.seconds_between(run)), flush=True)


def last_line(tuned: Score, base: Score, seconds: float) -> str:
    """Return the demo's result in the words that scripts rely on."""
    return (
        f"Demo: tuned {tuned.share_right * 100:.0f} % of {tuned.rows} held-out e-mails right, base {base.share_right * 100:.0f} %, "
        f"trained in {seconds:.0f} s"
    )


def _some(asked: list[tuple[Question, str, str]]) -> list[tuple[Question, str, str]]:
    """Return the first e-mail of each intent, as many as are shown; whether they were answered rightly plays no part."""
    first = {_short(question.expected).partition(",")[0]: number for number, (question, _, _) in reversed(list(enumerate(asked)))}
    return [asked[number] for number in sorted(first.values())[:SHOWN]]


def _short(answer: str) -> str:
    fields = fields_of(answer)
    if fields is None or not {"intent", "urgency"} <= fields.keys():
        return f"“{shorten(answer.strip(), RAMBLING)}”"
    return shorten(f"{fields.get('intent')}, {fields.get('urgency')}", RAMBLING + 8)


def _marked(expected: str, answer: str) -> str:
    return f"{'✓' if judge(expected, answer).intent else '✗'} {_short(answer)}"
