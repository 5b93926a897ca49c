"""What a run would learn from a dataset, asked of the inference server before anything is launched; the answer is kept while it holds."""

from __future__ import annotations

import json
import random
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyarrow import ArrowInvalid
from sqlalchemy import select

from app.db import Run
from app.db.session import reading
from app.domain.datasets import DatasetStatus, Row, Split
from app.domain.errors import Conflict, StudioError, Unavailable
from app.domain.preflight import PreflightFailed
from app.domain.specs import parse_settings
from app.services.datasets import Datasets

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from app.db import DatasetVersion
    from app.domain.ports import BaseModels, Looker, Queue, RowFile, Storage
    from app.domain.preflight import Preflight
    from app.domain.specs import RunRequest, TrainingSettings
    from app.services.accounts import Identity

MOST_ROWS, MOST_BYTES = 4_000, 8_000_000
"""More would not be looked at within two seconds; of larger datasets as many are picked by lot."""
MOST_LETTERS = 64_000_000
"""So much is read at most to find rows that are small enough, or are trained on at all; one row is held at a time meanwhile."""
MOST_OF_A_ROW = 1_000_000
"""Larger rows are not looked at: one alone would take longer than there is time for all."""
BLOCK_ROWS = 40
"""Rows that are picked together: they lie together, and a block costs little more than a row."""
EXTREMES = 3
KEPT = 32
RUNS_ASKED = 20
TOO_LARGE = "The rows are too large to be looked at: each has more than a megabyte. The run cuts them to its context."
NOT_HERE = "{base} is not on this machine yet, so its tokenizer cannot be asked. The run fetches it, and looks before its first step."
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class _Asked:
    """What a preflight depends on."""

    version_id: str
    base: Path
    stamp: tuple[tuple[str, int, int], ...]
    max_length: int
    batch_size: int
    seed: int
    chat_template: str
    all_train: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What of it the inference server is told."""
        return {name: getattr(self, name) for name in ("max_length", "batch_size", "seed", "chat_template")}


@dataclass(frozen=True)
class _Rows:
    """The file of a version's rows, and what is known of them."""

    file: RowFile
    count: int
    total: int
    extremes: list[int] = field(default_factory=list)


class Preflights:
    """Looks at datasets as runs would learn from them."""

    def __init__(self, engine: Engine, storage: Storage, queue: Queue, models: BaseModels, looker: Looker) -> None:
        self.engine, self.storage, self.queue, self.models, self.looker = engine, storage, queue, models, looker
        self._kept: OrderedDict[_Asked, Preflight] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, by: Identity, dataset_id: str, base: str, settings: TrainingSettings, *, all_train: bool = False) -> Preflight:
        """Return what would be learnt; Unavailable while nobody can look. `all_train`: no rows of these are held out."""
        found = self.models.find(base)
        # In a session of its own, which is closed before it takes long: nobody else waits for the database meanwhile.
        with reading(self.engine) as session:
            folder = found.folder or _fetched(session, by, found.name)
            if folder is None:
                raise Unavailable(NOT_HERE.format(base=base), param="base_model")
            version = self._version(Datasets(session, self.storage, self.queue), by, dataset_id)
            asked = _Asked(
                version.id, folder, _stamp(folder), settings.max_length, settings.batch_size, settings.seed,
                settings.chat_template, all_train,
            )  # fmt: skip
            if known := self._known(asked):
                return known
            total, sha256, findings = version.rows if all_train else version.train_rows, version.artifact.sha256, version.file("findings")
            count, findings_sha256 = version.rows, findings.sha256 if findings else None
        extremes = self.storage.findings(findings_sha256).extremes(EXTREMES) if findings_sha256 and count > MOST_ROWS else []
        rows = _Rows(self.storage.rows(sha256), count, total, extremes)
        return self._keep(asked, self.looker.look(_body(asked, rows)))

    def require(self, by: Identity, request: RunRequest) -> Preflight | None:
        """Raise PreflightFailed when a run would learn nothing, or the wrong thing; return what was seen, if anybody could look.

        When that cannot be told here, or the request is wrong in another way, the launch or the trainer tells; so it is with a file of
        rows that Arrow calls invalid, which the trainer names with what to do.
        """
        try:
            settings = parse_settings(request)
            all_train = request.eval_dataset_id is not None
            found = self.look(by, request.dataset_id, request.base_model, settings, all_train=all_train)
        except (StudioError, ArrowInvalid):
            return None
        if found.blocking:
            raise PreflightFailed(found.blocking)
        return found

    def _version(self, datasets: Datasets, by: Identity, dataset_id: str) -> DatasetVersion:
        dataset = datasets.get(by, dataset_id)
        if dataset.status != DatasetStatus.READY or dataset.version is None:
            message = "The dataset has no rows to look at yet."
            raise Conflict(message, param="dataset_id", code="dataset_not_ready")
        return dataset.version

    def _known(self, asked: _Asked) -> Preflight | None:
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
            return self._kept.get(asked)

    def _keep(self, asked: _Asked, found: Preflight) -> Preflight:
        with self._lock:
            self._kept[asked] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a base's tokenizer is written anew."""
    there = [path for path in (folder / name for name in TOKENIZER_FILES) if path.is_file()]
    return tuple((path.name, (status := path.stat()).st_size, status.st_mtime_ns) for path in there)


def _fetched(session: Session, by: Identity, base: str) -> Path | None:
    """Return where an earlier run has put a base from the Hub, if that is on this machine."""
    runs = select(Run.facts).where(Run.project_id == by.project_id, Run.base_model == base).order_by(Run.id.desc()).limit(RUNS_ASKED)
    places = (Path(facts["base_dir"]) for facts in session.scalars(runs) if facts.get("base_dir"))
    return next((place for place in places if place.is_dir()), None)


def _body(asked: _Asked, rows: _Rows) -> bytes:
    """Return what the inference server is asked, as JSON."""
    picked = _picked(rows, all_train=asked.all_train)
    told = [line for _, line in sorted(picked.told.items())]
    if picked.trained and not told:
        raise Unavailable(TOO_LARGE)
    total = picked.trained if len(picked.seen) == rows.count else rows.total
    head = json.dumps({"base_dir": str(asked.base), "total_rows": total, **asked.settings}, ensure_ascii=False).encode()
    return b"".join((head[:-1], b', "rows": [', b", ".join(told), b"]}"))


@dataclass
class _Picked:
    """The rows that were looked up, how many of them would be trained on, and these as JSON unless they are too large."""

    seen: set[int] = field(default_factory=set)
    trained: int = 0
    told: dict[int, bytes] = field(default_factory=dict)
    told_bytes: int = 0
    letters: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether no more rows should be looked up."""
        return len(self.seen) >= MOST_ROWS or self.told_bytes >= MOST_BYTES or self.letters >= MOST_LETTERS

    def add(self, row: Row, *, is_trained: bool) -> None:
        """Take a row that was looked up."""
        letters = row.letters
        self.seen.add(row.row)
        self.letters += letters
        if not is_trained:
            return
        self.trained += 1
        line = _line(row) if letters <= MOST_OF_A_ROW else b""
        if 0 < len(line) <= MOST_OF_A_ROW:
            self.told[row.row] = line
            self.told_bytes += len(line)


def _picked(rows: _Rows, *, all_train: bool) -> _Picked:
    """Look up the longest and the shortest rows if they are known, and blocks by lot until it is enough."""
    blocks = [range(first, min(first + BLOCK_ROWS, rows.count)) for first in range(0, rows.count, BLOCK_ROWS)]
    # The same rows each time, so that a change of settings shows in the figures alone.
    random.Random(0).shuffle(blocks)  # noqa: S311 - a sample, no secret
    picked = _Picked()
    for block in [rows.extremes, *blocks]:
        for row in rows.file.each(number for number in block if number not in picked.seen):
            picked.add(row, is_trained=row.label is not False and (all_train or row.split is Split.TRAIN))
            if picked.is_enough:
                return picked
    return picked


def _line(row: Row) -> bytes:
    told = {"number": row.row + 1, "messages": [message.model_dump() for message in row.messages]}
    return json.dumps(told | ({"tools": row.tools} if row.tools else {}), ensure_ascii=False).encode()
