"""From conversations to trainable tokens, against trl's SFTTrainer: template, mask, tokens and cuts of the same rows, in one process.

`python -m bench.data_preparation` writes bench/results/data_preparation.json; its last line is one JSON object. Both sides begin with rows
in memory, ours with nothing remembered of them, and take turns; their tokens and masks must be the same, or the benchmark fails. With
packing theirs packs the rows, and ours lays out each step of 16 rows as it does while it trains, what they share once.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import datasets
from trl import SFTConfig, SFTTrainer

from app.domain.datasets import Message, Split, row_hash
from bench.material import MATERIAL
from bench.models import ROWS, made
from bench.results_file import keep
from workers.training.batches import Layout, lay_out
from workers.training.masks import Masker
from workers.training.prepare import Prepared, prepare
from workers.training.rows import Row, Rows
from workers.training.templates import chat_template
from workers.training.token_cache import Made, TokenCache, cache_key
from workers.training.tokenizer import load_tokenizer

REPEATS, MAX_LENGTH, STEP, PACK = 7, 2048, 16, 2048
ROWS_MEASURED = {"plain": 3_300, "plain, no more than there are": 1_100, "shared-prefix": 3_000}
FLOOR = 2.5


class Peer(SFTTrainer):
    """The part of the trainer that prepares rows: all else it would load is not measured."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.chat_template, self.completion_only_loss = tokenizer, tokenizer.chat_template, False

    def prepared(self, rows: datasets.Dataset, *, packing: bool = False) -> datasets.Dataset:
        """Return the rows as it trains on them."""
        with tempfile.TemporaryDirectory() as out:
            wanted = SFTConfig(output_dir=out, assistant_only_loss=True, max_length=MAX_LENGTH, packing=packing, use_cpu=True, bf16=False)
            return self._prepare_dataset(rows, self._tokenizer, wanted, packing, None, "train")


def conversations(kind: str, many: int) -> list[list[dict[str, str]]]:
    """Return so many different rows; where there are fewer they are told again, with the number of the round before each text."""
    found = list(ROWS[kind.partition(",")[0]](MATERIAL))
    rounds = ([_told(turns, number) for turns in found] if number else found for number in count())
    return list(islice((turns for one in rounds for turns in one), many))


def _told(turns: list[dict[str, str]], number: int) -> list[dict[str, str]]:
    return [turn | {"content": f"{number}. {turn['content']}"} for turn in turns]


def as_rows(found: list[list[dict[str, str]]]) -> list[Row]:
    """Return conversations as the trainer reads them."""
    said = [tuple(Message.model_validate(turn) for turn in turns) for turns in found]
    return [Row(messages, row_hash(messages), Split.TRAIN, number) for number, messages in enumerate(said, 1)]


def compare(kind: str, model: Path, many: int) -> dict[str, Any]:
    """Measure both sides in turns, and see that they made the same."""
    tokenizer = load_tokenizer(model)
    found = conversations(kind, many)
    rows, theirs, peer = as_rows(found), datasets.Dataset.from_list([{"messages": turns} for turns in found]), Peer(tokenizer)

    def ours() -> Prepared:
        return prepare(rows, Masker(tokenizer, chat_template(tokenizer)), MAX_LENGTH, check=lambda: None)

    def laid_out() -> None:
        numbered = list(enumerate(ours().rows))
        for first in range(0, many, STEP):
            lay_out(numbered[first : first + STEP], Layout.SHARED_PREFIX, token_budget=PACK)

    _see_that_they_agree(ours(), peer.prepared(theirs))
    plain = _in_turns(ours, lambda: peer.prepared(theirs), many)
    with_packing = _in_turns(laid_out, lambda: peer.prepared(theirs, packing=True), many)
    with tempfile.TemporaryDirectory() as folder:
        cached = _cached(model, rows, theirs, peer, Path(folder))
    found_all = {"rows": many, "tokens": sum(len(row.ids) for row in ours().rows), **plain}
    return found_all | {"packing": with_packing, "cached": cached}


def _cached(model: Path, rows: list[Row], theirs: datasets.Dataset, peer: Peer, folder: Path) -> dict[str, Any]:
    """Measure the second preparation of the same rows, which both sides keep on the disk."""
    tokenizer = load_tokenizer(model)
    template, both, cache = chat_template(tokenizer), Rows(rows, []), TokenCache(folder / "tokens")
    made_of = Made(prepare(rows, Masker(tokenizer, template), MAX_LENGTH, check=lambda: None), Prepared())
    cache.keep(cache_key(model, both, template, MAX_LENGTH), made_of)
    theirs.save_to_disk(folder / "theirs")
    on_disk = datasets.load_from_disk(folder / "theirs")
    datasets.enable_caching()
    peer.prepared(on_disk)

    def ours() -> None:
        if cache.find(cache_key(model, both, template, MAX_LENGTH)) is None:
            raise RuntimeError("nothing was kept")

    measured = _in_turns(ours, lambda: peer.prepared(on_disk), len(rows))
    datasets.disable_caching()
    return measured


def _see_that_they_agree(ours: Prepared, theirs: datasets.Dataset) -> None:
    """Compare tokens and masks; behind its last trained token a row of ours ends."""
    for row, ids, labels in zip(ours.rows, theirs["input_ids"], theirs["labels"], strict=True):
        many, trained = len(row.ids), [label != -100 for label in labels]
        if row.ids.tolist() != ids[:many] or row.trained.tolist() != trained[:many] or any(trained[many:]):
            raise RuntimeError(f"the two sides make different rows: {ids}")


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], many: int) -> dict[str, Any]:
    """Return rows a second by the clock and by the processor, as medians with their least and most; each side is warm."""
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    sides = [("ours", ours), ("theirs", theirs)]
    for number in range(REPEATS):
        for name, side in sides[:: 1 if number % 2 else -1]:
            began, used = time.perf_counter(), time.process_time()
            side()
            taken[name].append((time.perf_counter() - began, time.process_time() - used))
    figures = {name: _rates(times, many) for name, times in taken.items()}
    ratio = figures["ours"]["rows_per_second"][1] / figures["theirs"]["rows_per_second"][1]
    by_processor = figures["ours"]["rows_per_cpu_second"][1] / figures["theirs"]["rows_per_cpu_second"][1]
    return {"ratio": round(ratio, 2), "ratio_by_processor_time": round(by_processor, 2), **figures}


def _rates(times: list[tuple[float, float]], many: int) -> dict[str, list[int]]:
    walls, processors = zip(*times, strict=True)
    return {"rows_per_second": _spread(walls, many), "rows_per_cpu_second": _spread(processors, many)}


def _spread(seconds: tuple[float, ...], many: int) -> list[int]:
    """Return the least, the median and the most rows a second."""
    return [round(many / each) for each in (max(seconds), median(seconds), min(seconds))]


def main() -> None:
    """Measure, and keep the figures."""
    datasets.disable_progress_bars()
    datasets.disable_caching()
    model, _ = made("6m", "plain")
    found = {}
    for kind, many in ROWS_MEASURED.items():
        found[kind] = compare(kind, model, many)
        print(kind, json.dumps(found[kind]))
    ratio = min(one["ratio"] for figures in found.values() for one in (figures, figures["packing"]))
    cached = min(figures["cached"]["ratio"] for figures in found.values())
    keep("data_preparation", {"peer": "trl", "repeats": REPEATS, "floor": FLOOR, "ratio": ratio, "ratio_cached": cached, "rows": found})
    print(json.dumps({"ratio": ratio, "ratio_cached": cached, **{kind: figures["ratio"] for kind, figures in found.items()}}))
    sys.exit(0 if ratio >= FLOOR else 1)


if __name__ == "__main__":
    main()
