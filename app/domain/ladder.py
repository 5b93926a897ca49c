"""Prompt, look things up, tune, train from scratch: which of the four is worth it for a goal, in this order, and why.

The advice may be not to tune. Figures are rules of thumb that people have come by; what was measured on the project's own rows goes before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from app.domain.goals import Answers, Known
from app.domain.guide import FEW, NEEDED, Enough, Goal

WANTED_PERCENT = 95.0
LONG_PROMPT_TOKENS = 1_500
"""From about here a prompt is mostly habit: three pages that are paid for and read again with every question."""
CHANGES_TOLD = 4


class Rung(StrEnum):
    """What one can do, the cheapest first."""

    PROMPT = "prompt"
    DOCUMENTS = "documents"
    TUNE = "tune"
    SCRATCH = "scratch"


class Verdict(StrEnum):
    """What a rung comes to."""

    FIRST = "first"
    ENOUGH = "enough"
    WORTH = "worth"
    LATER = "later"
    DONE = "done"
    BESIDE = "beside"
    NOT = "not"


TITLES = {
    Rung.PROMPT: "Prompt a model",
    Rung.DOCUMENTS: "Look things up (RAG)",
    Rung.TUNE: "Fine-tune a small model",
    Rung.SCRATCH: "Train one from scratch",
}
COSTS = {
    Rung.PROMPT: "Minutes, no training",
    Rung.DOCUMENTS: "Days, no training",
    Rung.TUNE: "Examples, then minutes to hours of one GPU",
    Rung.SCRATCH: "Billions of tokens, weeks of many GPUs",
}
VERDICTS = {
    Verdict.FIRST: "Do this first",
    Verdict.ENOUGH: "Enough",
    Verdict.WORTH: "Worth it",
    Verdict.LATER: "Not yet",
    Verdict.DONE: "Tried",
    Verdict.BESIDE: "Keep it beside",
    Verdict.NOT: "Don’t",
}


class Step(NamedTuple):
    """A rung with its verdict and the reason; `headline` is the advice where this rung decides it."""

    rung: Rung
    verdict: Verdict
    reason: str
    headline: str = ""


class Change(NamedTuple):
    """Something that, were it so, would make the advice another one."""

    what: str
    then: str


@dataclass(frozen=True)
class Ladder:
    """The advice: in one line, why, and rung by rung."""

    headline: str
    reason: str
    decided_by: Rung
    steps: tuple[Step, ...]
    cautions: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def says_tune(self) -> bool:
        """Whether to tune now."""
        return self.step(Rung.TUNE).verdict is Verdict.WORTH

    def step(self, rung: Rung) -> Step:
        """Return what is said of one rung."""
        return next(step for step in self.steps if step.rung is rung)


KNOWING = frozenset({Goal.DOMAIN, Goal.REPLACE, Goal.DISTIL, None})
"""Goals that may hang on knowledge, as one may that nobody has named; the others are about form."""
LIMITS = {
    Goal.DOMAIN: "A small model knows less of the world than a large one and reasons less deeply: keep what must be right in documents.",
    Goal.REPLACE: "A small model replaces a large one for one narrow task. Beyond it, it knows less and reasons less deeply.",
    Goal.DISTIL: "A student learns its teacher’s mistakes too: have a person check a part of the answers before training on them.",
    Goal.CODE: "It learns to continue as your code does. It does not come to understand a library that it has never seen.",
    Goal.MASK: "A masker that finds 98 of 100 names misses two. Measure how many it misses before anything leaves the house.",
}


@dataclass(frozen=True)
class Case:
    """Answers beside what the project shows: the figures that decide."""

    answers: Answers
    known: Known

    @property
    def examples(self) -> int:
        """How many examples there are: as said, else the rows that are here."""
        return self.answers.examples if self.answers.examples is not None else self.known.rows or 0

    @property
    def needed(self) -> Enough:
        """How many are mostly enough; for a goal that nobody named, the fewest."""
        return NEEDED[self.answers.what or Goal.FORMAT]

    @property
    def right(self) -> float | None:
        """What share of answers a prompt gets right, in %: as measured here, else as said."""
        return self.known.right_percent if self.known.right_percent is not None else self.answers.right_percent

    @property
    def wanted(self) -> float:
        """From what share on it would be used, in %."""
        return self.answers.wanted_percent if self.answers.wanted_percent is not None else WANTED_PERCENT

    @property
    def prompt_does(self) -> bool:
        """Whether a prompt alone is right often enough."""
        return self.right is not None and self.right >= self.wanted

    @property
    def prompt_is_enough(self) -> bool:
        """Whether it is, and nothing speaks for a model of one's own, or it is one of one's own that was measured."""
        return self.prompt_does and (self.known.on_own_model or not self.answers.wants_own)

    @property
    def has_few(self) -> bool:
        """Whether there are no more examples than fit a prompt."""
        return self.examples <= FEW

    @property
    def examples_said(self) -> str:
        """The number of examples as one says it."""
        return "no examples" if not self.examples else "1 example" if self.examples == 1 else f"{self.examples:,} examples"


def climb(answers: Answers, known: Known | None = None) -> Ladder:
    """Return what is worth doing for these answers, with what would change it."""
    known = known or Known()
    found = _climbed(Case(answers, known))
    cautions = [LIMITS[answers.what]] if answers.what in LIMITS else []
    if Case(answers, known).examples > Case(answers, known).needed.high:
        cautions.append("500 great examples beat 5,000 bad ones: from here on, look for bad rows rather than for more.")
    return Ladder(found.headline, found.reason, found.decided_by, found.steps, tuple(cautions), _changes(answers, known, found.headline))


def _climbed(case: Case) -> Ladder:
    prompt, documents = _prompt(case), _documents(case)
    if prompt.verdict is Verdict.FIRST and documents.verdict is Verdict.FIRST:
        # One thing at a time: what no prompt can know goes first, all else after a careful prompt.
        if case.answers.news:
            prompt = prompt._replace(verdict=Verdict.LATER)
        else:
            documents = documents._replace(verdict=Verdict.LATER)
    before = next((step for step in (prompt, documents) if step.verdict is Verdict.FIRST), None)
    tune = _tune(case, before)
    decides = prompt if prompt.verdict is Verdict.ENOUGH else before or tune
    return Ladder(decides.headline, decides.reason, decides.rung, (prompt, documents, tune, SCRATCH_STEP))


SCRATCH_STEP = Step(
    Rung.SCRATCH, Verdict.NOT,
    "A model from nothing has to learn the language first. A base of your choice has read all of that already; "
    "it is worth it only where no base knows the signs at all.",
)  # fmt: skip


def _prompt(case: Case) -> Step:
    answers = case.answers
    if case.prompt_does:
        return _prompt_that_does(case)
    if not answers.tried_prompt:
        why = "Write down the task, the rules and the format. It takes an hour, and is the bar that a tuned model has to beat."
        return Step(Rung.PROMPT, Verdict.FIRST, why, "Don’t fine-tune yet: write a careful prompt first")
    if (answers.prompt_tokens or 0) >= LONG_PROMPT_TOKENS and not answers.prompt_is_short:
        why = (
            f"The prompt has {answers.prompt_tokens:,} tokens. Take out what does not help and have its fixed part cached; "
            "what is left, a tuned model can take into its weights later."
        )
        return Step(Rung.PROMPT, Verdict.FIRST, why, "Don’t fine-tune yet: shorten the prompt first")
    if case.has_few and not answers.tried_examples:
        why = f"With {case.examples_said}, few-shot prompting does more than training: put the best five to twenty into the prompt."
        if not case.examples:
            why = "Write five to twenty good examples and put them into the prompt: that does more than training on so few."
        return Step(Rung.PROMPT, Verdict.FIRST, why, "Don’t fine-tune yet: put examples into the prompt")
    return Step(Rung.PROMPT, Verdict.DONE, _tried(case))


def _prompt_that_does(case: Case) -> Step:
    reached = f"{_by(case)} is right in {case.right:g} % of answers, and you need {case.wanted:g} %."
    if case.prompt_is_enough:
        return Step(Rung.PROMPT, Verdict.ENOUGH, reached, "Don’t fine-tune: the prompt is enough")
    return Step(Rung.PROMPT, Verdict.DONE, f"{reached} That is the bar: a small model of your own has to reach it.")


def _by(case: Case) -> str:
    return case.known.measured or "The best prompt"


def _tried(case: Case) -> str:
    if case.right is not None:
        return f"{_by(case)} is right in {case.right:g} % of answers; you need {case.wanted:g} %. That is the bar to beat."
    also = "" if case.answers.tried_examples else " Put a few of your best examples into it too, so that the bar is a fair one."
    return f"Tried, and not enough. Measure what it reaches on held-out rows: that is the bar to beat.{also}"


def _documents(case: Case) -> Step:
    answers, tried = case.answers, case.answers.tried_documents
    if answers.news and not tried:
        why = "Training keeps what was so on one day. What happened yesterday is looked up when somebody asks."
        return Step(Rung.DOCUMENTS, Verdict.FIRST, why, "Don’t fine-tune for this: look it up")
    if answers.news:
        return Step(Rung.DOCUMENTS, Verdict.BESIDE, "News are looked up with every question, whatever model then writes the answer.")
    if case.prompt_is_enough:
        return Step(Rung.DOCUMENTS, Verdict.NOT, "The prompt alone does it.")
    if answers.documents and answers.what in KNOWING and not tried:
        why = "The answers stand in documents: looked up, each can name its source, and a changed document counts at once."
        return Step(Rung.DOCUMENTS, Verdict.FIRST, why, "Don’t fine-tune yet: look the answers up first")
    if tried:
        return Step(Rung.DOCUMENTS, Verdict.BESIDE, "Tried. It goes well with tuning: the model learns how to answer from what was found.")
    why = "Nothing to look up: what an answer needs stands in the question."
    if answers.documents:
        why = "This goal is about form, not about knowledge: documents would not help."
    return Step(Rung.DOCUMENTS, Verdict.NOT, why)


def _tune(case: Case, before: Step | None) -> Step:
    if case.prompt_is_enough:
        return Step(Rung.TUNE, Verdict.NOT, "The prompt already does what you need. A tuned model would have to be kept up as well.")
    if case.answers.news and case.answers.what in {Goal.DOMAIN, None}:
        why = "It would know what was so on the day it was trained. Tune how it answers, never what is new."
        return Step(Rung.TUNE, Verdict.NOT, why, "Don’t fine-tune for this: look it up")
    if case.has_few:
        return _tune_on_few(case)
    have = f"{case.examples:,} examples of {case.needed.about}"
    if case.examples < case.needed.low:
        why = f"{have}: a run will show something, and more good rows will show more."
        return Step(Rung.TUNE, Verdict.LATER, why, "Don’t fine-tune yet: collect more examples")
    if before:
        return Step(Rung.TUNE, Verdict.LATER, f"You have {have}, which is enough. Come back when the rung above is tried and falls short.")
    return Step(Rung.TUNE, Verdict.WORTH, f"{have}: enough.{_why_own(case)}", "Fine-tune a small model")


def _tune_on_few(case: Case) -> Step:
    if case.answers.large_model:
        why = (
            f"With {case.examples_said}, no. But your large model can write {case.needed.about}: have a person check a part of them, "
            "then tune the small one on what is right."
        )
        return Step(Rung.TUNE, Verdict.LATER, why, "Don’t fine-tune yet: let the large model write examples")
    why = f"With {case.examples_said} a model learns little but to repeat them. {_upper(case.needed.about)} good ones are mostly enough."
    return Step(Rung.TUNE, Verdict.NOT, why, "Don’t fine-tune yet: collect examples")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _why_own(case: Case) -> str:
    answers = case.answers
    said = {
        "answers come at once": answers.fast or answers.what is Goal.CODE,
        "the data stays in the house": answers.private or answers.what is Goal.MASK,
        "no bill grows with every question": answers.many,
    }  # fmt: skip
    gains = [gain for gain, wanted in said.items() if wanted]
    return (
        f" With a small model of your own {' and '.join(gains)}." if gains else " A small adapter learns it, and the base stays as it is."
    )


def _changes(answers: Answers, known: Known, headline: str) -> tuple[Change, ...]:
    """Return what would make the advice another one, each tried out."""
    found: dict[str, str] = {}
    for what, changed, shown in _others(Case(answers, known)):
        other = _climbed(Case(answers.model_copy(update=changed), known.model_copy(update=shown))).headline
        if other != headline:
            found.setdefault(other, what)
    return tuple(Change(what, then) for then, what in found.items())[:CHANGES_TOLD]


Changed = dict[str, object]


def _others(case: Case) -> list[tuple[str, Changed, Changed]]:
    """Return what might be otherwise: in words, in the answers, and in what the project shows."""
    answers, nothing = case.answers, Changed()
    tried: Changed = dict.fromkeys(("tried_prompt", "tried_examples", "tried_documents", "prompt_is_short"), True)
    if case.prompt_is_enough:
        return [
            (f"If it stayed below {case.wanted:g} %", tried | {"right_percent": None}, {"right_percent": None}),
            ("If the data must not leave the house", {"private": True}, nothing),
            ("If it must know what happened lately", {"news": True, "tried_documents": False}, nothing),
        ]
    low = max(case.needed.low, case.examples)
    found = [("If the rungs above are tried and fall short", tried, nothing)]
    if case.examples < low:
        found += [(f"With {low:,} good examples", {"examples": low}, nothing)]
        found += [(f"With {low:,} good examples, and the rungs above tried", {"examples": low, **tried}, nothing)]
    does: Changed = {"right_percent": case.wanted}
    found += [(f"If a prompt came to {case.wanted:g} % right answers", does, does)]
    if answers.news:
        found += [("If it need not know what happened lately", {"news": False}, nothing)]
    else:
        found += [("If it must know what happened lately", {"news": True, "tried_documents": False}, nothing)]
    return [*found, (f"With {FEW} examples only", {"examples": FEW}, nothing)] if case.examples > FEW else found
