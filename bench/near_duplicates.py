"""How fast near twins are found among many texts, and how many of them: ours beside datasketch, both from text to groups, on one core.

    python -m bench.near_duplicates [--rows 100000] [--repeats 5]

Texts are of words that chance draws from real books, as often as they stand there. Into them pairs are planted whose likeness is known:
twins by a few changed words, and strangers that share less than 0.6. datasketch gets its fastest documented way (`MinHash.generator`,
128 permutations, `MinHashLSH` at 0.8), with its own hash function and with a faster one; in each repeat it takes a fifth of the rows, ours
takes all. What counts is the processor's time, since others may be using the machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from datasketch import MinHash, MinHashLSH
from xxhash import xxh32_intdigest

from bench.material import MATERIAL
from bench.results_file import keep
from workers.curation.near import THRESHOLD, NearTwins, near_groups

WORDS, PIECES = 165, 5
PLANTED = 0.1
BOOK_CHARACTERS = 5_000_000
SHINGLE = 5
STRANGERS = 0.6
WORD = re.compile(r"\w+")
MILLION, MILLION_WORDS, BATCH = 1_000_000, 90, 5_000
ADDRESS_SPACE = 2 * 1024**3
Groups = list[int]


class Pair(NamedTuple):
    """Two rows of a piece, and how alike they are."""

    one: int
    other: int
    likeness: float


class Piece(NamedTuple):
    """Some rows, and the pairs that were planted into them."""

    rows: list[str]
    pairs: list[Pair]


def book_words() -> list[str]:
    """Return some of the words of real books, in order."""
    with gzip.open(MATERIAL / "text" / "childrens_classics_pd.txt.gz", "rt", encoding="utf-8") as file:
        return file.read(BOOK_CHARACTERS).split()


def planted(words: list[str], count: int, chance: random.Random) -> Piece:
    """Return rows of which every tenth is made of another one: one half are twins, the other strangers."""
    made = int(count * PLANTED)
    rows = [" ".join(chance.choices(words, k=WORDS)) for _ in range(count - made)]
    origins = chance.sample(range(len(rows)), made)
    for place, origin in enumerate(origins):
        rows.append(changed(rows[origin], place % 8 // 2 if place % 2 else chance.randint(9, 25), words, chance))
    pairs = [(origin, count - made + place) for place, origin in enumerate(origins)]
    order = list(range(count))
    chance.shuffle(order)
    place_of = {row: place for place, row in enumerate(order)}
    shuffled = [rows[row] for row in order]
    return Piece(shuffled, [Pair(place_of[one], place_of[other], likeness(rows[one], rows[other])) for one, other in pairs])


def changed(text: str, changes: int, words: list[str], chance: random.Random) -> str:
    """Return a text with some words replaced, and in capitals at its start."""
    parts = text.split(" ")
    for place in chance.sample(range(len(parts)), changes):
        parts[place] = chance.choice(words)
    return " ".join(parts).capitalize()


def shingles(text: str) -> set[bytes]:
    """Return a text's runs of five words, the way they are usually made for datasketch."""
    words = WORD.findall(text.casefold())
    return {" ".join(words[start : start + SHINGLE]).encode() for start in range(len(words) - SHINGLE + 1)}


def likeness(one: str, other: str) -> float:
    """Return which share of their shingles two texts have in common."""
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


def ours(rows: list[str]) -> Groups:
    """Group rows our way."""
    found: Groups = near_groups(rows).tolist()
    return found


def theirs(rows: list[str], **options: Any) -> Groups:
    """Group rows with datasketch: each joins the first row it finds among those before it."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    groups: Groups = []
    for row, sketch in enumerate(MinHash.generator(map(shingles, rows), num_perm=128, **options)):
        twins = index.query(sketch)
        groups.append(groups[min(twins)] if twins else row)
        index.insert(row, sketch, check_duplication=False)
    return groups


WAYS: dict[str, Callable[[list[str]], Groups]] = {
    "datasketch": theirs,
    "datasketch_xxhash": lambda rows: theirs(rows, hashfunc=xxh32_intdigest),
}


def together(groups: Groups, pairs: list[Pair]) -> float:
    """Return which share of pairs is in one group."""
    return sum(groups[pair.one] == groups[pair.other] != -1 for pair in pairs) / len(pairs)


def timed(way: Callable[[list[str]], Groups], rows: list[str]) -> tuple[Groups, dict[str, float]]:
    """Return the groups, and how many rows a second of the processor and of the clock took."""
    clock, processor = time.perf_counter(), time.process_time()
    groups = way(rows)
    return groups, {
        "rows_a_processor_second": len(rows) / (time.process_time() - processor),
        "rows_a_second": len(rows) / (time.perf_counter() - clock),
    }


def whole(pieces: list[Piece]) -> Piece:
    """Return all pieces as one."""
    starts = [sum(len(piece.rows) for piece in pieces[:place]) for place in range(len(pieces))]
    pairs = [
        Pair(pair.one + start, pair.other + start, pair.likeness)
        for start, piece in zip(starts, pieces, strict=True)
        for pair in piece.pairs
    ]
    return Piece([row for piece in pieces for row in piece.rows], pairs)


def compare(pieces: list[Piece], repeats: int) -> dict[str, Any]:
    """Return speed and recall of every way, taken in turns."""
    everything = whole(pieces)
    runs: dict[str, list[dict[str, float]]] = {"hone": [], **{name: [] for name in WAYS}}
    for way in (ours, *WAYS.values()):
        way(everything.rows[:1_000])
    for repeat in range(repeats):
        runs["hone"].append(judged(everything, *timed(ours, everything.rows)))
        for name, way in WAYS.items():
            piece = pieces[repeat % len(pieces)]
            runs[name].append(judged(piece, *timed(way, piece.rows)))
        print({name: round(made[-1]["rows_a_processor_second"]) for name, made in runs.items()}, flush=True)
    figures: dict[str, Any] = {name: {key: spread([run[key] for run in made]) for key in made[0]} for name, made in runs.items()}
    for name in WAYS:
        ratios = [
            one["rows_a_processor_second"] / other["rows_a_processor_second"] for one, other in zip(runs["hone"], runs[name], strict=True)
        ]
        figures[name]["hone_is_faster_by"] = spread(ratios)
    return figures


def judged(piece: Piece, groups: Groups, speed: dict[str, float]) -> dict[str, float]:
    """Return a run's speed, with which share of twins it put together, and of strangers."""
    twins = [pair for pair in piece.pairs if pair.likeness >= THRESHOLD]
    strangers = [pair for pair in piece.pairs if pair.likeness < STRANGERS]
    return {**speed, "recall": together(groups, twins), "strangers_together": together(groups, strangers)}


def spread(values: list[float]) -> dict[str, float]:
    """Return the median of some measurements, and the lowest and the highest."""
    return {name: float(f"{of(values):.4g}") for name, of in (("median", statistics.median), ("lowest", min), ("highest", max))}


def million(kind: str) -> dict[str, Any]:
    """Group a million rows within 2 GiB of address space, and return what it took."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    source = million_rows(kind, book_words())
    before, seconds, characters = peak_mib(), 0.0, 0
    with NearTwins() as twins:
        while rows := list(islice(source, BATCH)):
            characters += sum(map(len, rows))
            texts, start = pa.array(rows, pa.string()), time.process_time()
            twins.add(texts)
            seconds += time.process_time() - start
        start = time.process_time()
        groups = twins.groups(lambda _: None)
        seconds += time.process_time() - start
    return {
        "characters_a_row": round(characters / MILLION),
        "processor_seconds": round(seconds, 1),
        "mib": round(peak_mib() - before),
        "rows_in_groups": int((groups >= 0).sum()),
    }


def million_rows(kind: str, words: list[str]) -> Iterator[str]:
    """Yield rows that are all different, all the same, or all of one template, of which two thirds are the same."""
    chance = random.Random(7)  # noqa: S311 - repeatable
    template = " ".join(chance.choices(words, k=MILLION_WORDS))
    shared = template.split(" ", MILLION_WORDS * 2 // 3)
    for _ in range(MILLION):
        if kind == "same":
            yield template
        elif kind == "template":
            yield " ".join([*shared[:-1], *chance.choices(words, k=MILLION_WORDS // 3)])
        else:
            yield " ".join(chance.choices(words, k=MILLION_WORDS))


def peak_mib() -> float:
    """Return the most memory this process has had; not by getrusage, which begins with what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Compare, then take a million rows in a process of its own, and keep all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--million", choices=("different", "same", "template"), help="only this, as JSON")
    wanted = parser.parse_args()
    if wanted.million:
        print(json.dumps(million(wanted.million)))
        return
    words, chance = book_words(), random.Random(7)  # noqa: S311 - repeatable
    pieces = [planted(words, wanted.rows // PIECES, chance) for _ in range(PIECES)]
    likes = [pair.likeness for piece in pieces for pair in piece.pairs]
    figures: dict[str, Any] = {
        "rows": wanted.rows,
        "characters_a_row": round(sum(len(row) for piece in pieces for row in piece.rows) / wanted.rows),
        "planted": {"twins": sum(like >= THRESHOLD for like in likes), "strangers": sum(like < STRANGERS for like in likes)},
        "peer": f"datasketch {version('datasketch')}",
        "repeats": wanted.repeats,
        **compare(pieces, wanted.repeats),
        "a_million_rows": {},
    }
    for kind in ("different", "same", "template"):
        made = subprocess.run(
            [sys.executable, "-m", "bench.near_duplicates", "--million", kind], check=True, capture_output=True, text=True
        )
        figures["a_million_rows"][kind] = json.loads(made.stdout)
    print(json.dumps(figures, indent=2))
    print(f"Kept in {keep('near_duplicates', figures).name}")


if __name__ == "__main__":
    main()
