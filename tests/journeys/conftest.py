"""A whole studio, started as a person would start it; one for all journeys that leave it as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.running import RunningStudio, running_studio

INTENTS = {"cancel": "cancel_order", "track": "track_order", "pay": "payment_issue", "refund": "get_refund"}


def example_rows(count: int) -> list[dict[str, object]]:
    """Make rows that a model can learn: the verb decides the answer."""
    verbs = list(INTENTS)
    rows: list[dict[str, object]] = []
    for number in range(count):
        verb = verbs[number % len(verbs)]
        turns = [
            {"role": "system", "content": "Name the intent."},
            {"role": "user", "content": f"I want to {verb} order {number}."},
            {"role": "assistant", "content": INTENTS[verb]},
        ]
        rows.append({"messages": turns})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    """A studio that is up."""
    with running_studio(tmp_path_factory.mktemp("studio") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 120 examples in OpenAI's chat format."""
    return write_jsonl(tmp_path_factory.mktemp("examples") / "orders.jsonl", example_rows(120))


@pytest.fixture(scope="session")
def dataset_id(studio: RunningStudio, examples: Path) -> str:
    """A ready dataset, of which all is found that there is to find."""
    made = str(studio.upload(examples)["id"])
    studio.wait_for(f"/api/v1/datasets/{made}", lambda dataset: dataset["work"] is None)
    return made
