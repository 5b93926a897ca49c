"""Which files of a dataset on the Hub belong to which configuration and split: by its card, else by folders and names.

The rules are the Hub's own, so that the splits are those that its viewer shows.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from fnmatch import translate
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Piece = Callable[[str], object] | None
    """Tells whether a part of a path fits; None where any number of them does."""
    Splits = dict[str, list[str]]

KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
PACKED = frozenset({".gz", ".zst", ".zip"})
KINDS = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".xlsx"})
NOT_ROWS = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "dummy_data.zip"})
SHARD = re.compile(r"data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]+")
HIDDEN = re.compile(r"(?:^|/)[._]")
NO_WORD = re.compile(r"[-._ 0-9/]+")
WILD = re.compile(r"[*?\[]")
MAX_STEPS = 500_000
"""Each is a few calls, about a microsecond: whoever writes a card decides how many it takes, and may not keep a process busy by them."""
STEPS_OF_A_LETTER, STEPS_OF_AN_ENTRY, STEPS_OF_A_NAME = 8, 6, 10
"""What it takes to read a letter of a pattern and an entry of a card, and to tell a file's split by its name."""
PARTS_OF_A_STEP, LETTERS_OF_A_STEP, LETTERS_SORTED_IN_A_STEP = 4, 100, 10
"""How many parts of a path ** goes through, how many letters are compared, and how many of a path are sorted, in one step."""


def kind_of(path: str) -> str:
    """Return the ending that says how a file of rows is written, or nothing for other files."""
    name = path.rpartition("/")[2].lower()
    if name in NOT_ROWS or HIDDEN.search(path):
        return ""
    stem, dot, last = name.rpartition(".")
    ending = dot + last
    if ending in PACKED:
        inner = "." + stem.rpartition(".")[2]
        return inner if inner in KINDS else ending if ending == ".zip" else ""
    return ending if ending in KINDS else ""


def sort_files(paths: Sequence[str], card: Any) -> dict[str, Splits]:
    """Return configuration → split → files, given all paths of a dataset and the head of its README."""
    files = _Files(paths)
    found = {str(entry.get("config_name", "default")): _declared(files, entry) for entry in _configs_of(card) if isinstance(entry, dict)}
    found = {name: splits for name, splits in found.items() if splits}
    if found:
        return found
    by_name = split_by_name(_of_commonest_kind(files.there))
    return {"default": by_name} if by_name else {}


def split_by_name(paths: Sequence[str]) -> Splits:
    """Return split → files by shards in data/, else by folders, else by names; files without any are for training."""
    for rule in (_by_shard, _by_folder, _by_filename):
        found: Splits = {}
        for path in paths:
            if split := rule(path):
                found.setdefault(split, []).append(path)
        if found:
            return found
    return {"train": list(paths)} if paths else {}


def matches(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern: * stays in a folder, ** goes through any number of them."""
    return _fit(path.split("/"), [_piece(piece) for piece in pattern.removeprefix("./").split("/")])


class _Files:
    """The files of rows there are, found by where they lie; Invalid once that has taken more steps than there may be."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._steps = 0
        self.count(sum(1 + len(path) // LETTERS_SORTED_IN_A_STEP for path in paths))
        self.there = [path for path in paths if kind_of(path)]
        self._paths = sorted(self.there)

    def below(self, start: str) -> list[str]:
        """Return the files whose paths begin so."""
        first = bisect_left(self._paths, start)
        there = (self._paths[place] for place in range(first, len(self._paths)))
        found = list(takewhile(lambda path: path.startswith(start), there))
        self.count(STEPS_OF_A_NAME + len(found))
        return found

    def fitting(self, pattern: str) -> list[str]:
        """Return the files that a pattern means."""
        pattern = pattern.removeprefix("./")
        start = WILD.split(pattern, maxsplit=1)[0]
        there, known = self.below(start), start.rfind("/") + 1
        pieces = pattern[known:].split("/")
        self.count(len(pieces) + STEPS_OF_A_LETTER * sum(len(piece) for piece in pieces if WILD.search(piece)))
        fits = [_piece(piece) for piece in pieces]
        parts = PARTS_OF_A_STEP if None in fits else LETTERS_OF_A_STEP
        self.count(len(pieces) * sum(1 + path.count("/") // parts + len(path) // LETTERS_OF_A_STEP for path in there))
        return [path for path in there if _fit(path[known:].split("/"), fits)]

    def count(self, steps: int) -> None:
        """Count steps that are about to be taken."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise Invalid(
                "This dataset has more files, or declares more, than can be looked through. Fetch its files one by one by their address."
            )


def _piece(wanted: str) -> Piece:
    if wanted == "**":
        return None
    return re.compile(translate(wanted)).match if WILD.search(wanted) else wanted.__eq__


def _fit(parts: list[str], wanted: list[Piece]) -> bool:
    # Which numbers of parts can have been used up so far: no pattern can make this slow.
    reached = {0}
    for place, piece in enumerate(wanted):
        if piece is None:
            last = place == len(wanted) - 1
            reached = set(range(min(reached) + (1 if last else 0), len(parts) + 1)) if reached else set()
        else:
            reached = {used + 1 for used in reached if used < len(parts) and piece(parts[used])}
    return len(parts) in reached


def _configs_of(card: Any) -> list[Any]:
    configs = card.get("configs") if isinstance(card, dict) else None
    return configs if isinstance(configs, list) else []


def _declared(files: _Files, entry: dict[Any, Any]) -> Splits:
    folder, patterns = entry.get("data_dir"), _patterns(entry.get("data_files"))
    root = f"{folder.strip('/')}/" if isinstance(folder, str) and folder.strip("/") else ""
    files.count(STEPS_OF_AN_ENTRY + len(patterns))
    if not patterns:
        inside = files.below(root) if root else []
        files.count(STEPS_OF_A_NAME * len(inside))
        return split_by_name(_of_commonest_kind(inside))
    taken = {split: {path for each in wanted for path in files.fitting(root + each)} for split, wanted in patterns.items()}
    return {split: sorted(paths) for split, paths in taken.items() if paths}


def _patterns(written: Any) -> dict[str, list[str]]:
    """Return split → patterns from each of the ways a card may write them."""
    if isinstance(written, str):
        return {"train": [written]}
    if isinstance(written, dict):
        return {str(split): _texts(paths) for split, paths in written.items()}
    found: dict[str, list[str]] = {}
    for each in written if isinstance(written, list) else []:
        if isinstance(each, dict):
            found.setdefault(str(each.get("split", "train")), []).extend(_texts(each.get("path")))
        else:
            found.setdefault("train", []).extend(_texts(each))
    return found


def _texts(written: Any) -> list[str]:
    return [each for each in (written if isinstance(written, list) else [written]) if isinstance(each, str)]


def _of_commonest_kind(paths: Sequence[str]) -> list[str]:
    """Return the files of the kind there is most of: what lies beside them is notes and leftovers."""
    counts = Counter(kind_of(path) for path in paths)
    # Of two kinds with as many files, the one that has its structure with it.
    best = max(counts, key=lambda kind: (counts[kind], kind == ".parquet", kind == ".jsonl", kind != ".txt", kind), default="")
    return [path for path in paths if kind_of(path) == best]


def _by_shard(path: str) -> str:
    found = SHARD.fullmatch(path)
    return found["split"] if found else ""


def _by_folder(path: str) -> str:
    return _keyword(path.rpartition("/")[0])


def _by_filename(path: str) -> str:
    return _keyword(path.rpartition("/")[2])


def _keyword(name: str) -> str:
    words = set(NO_WORD.split(name.lower()))
    return next((split for split, keywords in KEYWORDS.items() if not words.isdisjoint(keywords)), "")
