"""The demo's work, shared with the benchmark: take the sample in, train on it, and ask about the rows held out. REST does it all."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx

from tools.running import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.running import RunningStudio

SAMPLE = "support-emails"
BASE = "hone-starter"
AT_ONCE = 4
"""Questions asked side by side: the server answers them together, so four take hardly longer than one."""
ANSWER_TOKENS = 40
"""An expected answer is some thirty tokens long; an untrained base would ramble on."""
LOOK_SECONDS = 0.25
GREETING = 24
"""What is longer than this says what the e-mail is about."""


class DemoFailed(Exception):
    """Why the demo cannot go on, in a sentence."""


@dataclass(frozen=True)
class Question:
    """A held-out row: what is asked, and the answer that was expected."""

    prompt: list[dict[str, str]]
    expected: str

    @property
    def gist(self) -> str:
        """Return the e-mail from its first paragraph on that is more than a greeting."""
        text = next(message["content"] for message in self.prompt if message["role"] == "user")
        parts = [part for part in text.split("\n\n") if len(part) > GREETING] or [text]
        return parts[0]


def take_in(studio: RunningStudio, part: str) -> dict[str, Any]:
    """Add one part of the sample and return its dataset once it is ready; the same rows are not uploaded twice."""
    with studio.rest as rest:
        answer = rest.post(f"/api/v1/datasets/samples/{SAMPLE}", params={"part": part})
    if answer.is_error:
        raise DemoFailed(answer.json()["error"]["message"])
    dataset = studio.wait_for(f"/api/v1/datasets/{answer.json()['id']}", lambda found: bool(found["status"] != "importing"))
    if dataset["status"] != "ready":
        raise DemoFailed(f"The sample could not be read: {dataset['reason']}")
    return dataset


def questions_of(studio: RunningStudio, dataset: dict[str, Any]) -> list[Question]:
    """Return the questions and expected answers of a dataset."""
    with studio.rest as rest:
        return questions_in(rest.get(f"/api/v1/datasets/{dataset['id']}/export").raise_for_status().text)


def questions_in(rows: str) -> list[Question]:
    """Return the questions and expected answers of rows as JSONL."""
    talks = [json.loads(line)["messages"] for line in rows.splitlines()]
    return [Question(talk[:-1], talk[-1]["content"]) for talk in talks]


def train(studio: RunningStudio, wanted: dict[str, Any], watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Launch a run and return it once it has succeeded; `watch` sees it as it goes. Whoever breaks off leaves no run behind."""
    run_id = studio.launch(base_model=BASE, **wanted)
    try:
        run = _follow(studio, run_id, watch)
    except BaseException:
        cancel(studio, run_id)
        raise
    if run["status"] != "succeeded":
        raise DemoFailed(f"The run {run['status']}: {run['reason']} Its log: {studio.home / 'runs' / run_id / 'log.txt'}")
    return run


def _follow(studio: RunningStudio, run_id: str, watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    with studio.rest as rest:
        while True:
            run: dict[str, Any] = rest.get(f"/api/v1/runs/{run_id}").raise_for_status().json()
            watch(run)
            if run["status"] in ENDED:
                return run
            if studio.process.poll() is not None:
                raise DemoFailed("The studio ended in the middle of the run.")
            time.sleep(LOOK_SECONDS)


def cancel(studio: RunningStudio, run_id: str) -> None:
    """Cancel a run, if there is still somebody to ask."""
    try:
        with studio.rest as rest:
            rest.post(f"/api/v1/runs/{run_id}/cancel", timeout=2)
    except httpx.HTTPError:
        return


def seconds_between(run: dict[str, Any], begin: str = "created_at", end: str = "finished_at") -> float:
    """Return how long a run took; from the click on."""
    return (datetime.fromisoformat(run[end]) - datetime.fromisoformat(run[begin])).total_seconds()


def answers_of(studio: RunningStudio, model: str, questions: Sequence[Question], tell: Callable[[], None] | None = None) -> list[str]:
    """Ask a model every question, a few at once; `tell` is called after each answer."""
    pool = ThreadPoolExecutor(AT_ONCE)
    with studio.rest as rest:

        def ask(question: Question) -> str:
            asked = {"model": model, "messages": question.prompt, "temperature": 0, "max_tokens": ANSWER_TOKENS}
            answer = rest.post("/v1/chat/completions", json=asked)
            if answer.is_error:
                raise DemoFailed(f"{model} did not answer: {answer.json()['error']['message']}")
            if tell:
                tell()
            return str(answer.json()["choices"][0]["message"]["content"] or "")

        try:
            return list(pool.map(ask, questions))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
