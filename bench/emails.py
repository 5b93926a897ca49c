"""How well the bundled base learns the sample e-mails: tuned against base on the held-out rows, and how long a person waits for it.

    python -m bench.emails [--preset quick] [--settings '{"epochs": 3}']

The demo's own work, over REST of a real studio: the same sample, the same questions, the same judgement.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.results_file import keep
from tools.demo import work
from tools.demo.scoring import Score, score
from tools.running import RunningStudio, running_studio

PAGE = 500
BLIND = Path(__file__).with_name("blind_emails.jsonl")
"""E-mails by a writer who had not seen those that are learned from: how far the skill carries beyond the sample's own sentences."""


class FirstStep:
    """Notes when a run's first step was seen to be done, in seconds from the click."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seconds: float | None = None

    def watch(self, run: dict[str, Any]) -> None:
        """Look at a run."""
        if self.seconds is None and run["step"]:
            self.seconds = time.monotonic() - self.began


def tokens_of(studio: RunningStudio, dataset: dict[str, Any]) -> int:
    """Return how many tokens a dataset's rows have, prompts and answers."""
    total, after = 0, -1
    with studio.rest as rest:
        while True:
            page = rest.get(f"/api/v1/datasets/{dataset['id']}/rows", params={"limit": PAGE, "after": after}).raise_for_status().json()
            total += sum(row["tokens"] for row in page["data"])
            if not page["has_more"]:
                return int(total)
            after = page["data"][-1]["row"]


def figures_of(name: str, found: Score) -> dict[str, float]:
    """Return a score as figures with a model's name in front."""
    return {f"{name}_intent": found.share_right, f"{name}_urgency": found.share_urgency, f"{name}_invalid_json": found.share_unreadable}


def measure(studio: RunningStudio, wanted: dict[str, Any]) -> dict[str, Any]:
    """Train as the demo does and score base and tuned on the same rows."""
    learned, held_out = work.take_in(studio, "train"), work.take_in(studio, "test")
    first = FirstStep()
    run = work.train(studio, {"name": "bench", "dataset_id": learned["id"], "eval_dataset_id": held_out["id"], **wanted}, first.watch)
    questions = work.questions_of(studio, held_out)
    began = time.monotonic()
    models = {"tuned": run["model"], "base": work.BASE}
    asked = {name: work.answers_of(studio, model, questions) for name, model in models.items()}
    blind = work.questions_in(BLIND.read_text(encoding="utf-8"))
    asked["blind"] = work.answers_of(studio, run["model"], blind)
    expected = [question.expected for question in questions]
    passes = run["total_steps"] * run["spec"]["settings"]["batch_size"] / learned["rows"]
    return {
        **figures_of("tuned", score(expected, asked["tuned"])), **figures_of("base", score(expected, asked["base"])),
        **figures_of("tuned_blind", score([question.expected for question in blind], asked["blind"])), "blind_rows": len(blind),
        "seconds_from_click_to_model": round(work.seconds_between(run), 1),
        "seconds_from_click_to_first_step": None if first.seconds is None else round(first.seconds, 1),
        "seconds_from_click_to_start": round(work.seconds_between(run, end="started_at"), 1),
        "seconds_for_all_answers": round(time.monotonic() - began, 1),
        "tokens_read_in_training": round(tokens_of(studio, learned) * passes),
        "rows": learned["rows"], "test_rows": held_out["rows"], "steps": run["total_steps"], "spec": run["spec"],
    }  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--settings", type=json.loads, default={})
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "home") as studio:
        figures = measure(studio, {"preset": asked.preset, "settings": asked.settings}) | {
            "preset": asked.preset,
            "settings": asked.settings,
        }
    print(json.dumps(figures, indent=2))
    print(f"Kept in {keep('emails', figures).name}")


if __name__ == "__main__":
    main()
