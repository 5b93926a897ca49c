"""Our side of the training benchmark: a run as `python -m workers.train` makes it, over the file's rows in their order.

    python -m bench.peers.hone_sft MODEL ROWS.jsonl [--batch 16] [--steps 8] [--precision bf16|fp32] [--qlora] [--cpu]

Takes and prints what its peers do. The spec, the rows, their masks, the model, the layout and the step loop are the run's own; only
the order of the rows and the adapter's first weights are given, so that both sides compute the same steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workers import train

if TYPE_CHECKING:
    from workers.training.loop import StepLoop
    from workers.training.material import Material
    from workers.training.model import LoadedModel

NEVER = 1_000_000


def main() -> None:
    """Train and print the figures."""
    wanted = _arguments()
    train.bound_libraries()  # before torch is imported
    with tempfile.TemporaryDirectory() as name, redirect_stdout(sys.stderr):
        figures = _measured(wanted, Path(name))
    print(json.dumps(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--qlora", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    return parser.parse_args()


def _write_spec(folder: Path, wanted: argparse.Namespace) -> Path:
    """Write the run's spec, with the shortest row to check it on: the check is not timed."""
    rows = wanted.rows.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "held-out.jsonl").write_text(min(rows, key=len), encoding="utf-8")
    settings = {
        "tuning": "qlora" if wanted.qlora else "lora", "max_steps": wanted.steps, "batch_size": wanted.batch, "rank": wanted.rank,
        "learning_rate": wanted.lr, "schedule": "constant", "warmup_ratio": 0.0, "max_length": wanted.max_length,
        "precision": wanted.precision, "device": "cpu" if wanted.cpu else "auto",
        "eval_every_steps": NEVER, "checkpoint_every_steps": NEVER,
    }  # fmt: skip
    files = {"base_model": str(wanted.model.resolve()), "dataset": str(wanted.rows.resolve()), "eval_dataset": "held-out.jsonl"}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(files | {"settings": settings}), encoding="utf-8")
    return path


def _measured(wanted: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the trainer in this process and return what it came to."""
    from bench.peers.start import Clock, draw_adapters
    from workers.training import run
    from workers.training.order import DataOrder

    clock = Clock()

    class InOrder(DataOrder):
        def step(self, number: int) -> list[int]:
            return [place % self.rows for place in range((number - 1) * self.batch_size, number * self.batch_size)]

    class Measured(run.Run):
        def _loop(self, model: LoadedModel, material: Material) -> StepLoop:
            loop = super()._loop(model, material)
            assert model.peft is not None  # noqa: S101 - adapters are what is compared
            draw_adapters(model.peft.named_parameters())
            loop.order = InOrder(len(loop.rows), wanted.batch, 0, None)
            take, loop.watch = loop._take_step, lambda *_: clock.tick()  # noqa: SLF001 - where a step begins

            def timed() -> None:
                if loop.standing.step == 1:  # the check of the base stands between the first step and the second
                    clock.begin()
                take()

            loop._take_step = timed  # type: ignore[method-assign]  # noqa: SLF001
            return loop

    run.Run = Measured  # type: ignore[misc]
    if train.main([str(_write_spec(folder, wanted)), "--out", str(folder / "out")]) != train.DONE:
        sys.exit("The run failed; its last words stand above.")
    events = [json.loads(line) for line in (folder / "out" / "events.jsonl").read_bytes().splitlines()]
    started = next(event["data"] for event in events if event["type"] == "started")
    return {
        "peer": ", ".join(f"{name} {version(name)}" for name in ("hone", "transformers", "torch")),
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(wanted).items()},
        **clock.figures(wanted.batch * (len(clock.ends) - 1)),
        "losses": _curve(events, "train/loss"),
        "gradient_norms": _curve(events, "train/grad_norm"),
        "told": {
            name: started.get(name)
            for name in ("layout", "layout_reason", "shared_share", "precision", "nf4_share", "threads", "processes")
        },
    }


def _curve(events: list[dict[str, Any]], name: str) -> list[float]:
    return [round(event["value"], 6) for event in events if event["type"] == "metric" and event["name"] == name]


if __name__ == "__main__":
    main()
