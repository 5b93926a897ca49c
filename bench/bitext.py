"""How well the bundled base learns 27 intents from 600 real messages: tuned against base and a TF-IDF classifier, on 300 rows held out.

    python -m bench.bitext [--preset balanced] [--material ../shared/data]

Everything goes over REST of a real studio: upload, column mapping, run, and the answers through the official openai client.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openai import OpenAI
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bench.material import BITEXT_TASK, MATERIAL, Rows, bitext
from bench.results_file import keep
from tools.running import running_studio

if TYPE_CHECKING:
    from tools.running import RunningStudio

MAPPING = {"user": "utterance", "assistant": "intent"}


def write(path: Path, rows: Rows) -> Path:
    """Write rows as CSV, as a person would bring them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def right_share(studio: RunningStudio, model: str, rows: Rows) -> float:
    """Return the share of rows whose intent the model names exactly."""
    client = OpenAI(base_url=f"{studio.address}/v1", api_key=studio.key)

    def is_right(row: dict[str, str]) -> bool:
        messages: Any = [{"role": "system", "content": BITEXT_TASK}, {"role": "user", "content": row["utterance"]}]
        answer = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=24)
        return (answer.choices[0].message.content or "").strip() == row["intent"]

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(is_right, rows)) / len(rows)


def tfidf_share(train: Rows, test: Rows) -> float:
    """Return the share a TF-IDF classifier gets right: what anybody can have in a second."""
    classifier = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    classifier.fit([row["utterance"] for row in train], [row["intent"] for row in train])
    return float(classifier.score([row["utterance"] for row in test], [row["intent"] for row in test]))


def measure(studio: RunningStudio, train: Rows, test: Rows, wanted: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train over REST and score base and tuned on the same rows."""
    dataset = studio.upload(write(folder / "bitext-train.csv", train), MAPPING, BITEXT_TASK)
    held_out = studio.upload(write(folder / "bitext-test.csv", test), MAPPING, BITEXT_TASK)
    began = time.monotonic()
    run_id = studio.launch(name="bitext", base_model="hone-starter", dataset_id=dataset["id"], eval_dataset_id=held_out["id"], **wanted)
    run = studio.finish(run_id)
    seconds = time.monotonic() - began
    if run["status"] != "succeeded":
        message = f"The run {run['status']}: {run['reason']}"
        raise RuntimeError(message)
    tuned, base = right_share(studio, run["model"], test), right_share(studio, "hone-starter", test)
    return {
        "tuned": tuned,
        "base": base,
        "seconds_from_click_to_model": round(seconds, 1),
        "steps": run["total_steps"],
        "spec": run["spec"],
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--material", type=Path, default=MATERIAL)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--test-rows", type=int, default=300)
    asked = parser.parse_args()
    train, test = bitext(asked.material, "Training", asked.rows, 0), bitext(asked.material, "Testing", asked.test_rows, 0)
    with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder) / "home") as studio:
        figures = measure(studio, train, test, {"preset": asked.preset, "settings": asked.settings}, Path(folder))
    figures |= {"tfidf": tfidf_share(train, test), "rows": len(train), "test_rows": len(test), "preset": asked.preset}
    print(json.dumps(figures, indent=2))
    print(f"Kept in {keep('bitext', figures).name}")


if __name__ == "__main__":
    main()
