"""Which files of a dataset on the Hub belong to which configuration and split: by its card, else by folders and names.

The rules are the Hub's own, so that the splits are those that its viewer shows.
"""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
MAX_WORK = 5_000_000
"""Files times patterns: whoever writes a card decides both, and may not keep a process busy by them."""


def kind_of(path: str) -> str:
    """Return the ending that says how a file of rows is written, or nothing for other files."""
    name = path.rpartition("/")[2].lower()
    if name in NOT_ROWS or any(part.startswith((".", "_")) for part in path.split("/")):
        return ""
    stem, dot, last = name.rpartition(".")
    ending = dot + last
    if ending in PACKED:
        inner = "." + stem.rpartition(".")[2]
        return inner if inner in KINDS else ending if ending == ".zip" else ""
    return ending if ending in KINDS else ""


def sort_files(paths: Sequence[str], card: Any) -> dict[str, Splits]:
    """Return configuration → split → files, given all paths of a dataset and the head of its README."""
    rows = [path for path in paths if kind_of(path)]
    declared = [entry for entry in _configs_of(card) if isinstance(entry, dict)]
    patterns = sum(len(wanted) for entry in declared for wanted in _patterns(entry.get("data_files")).values())
    if patterns * len(rows) > MAX_WORK:
        raise Invalid("This dataset declares more files than can be looked through. Fetch its files one by one by their address.")
    found = {str(entry.get("config_name", "default")): _declared(rows, entry) for entry in declared}
    found = {name: splits for name, splits in found.items() if splits}
    if found:
        return found
    by_name = split_by_name(_of_commonest_kind(rows))
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
    return _fit(path.split("/"), pattern.removeprefix("./").split("/"))


def _fit(parts: list[str], wanted: list[str]) -> bool:
    # Which numbers of parts can have been used up so far: no pattern can make this slow.
    reached = {0}
    for place, piece in enumerate(wanted):
        if piece == "**":
            last = place == len(wanted) - 1
            reached = set(range(min(reached) + (1 if last else 0), len(parts) + 1)) if reached else set()
        else:
            reached = {used + 1 for used in reached if used < len(parts) and fnmatchcase(parts[used], piece)}
    return len(parts) in reached


def _configs_of(card: Any) -> list[Any]:
    configs = card.get("configs") if isinstance(card, dict) else None
    return configs if isinstance(configs, list) else []


def _declared(rows: Sequence[str], entry: dict[Any, Any]) -> Splits:
    folder = entry.get("data_dir")
    inside = [path for path in rows if path.startswith(f"{folder.strip('/')}/")] if isinstance(folder, str) and folder.strip("/") else rows
    wanted = _patterns(entry.get("data_files"))
    if not wanted:
        return split_by_name(_of_commonest_kind(inside)) if inside is not rows else {}
    root = "" if inside is rows else f"{str(folder).strip('/')}/"
    taken = {split: [path for path in inside if any(matches(path, root + each) for each in patterns)] for split, patterns in wanted.items()}
    return {split: paths for split, paths in taken.items() if paths}


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
    return _keyword(path.split("/")[:-1])


def _by_filename(path: str) -> str:
    return _keyword([path.rpartition("/")[2]])


def _keyword(names: Iterable[str]) -> str:
    words = {word for name in names for word in re.split(r"[-._ 0-9]+", name.lower())}
    return next((split for split, keywords in KEYWORDS.items() if words & set(keywords)), "")
