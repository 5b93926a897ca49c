"""What the tour says at each of its stops: a sentence for the state the page is in, and the one thing to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from app.domain.datasets import DatasetStatus
from app.domain.runs import RunStatus
from app.domain.specs import Preset
from app.web import words

SAMPLE = "support-emails"
MOST = 0.5
"""From this share of right answers on, nobody doubts that something was learned."""
Context = Mapping[str, Any]


class Next(NamedTuple):
    """Where to go: a place on this page, whose button is lit up, or another page."""

    label: str
    href: str


@dataclass(frozen=True)
class Stop:
    """One step of the tour on the page one is on; `lights` names what the style sheet lights up."""

    step: int
    title: str
    text: str
    next: Next | None = None
    lights: str = ""
    back: str = ""
    onward: Next | None = None
    is_last: bool = False


def _data(context: Context) -> Stop:
    title = "Data"
    found = next(((card, dataset) for card, dataset in context["sample_offers"] if card.slug == SAMPLE), None)
    if found is None:
        return Stop(1, title, "Everything begins with examples: a question, and the answer you want. Drop a file of them here.",
                    Next("Show me where", "#upload"), "upload")  # fmt: skip
    card, dataset = found
    if dataset:
        return Stop(1, title, f"{card.title}, the sample of this tour, is here already. Open it and look at a row.",
                    Next(f"Open {card.title}", f"/datasets/{dataset.id}"), "sample")  # fmt: skip
    text = f"Everything begins with examples: a question, and the answer you want. Add the sample: {card.rows:,} e-mails to a shop."
    return Stop(1, title, text, Next("Show me the button", f"#sample-{SAMPLE}"), "sample")


def _dataset(context: Context) -> Stop:
    title, back, dataset = "Data", "/datasets?tour=1", context["dataset"]
    if dataset.status == DatasetStatus.IMPORTING:
        return Stop(1, title, "A worker is reading the file. The rows appear here by themselves, in a moment.", back=back)
    if dataset.status == DatasetStatus.NEEDS_MAPPING:
        text = "Say which column holds the question and which the answer; then have the rows read."
        return Stop(1, title, text, Next("Show me the columns", "#mapping"), "mapping", back)
    if dataset.status == DatasetStatus.FAILED:
        return Stop(
            1, title, "This file could not be used; why stands below. Take the sample instead.", Next("To the samples", back), back=back
        )
    text = (
        "Look at a row: what comes in, and the answer that it is to learn. "
        f"{words.plural(dataset.report['test_rows'], 'row is', 'rows are')} held out to check on. When you have seen enough, train on it."
    )
    return Stop(1, title, text, Next("Train on it", f"/runs/new?dataset_id={dataset.id}"), "train", back)


def _new_run(context: Context) -> Stop:
    title, draft = "A new run", context["draft"]
    if draft.dataset is None:
        return Stop(2, title, "There is no data to train on yet, so that comes first.", Next("To the data", "/datasets?tour=1"))
    back = f"/datasets/{draft.dataset.id}?tour=1"
    if draft.preset != Preset.QUICK:
        text = "How thorough? Quick is enough to see it learn, in a few minutes. Choose it, then start; all the rest is filled in."
        return Stop(2, title, text, Next("Show me Quick", "#preset-quick"), "quick", back)
    text = "Quick is chosen. The card says what will happen: how many rows, how many steps. Start when you like."
    return Stop(2, title, text, Next("Show me the button", "#start"), "start", back)


WAITING = {
    RunStatus.QUEUED: "The run waits for a worker, and begins by itself; its heading says what it waits for.",
    RunStatus.STARTING: "A worker loads the base model. The first step follows within a minute.",
    RunStatus.RUNNING: (
        "The curve is the loss: how much each right answer surprises the model. It falls fast, then flattens; "
        "the dashed line is rows it does not learn from. There is nothing to do but watch."
    ),
    RunStatus.FINALIZING: "The steps are done. What was learned is packed and checked: a small adapter beside the base.",
    RunStatus.PAUSING: "The run saves where it is, and pauses.",
    RunStatus.STOPPING: "The run ends at this step, and keeps what it has learned.",
    RunStatus.CANCELLING: "The run is given up.",
}  # fmt: skip


def _learned(right: float | None) -> str:
    if right is None:
        return "The run is done."
    told = f"{words.percent(right)} of the held-out answers are right to the letter"
    return f"It has learned: {told}." if right >= MOST else f"The run is done: {told}. More passes over the rows would bring more."


def _run(context: Context) -> Stop:
    title, back, run = "The run", "/runs/new?tour=2", context["run"]
    status = RunStatus(run.status)
    if status in WAITING:
        look = Next("Show me the curve", "#loss-title") if status == RunStatus.RUNNING else None
        return Stop(3, title, WAITING[status], look, "curve" if look else "", back)
    if run.model:
        return Stop(3, title, f"{_learned(context['line'].exact_match)} Now ask it something.",
                    Next("Chat with it", f"/chat?tuned={quote(run.model)}"), "chat", back)  # fmt: skip
    if status == RunStatus.PAUSED:
        return Stop(
            3,
            title,
            "The run is paused, and nothing is lost. Resume it to go on.",
            Next("Show me the button", "#do-resume"),
            "resume",
            back,
        )
    text = "The run failed; why stands above the figures. Change what it says there, and start it again."
    return Stop(3, title, text if status == RunStatus.FAILED else "This run has left no model. Start it again.",
                Next("Start it again", f"/runs/new?from={run.id}&tour=2"), back=back)  # fmt: skip


def _chat(context: Context) -> Stop:
    title, tuned = "Chat", context.get("tuned")
    own = Next("Next: your own data", "/datasets?tour=5")
    if tuned is None:
        text = "There is no tuned model here yet, so both sides would say the same. Train one first."
        return Stop(4, title, text, Next("To the new run", "/runs/new?tour=2"), back="/runs/new?tour=2", onward=own)
    back = f"/runs/{tuned.id}?tour=3"
    if not context["state"].is_there:
        return Stop(
            4,
            title,
            "The part that answers is not there yet; the line under the title says why.",
            back=back,
            onward=own,
        )
    text = "Left answers the base as it was, right the model you have trained. Choose a held-out row, and ask both."
    return Stop(4, title, text, Next("Show me the rows", "#examples"), "examples", back, own)


def _own_data(_: Context) -> Stop:
    text = (
        "Now your own: a file with a question and its answer in each row. Fifty rows show whether it learns, five hundred good ones "
        "make it useful. From there it goes as before."
    )
    return Stop(5, "Your own", text, Next("Show me where", "#file"), "upload", "/chat?tour=4", is_last=True)


def _own_dataset(context: Context) -> Stop:
    dataset = context["dataset"]
    train = Next("Train on it", f"/runs/new?dataset_id={dataset.id}") if dataset.status == DatasetStatus.READY else None
    text = "From here it goes as before: look at the rows, train, and ask both models. That was the tour; the rest is yours."
    return Stop(5, "Your own", text, train, "train", "/datasets?tour=5", is_last=True)


STOPS: dict[tuple[int, str], Callable[[Context], Stop]] = {
    (1, "datasets/list.html"): _data, (1, "datasets/show.html"): _dataset, (2, "runs/new.html"): _new_run, (3, "runs/show.html"): _run,
    (4, "chat/chat.html"): _chat, (5, "datasets/list.html"): _own_data, (5, "datasets/show.html"): _own_dataset,
    (1, "datasets/mapping.html"): _dataset, (5, "datasets/mapping.html"): _own_dataset,
}  # fmt: skip
