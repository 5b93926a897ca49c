"""What settings the presets should have: many small trainings of the bundled base, each judged on rows it never saw.

    python -m bench.presets [--at-once 2] [--device auto] [--base models/hone-starter] [--only emails]

Every training is `python -m workers.train`, as anyone would run it. On two cores the whole table takes hours; on a GPU,
minutes (quality is the same, the seconds are not: they are not kept).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.material import BITEXT_TASK, MATERIAL, bitext
from bench.results_file import keep
from tools.demo.scoring import score

ROOT = Path(__file__).resolve().parents[1]
BATCH, ANSWER_TOKENS = 100, 28
LOADING = threading.Lock()
"""transformers makes a model on no device while it loads, for the whole process: two threads would get in each other's way."""
Row = dict[str, list[dict[str, str]]]
Setting = dict[str, float]
CENTRE: Setting = {"epochs": 4, "batch_size": 8, "learning_rate": 2e-3, "rank": 16}
AROUND: dict[str, tuple[float, ...]] = {
    "learning_rate": (5e-4, 1e-3, 3e-3, 5e-3), "rank": (4, 8, 32, 64), "batch_size": (4, 16, 32), "epochs": (2, 3, 6, 8, 12),
    "dropout": (0.1,), "weight_decay": (0.1,), "seed": (1, 2),
}  # fmt: skip
"""One setting at a time is moved away from the centre; the seeds show how much is chance."""
MORE: tuple[Setting, ...] = (
    {"epochs": 3, "learning_rate": 3e-3}, {"epochs": 3, "learning_rate": 3e-3, "batch_size": 4}, {"epochs": 6, "learning_rate": 1e-3},
    {"epochs": 8, "rank": 32, "learning_rate": 1e-3}, {"epochs": 8, "rank": 32, "batch_size": 16, "learning_rate": 3e-3},
)  # fmt: skip


def settings() -> list[Setting]:
    """Return every combination that is tried, the centre first."""
    moved = ({**CENTRE, name: value} for name, values in AROUND.items() for value in values)
    return [CENTRE, *moved, *({**CENTRE, **more} for more in MORE)]


def write_tasks(folder: Path) -> list[str]:
    """Write train and test rows of each task as JSONL and return the tasks' names."""
    for part in ("train", "test"):
        sample = ROOT / "samples" / "support-emails" / f"{part}.jsonl"
        (folder / f"emails-{part}.jsonl").write_text(sample.read_text(encoding="utf-8"), encoding="utf-8")
    if not MATERIAL.is_dir():
        return ["emails"]
    for part, split, count in (("train", "Training", 600), ("test", "Testing", 300)):
        rows = [_chat(row["utterance"], row["intent"]) for row in bitext(MATERIAL, split, count, 0)]
        (folder / f"bitext-{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ["emails", "bitext"]


def _chat(asked: str, answer: str) -> Row:
    turns = {"system": BITEXT_TASK, "user": asked, "assistant": answer}
    return {"messages": [{"role": role, "content": content} for role, content in turns.items()]}


def train(base: Path, task: str, setting: Setting, folder: Path, device: str) -> Path:
    """Train an adapter in a process of its own and return its folder."""
    spec = {
        "base_model": str(base), "method": "sft", "dataset": str(folder / f"{task}-train.jsonl"),
        "eval_dataset": str(folder / f"{task}-test.jsonl"), "settings": {**setting, "device": device, "eval_every_steps": 1_000_000},
    }  # fmt: skip
    out = Path(tempfile.mkdtemp(dir=folder))
    (out / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "workers.train", out / "spec.yaml", "--out", out], cwd=ROOT, check=True, capture_output=True)
    return out / "adapter"


def answers(base: Path, adapter: Path | None, rows: list[Row]) -> list[str]:
    """Return the greedy answer to each row's question."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    with LOADING:
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if adapter:
            model = PeftModel.from_pretrained(model, adapter)
        model.to(device).eval()
    found: list[str] = []
    for part in (rows[at : at + BATCH] for at in range(0, len(rows), BATCH)):
        prompts = [tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True) for row in part]
        given = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False, return_token_type_ids=False).to(device)
        with torch.inference_mode():
            made = model.generate(**given, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        found += tokenizer.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
    return [answer.strip() for answer in found]


def judged(task: str, rows: list[Row], said: list[str]) -> dict[str, float]:
    """Return the shares that were right."""
    expected = [row["messages"][-1]["content"] for row in rows]
    if task == "emails":
        found = score(expected, said)
        return {"intent": round(found.share_right, 4), "urgency": round(found.share_urgency, 4)}
    return {"intent": round(sum(map(str.__eq__, expected, said)) / len(rows), 4)}


def measure(base: Path, folder: Path, jobs: list[tuple[str, Setting]], *, device: str, at_once: int) -> list[dict[str, Any]]:
    """Train and judge every (task, setting), some at once; the first of each task is the base itself."""

    def one(job: tuple[str, Setting]) -> dict[str, Any]:
        task, setting = job
        rows = [json.loads(line) for line in (folder / f"{task}-test.jsonl").read_text(encoding="utf-8").splitlines()]
        adapter = train(base, task, setting, folder, device) if setting else None
        line = {"task": task, **setting, **judged(task, rows, answers(base, adapter, rows))}
        print(json.dumps(line), flush=True)
        return line

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, jobs))


def table(tried: list[dict[str, Any]]) -> str:
    """Return what was tried as the table of docs/presets.md: one line a setting, one column of shares a task."""
    shares: dict[str, dict[str, float]] = {}
    for line in tried:
        setting = {name: value for name, value in line.items() if name not in {"task", "intent", "urgency"}}
        words = ", ".join(_words(name, setting[name]) for name in setting if name in CENTRE or name in AROUND) or "the base itself"
        found = shares.setdefault(words, {})
        found |= {f"{line['task']} {name}": line[name] for name in ("intent", "urgency") if name in line}
    columns = ("emails intent", "emails urgency", "bitext intent")
    lines = [
        f"| {words} | {' | '.join(f'{found[name]:.1%}' if name in found else '–' for name in columns)} |" for words, found in shares.items()
    ]
    return "\n".join(["| tried | e-mails: intent | e-mails: urgency | Bitext: intent |", "|---|--:|--:|--:|", *lines])


def _words(name: str, value: float) -> str:
    return {"epochs": f"{value:g} passes", "batch_size": f"{value:g} rows a step", "learning_rate": f"rate {value:g}"}.get(
        name, f"{name.replace('_', ' ')} {value:g}"
    )


def main() -> None:
    """Try all, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=ROOT / "models" / "hone-starter")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--only", help="one task")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = [task for task in write_tasks(folder) if wanted.only in {None, task}]
        jobs: list[tuple[str, Setting]] = [(task, setting) for task in tasks for setting in ({}, *settings())]
        tried = measure(wanted.base.resolve(), folder, jobs, device=wanted.device, at_once=wanted.at_once)
    print(table(tried))
    print(f"Kept in {keep('presets', {'tried': tried}).name}")


if __name__ == "__main__":
    main()
