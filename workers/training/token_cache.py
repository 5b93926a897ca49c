"""Masked rows kept by what they were made of, so that a run that goes on, or the next one over the same rows, need not tokenise.

A file is found by a hash over the rows' own hashes (whoever wrote the rows answers for them), the tokenizer's files, the template, the
longest row allowed and whatever makes tokens, its source or version; so what is found is what would be made again. A file that is
damaged is made anew, and a disk that takes none costs only the time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from workers.training.masks import MaskedRow
from workers.training.prepare import Prepared, Refusal
from workers.training.room import fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from workers.training.rows import Row, Rows
    from workers.training.templates import ChatTemplate

OURS = (
    "app.domain.repairs",
    *(
        f"workers.training.{name}"
        for name in ("encoder", "masks", "prepare", "rows", "templates", "token_cache", "tokenizer", "turns", "watched")
    ),
)
"""The modules that decide what is made of rows: with a change of theirs everything is made anew."""
MAKERS = ("tokenizers", "transformers", "jinja2")
MOST_BYTES = 4 * 2**30
"""Of all files; the ones that were used last stay."""
MOST_OF_ONE = MOST_BYTES // 4
KEPT_SECONDS = 14 * 86_400
"""So long after its last use a file goes, since the rows it was made of may be gone as well."""
STAGED_SECONDS = 3_600
"""After so long what is half written has nobody who writes it."""
BYTES_OF_A_ROW = 17
"""Beside its tokens: its number, where it ends, and whether it was cut."""
SUFFIX, STAGED = ".safetensors", ".part"
TOKENIZER_FILES = ("*.json", "*.jinja", "*.model", "*.txt")
Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Made:
    """What a run's rows became: those to train on, and those to check on."""

    train: Prepared
    held_out: Prepared

    @property
    def size(self) -> int:
        """Return about how many bytes it takes on a disk."""
        rows = chain(self.train.rows, self.held_out.rows)
        return sum(row.ids.nbytes + row.trained.nbytes + BYTES_OF_A_ROW for row in rows)


class TokenCache:
    """Masked rows in a folder, which several runs may use at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Made | None:
        """Return what was made before; None when there is nothing, or nothing whole."""
        path = self._path(key)
        try:
            made = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            print(f"The tokens kept in {path} cannot be read, so they are made anew: {error}", file=sys.stderr, flush=True)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # a folder that may only be read serves as well
            os.utime(path)
            self._make_room(0)
        return made

    def keep(self, key: str, made: Made) -> None:
        """Write it beside the others, whole or not at all; the ones unused for longest make room."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(made.size)
            if made.size <= MOST_OF_ONE and fits(self._folder, made.size):
                self._write(self._path(key), _written(made))
        except OSError as error:
            print(f"The tokens are not kept for later runs: {error}", file=sys.stderr, flush=True)

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=STAGED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            # Whoever has made the same at the same time has made the same bytes.
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _make_room(self, coming: int) -> None:
        now, total = time.time(), coming
        for path, size, used in sorted(_files(self._folder), key=lambda file: -file[2]):
            total += size
            age = now - used
            if total > MOST_BYTES or age > (STAGED_SECONDS if path.suffix == STAGED else KEPT_SECONDS):
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"


def cache_key(base: Path, rows: Rows, template: ChatTemplate, max_length: int) -> str:
    """Return the hash of all that decides what rows become."""
    parts: list[Any] = [_sources(), {name: version(name) for name in MAKERS}, template.text, template.special_tokens, max_length]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in sorted({path for pattern in TOKENIZER_FILES for path in base.glob(pattern)}):
        key.update(f"\n{path.name} ".encode())
        key.update(path.read_bytes())
    for side in (rows.train, rows.held_out):
        key.update(b"\nrows ")
        for row in side:
            key.update(_spelt(row))
    return key.hexdigest()


@functools.cache
def _sources() -> str:
    top = Path(__file__).parents[2]
    return hashlib.sha256(b"".join((top / f"{name.replace('.', '/')}.py").read_bytes() for name in OURS)).hexdigest()


def _spelt(row: Row) -> bytes:
    return f"{row.number} {row.hash}\n".encode()


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:  # another run has made room
            continue
        if path.suffix in {SUFFIX, STAGED}:
            yield path, status.st_size, status.st_mtime


def _written(made: Made) -> bytes:
    arrays = {f"{side}.{name}": array for side in ("train", "held_out") for name, array in _arrays(getattr(made, side)).items()}
    notes = {side: _Notes.of(getattr(made, side)) for side in ("train", "held_out")}
    told = json.dumps({side: asdict(note) for side, note in notes.items()})
    return save(arrays, {"notes": told, "sha256": _digest(arrays, told)})


def _read(path: Path) -> Made:
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    if _digest(arrays, metadata["notes"]) != metadata["sha256"]:
        message = "its content is not what was written"
        raise ValueError(message)
    notes = json.loads(metadata["notes"])
    sides = (_prepared({name: arrays[f"{side}.{name}"] for name in NAMES}, _Notes(**notes[side])) for side in ("train", "held_out"))
    return Made(*sides)


def _digest(arrays: Arrays, notes: str) -> str:
    content = hashlib.sha256(notes.encode())
    for name in sorted(arrays):
        content.update(np.ascontiguousarray(arrays[name]).data)
    return content.hexdigest()


NAMES = ("ids", "trained", "ends", "cut", "numbers")


def _arrays(prepared: Prepared) -> Arrays:
    rows = prepared.rows
    return {
        "ids": _joined((row.ids for row in rows), np.int32),
        "trained": _joined((row.trained for row in rows), np.bool_),
        "ends": np.cumsum([len(row.ids) for row in rows], dtype=np.int64),
        "cut": np.asarray([row.cut for row in rows], dtype=np.bool_),
        "numbers": np.asarray(prepared.numbers, dtype=np.int64),
    }


def _joined(parts: Iterable[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts])


@dataclass(frozen=True)
class _Notes:
    """What is known of prepared rows besides their tokens."""

    counts: dict[str, int]
    lists: dict[str, list[int]]
    beyond: list[tuple[int, int]]
    refusals: dict[str, tuple[str, list[int]]]

    COUNTS = ("longest", "truncated", "untrained", "borders_differ", "slow")
    LISTS = ("silent", "doubled", "marked")

    @classmethod
    def of(cls, prepared: Prepared) -> Self:
        counts = {name: int(getattr(prepared, name)) for name in cls.COUNTS}
        lists = {name: getattr(prepared, name) for name in cls.LISTS}
        refusals = {reason: (refusal.code, refusal.rows) for reason, refusal in prepared.refusals.items()}
        return cls(counts, lists, list(prepared.beyond.items()), refusals)


def _prepared(arrays: Arrays, notes: _Notes) -> Prepared:
    ids, trained = arrays["ids"], arrays["trained"]
    borders = [0, *arrays["ends"].tolist()]
    rows = [
        MaskedRow(ids[first:end], trained[first:end], cut=cut)
        for (first, end), cut in zip(pairwise(borders), arrays["cut"].tolist(), strict=True)
    ]
    refusals = {reason: Refusal(code, numbers) for reason, (code, numbers) in notes.refusals.items()}
    others: dict[str, Any] = {**notes.counts, **notes.lists}
    return Prepared(rows, arrays["numbers"].tolist(), beyond=dict(notes.beyond), refusals=refusals, **others)
