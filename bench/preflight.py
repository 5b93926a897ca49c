"""How long a preflight takes, and how long a template that means harm: asked of a real inference server, as the studio asks it.

`python -m bench.preflight` writes bench/results/preflight.json. Cold is the first question of a server, which starts the child and reads
the tokenizer; warm are those after it.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from transformers import AutoTokenizer

from app.domain.specs import STARTER
from bench.results_file import keep
from tests.workers.inference.conftest import KEY, running
from tests.workers.inference.test_preflight import CANARY, HOSTILE, body, write_base

STARTER_FOLDER = Path(__file__).resolve().parent.parent / "models" / STARTER
SIZES, WARM = (500, 1_000, 2_000, 4_000), 7
WORDS = (
    "order",
    "parcel",
    "invoice",
    "late",
    "refund",
    "please",
    "broken",
    "colour",
    "return",
    "address",
    "card",
    "account",
    "when",
    "where",
)
MORE_TEMPLATES = {
    "marked, one role a line": None,  # the starter's own
    "not marked, found turn by turn": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}


def rows(count: int) -> list[dict[str, Any]]:
    """Make rows of a support desk: about 300 characters, an answer of a few words."""
    draw = random.Random(count)  # noqa: S311 - a measurement, no secret

    def said(least: int, most: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(least, most))).capitalize() + "."

    return [
        {
            "number": number,
            "messages": [
                {"role": "system", "content": "You sort the mails of a shop. Answer with the team that is to see to it."},
                {"role": "user", "content": said(10, 60)},
                {"role": "assistant", "content": said(1, 12)},
            ],
        }
        for number in range(1, count + 1)
    ]


def base_with(template: str | None, folder: Path) -> Path:
    """Return the starter, or what a preflight reads of it with another template."""
    if template is None:
        return STARTER_FOLDER
    tokenizer = AutoTokenizer.from_pretrained(STARTER_FOLDER, local_files_only=True)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_bytes((STARTER_FOLDER / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def ask(http: httpx.Client, raw: bytes) -> tuple[float, dict[str, Any]]:
    """Return how many seconds an answer takes, and the answer."""
    began = time.perf_counter()
    answer = http.post("/preflight", content=raw).raise_for_status().json()
    return time.perf_counter() - began, answer


def quick(url: str, folder: Path) -> list[dict[str, Any]]:
    """Measure preflights of the starter, cold and warm."""
    found = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120, trust_env=False) as http:
        for number, (name, template) in enumerate(MORE_TEMPLATES.items()):
            base = base_with(template, folder / str(number))
            for size in SIZES:
                raw = json.dumps({"base_dir": str(base), "rows": rows(size), "max_length": 1024}).encode()
                first, _ = ask(http, raw)
                warm = [ask(http, raw) for _ in range(WARM)]
                seen = min(answer["counts"]["rows"] for _, answer in warm)
                seconds = sorted(taken for taken, _ in warm)
                found.append({
                    "template": name, "rows": size, "rows_looked_at_least": seen, "first_seconds": round(first, 3),
                    "median_seconds": round(median(seconds), 3), "most_seconds": round(seconds[-1], 3),
                })  # fmt: skip
                print(found[-1])
    return found


def hostile(url: str, folder: Path) -> dict[str, Any]:
    """Measure how long templates that mean harm hold the server, each asked about three times."""
    taken = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120, trust_env=False) as http:
        ask(http, body(write_base(folder / "good")))
        for number, template in enumerate(HOSTILE):
            base = write_base(folder / f"hostile-{number}", template.replace(CANARY, str(folder / CANARY)))
            for _ in range(3):
                seconds, answer = ask(http, body(base))
                codes = [fault["code"] for fault in answer["faults"]]
                if codes != ["template_error"]:
                    raise RuntimeError(f"{template[:80]}: {codes}")
                taken.append((seconds, template[:80]))
    taken.sort()
    p99 = taken[int(len(taken) * 0.99)][0]
    slowest = [{"seconds": round(seconds, 3), "template": template} for seconds, template in taken[-5:]]
    canaries = len(list(folder.rglob(CANARY)))
    return {"templates": len(HOSTILE), "asked": len(taken), "p99_seconds": round(p99, 3), "canaries": canaries, "slowest": slowest}


def main() -> None:
    """Measure, and keep the figures."""
    with tempfile.TemporaryDirectory() as folder:
        with running() as server:
            figures = quick(server.url, Path(folder))
        with running() as server:
            harm = hostile(server.url, Path(folder))
        print(harm)
        keep("preflight", {"rows_of": "a support desk, about 300 characters", "preflights": figures, "hostile": harm})


if __name__ == "__main__":
    main()
