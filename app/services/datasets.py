"""What one can do with datasets: bring a file, map its columns, look at rows, take it away, drop it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from app.db import Dataset, DatasetFile, DatasetVersion, EventRow, Import, Run
from app.db.artifacts import keep
from app.db.audit import DATASET_DELETED, OUTSIDE_ASKED, note
from app.db.base import utc_now
from app.db.datasets import drop_uploads
from app.db.runs import forget_rows
from app.db.session import after_commit, pause
from app.domain.datasets import DatasetStatus, Mapping
from app.domain.errors import Conflict, NotFound
from app.domain.mapping import check_columns
from app.domain.runs import ENDED, RunStatus, after_request
from app.services.paging import Page, newest_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.domain.datasets import Row
    from app.domain.ports import Brought, Queue, RowFile, Sealed, Storage
    from app.domain.sources import Source
    from app.services.accounts import Identity

IMPORT_QUEUE = "cpu"
EVENTS_SHOWN = 200


@dataclass(frozen=True)
class Ready:
    """What can be trained on: how many rows, and the dataset that came last."""

    rows: int
    newest: Dataset | None


class Datasets:
    """The datasets of a project."""

    def __init__(self, session: Session, storage: Storage, queue: Queue) -> None:
        self.session, self.storage, self.queue = session, storage, queue

    def create(self, by: Identity, *, name: str, files: Sequence[Brought]) -> Dataset:
        """Keep finished uploads and have them read as one dataset; the files are moved into the store."""
        sealed = self._seal(files)
        dataset = Dataset(project_id=by.project_id, created_by=by.user_id, name=name[:200], filename=files[0].filename[-255:])
        self.session.add(dataset)
        self.session.flush()
        kept = self._keep(by, dataset, sealed)
        self.work(by, dataset, {"kind": "import"}, kept)
        return dataset

    def create_from(self, by: Identity, *, name: str, source: Source) -> Dataset:
        """Have a dataset fetched from outside and read."""
        dataset = Dataset(project_id=by.project_id, created_by=by.user_id, name=name[:200], filename=source.describe()[-255:])
        self.session.add(dataset)
        self.session.flush()
        self._tell(dataset, "asked", f"It is to be fetched from {source.describe()}.")
        note(self.session, by.project_id, by.user_id, OUTSIDE_ASKED, dataset.id, source=source.describe(), why="a dataset")
        self.work(by, dataset, {"kind": "fetch", "source": source.model_dump(mode="json")})
        return dataset

    def append(self, by: Identity, dataset_id: str, files: Sequence[Brought]) -> Dataset:
        """Have the rows of more files put behind those there are, as a new version; Conflict while there are none or work goes on."""
        sealed = self._seal(files)
        dataset = self.get(by, dataset_id, to_change=True)
        self.require_idle(dataset)
        if dataset.version is None:
            message = "This dataset has no rows to add others to. Map its columns, or upload the files as a new dataset."
            raise Conflict(message, code="dataset_not_ready")
        first = len(dataset.files)
        kept = self._keep(by, dataset, sealed)
        self.work(by, dataset, {"kind": "append", "first": first}, kept)
        return dataset

    def get(self, by: Identity, dataset_id: str, *, to_change: bool = False) -> Dataset:
        """Return a dataset of the project, locked if something is to be decided by its state, or NotFound."""
        query = self._mine(by).where(Dataset.id == dataset_id)
        if to_change:
            # Work first, as a worker locks them: in the other order the two would wait for each other.
            self.session.scalars(self._live(dataset_id).with_for_update().execution_options(populate_existing=True)).all()
            query = query.with_for_update(of=Dataset).execution_options(populate_existing=True)
        dataset = self.session.scalar(query)
        if dataset is None:
            message = "There is no such dataset."
            raise NotFound(message, code="dataset_not_found")
        return dataset

    def newest(self, by: Identity, *, limit: int = 50, after: str | None = None) -> Page[Dataset]:
        """Return the project's datasets, newest first."""
        return newest_first(self.session, self._mine(by), Dataset.id, limit=limit, after=after)

    def ready(self, by: Identity) -> Ready:
        """Return what of the project's data can be trained on."""
        ready = self._mine(by).where(Dataset.status == DatasetStatus.READY)
        rows = ready.join(DatasetVersion, DatasetVersion.id == Dataset.version_id).with_only_columns(func.sum(DatasetVersion.rows))
        return Ready(self.session.scalar(rows) or 0, self.session.scalar(ready.order_by(Dataset.id.desc()).limit(1)))

    def remap(self, by: Identity, dataset_id: str, mapping: Mapping | None, system: str | None) -> Dataset:
        """Say which columns hold question and answer, and read the upload again; Conflict once a run has used the rows."""
        dataset = self.get(by, dataset_id, to_change=True)
        self.require_idle(dataset)
        if dataset.version and dataset.version.frozen_at:
            message = "A run has used these rows, so they stay as they are. Upload the file again to map it differently."
            raise Conflict(message, code="dataset_frozen")
        if any(file.upload is None for file in dataset.files) or not dataset.files:
            message = "The uploaded file is not kept any more, since no row of it was usable. Upload it again."
            raise Conflict(message, code="upload_gone")
        if mapping:
            check_columns(mapping, dataset.report.get("columns", []))
        before = {"mapping": dataset.mapping, "system": dataset.system}
        dataset.mapping = mapping.model_dump(exclude_none=True) if mapping else dataset.mapping
        dataset.system = system if system is not None else dataset.system
        dataset.status, dataset.reason = DatasetStatus.IMPORTING, ""
        self._tell(dataset, "mapped", "Columns were mapped.")
        self.work(by, dataset, {"kind": "import", "before": before}, sum(file.upload.size_bytes for file in dataset.files if file.upload))
        return dataset

    def rows(self, by: Identity, dataset_id: str, *, limit: int = 50, after: int = -1) -> Page[Row]:
        """Return a page of conversations in file order; `after` is the last row number one has seen."""
        file = self._file(self.get(by, dataset_id))
        if file is None:
            return Page([], has_more=False)
        return Page(*file.page(after, limit))

    def export(self, by: Identity, dataset_id: str, *, every_side: bool = False) -> Iterator[bytes]:
        """Yield all rows as chat JSONL; Conflict while there are none. `every_side`: each row says which side it is on."""
        file = self._file(self.get(by, dataset_id))
        if file is None:
            message = "This dataset has no rows to export yet."
            raise Conflict(message, code="dataset_not_ready")
        return file.jsonl(every_side=every_side)

    def delete(self, by: Identity, dataset_id: str) -> None:
        """Drop a dataset; Conflict while a run that has not ended uses it. Its rows stay while a run's record names them."""
        dataset = self.get(by, dataset_id, to_change=True)
        versions = select(DatasetVersion.id).where(DatasetVersion.dataset_id == dataset.id)
        used = or_(Run.version_id.in_(versions), Run.eval_version_id.in_(versions))
        in_use = self.session.scalar(select(Run.name).where(used, Run.status.not_in(ENDED)).limit(1))
        if in_use is not None:
            message = f"The run {in_use!r} still uses this dataset. Cancel it, or wait until it has ended."
            raise Conflict(message, code="dataset_in_use")
        dataset.deleted_at = utc_now()
        note(self.session, by.project_id, by.user_id, DATASET_DELETED, dataset.id)
        for work in self.session.scalars(self._live(dataset.id)):
            if work.status != RunStatus.CANCELLING:
                work.move_to(after_request("cancel", RunStatus(work.status)), "The dataset was deleted.")
        drop_uploads(self.session, dataset, self.storage)
        self.session.flush()
        for version_id in self.session.scalars(versions.order_by(DatasetVersion.id)).all():
            forget_rows(self.session, version_id, self.storage)

    def reading(self, dataset: Dataset) -> Import | None:
        """Return the newest piece of work on a dataset: what it is, and how far."""
        return self.session.scalar(select(Import).where(Import.dataset_id == dataset.id).order_by(Import.id.desc()).limit(1))

    def require_idle(self, dataset: Dataset) -> None:
        """Raise Conflict while a worker is at this dataset, or is to be; a mere look at its rows is called off instead."""
        for work in self.session.scalars(self._live(dataset.id)):
            if work.task.get("kind") != "check":
                message = "A worker is still busy with these rows; wait until that has ended, or cancel it."
                raise Conflict(message, code="dataset_importing")
            if work.status != RunStatus.CANCELLING:
                work.move_to(after_request("cancel", RunStatus(work.status)), "Something else was asked of these rows.")

    def used_by(self, dataset: Dataset) -> list[Run]:
        """Return the runs that used a dataset, newest first."""
        versions = select(DatasetVersion.id).where(DatasetVersion.dataset_id == dataset.id)
        used = or_(Run.version_id.in_(versions), Run.eval_version_id.in_(versions))
        return list(self.session.scalars(select(Run).where(used).order_by(Run.id.desc()).limit(50)))

    def uses(self, datasets: Sequence[Dataset]) -> dict[str, int]:
        """Return how many runs have used each of some datasets."""
        used = or_(Run.version_id == DatasetVersion.id, Run.eval_version_id == DatasetVersion.id)
        counted = select(DatasetVersion.dataset_id, func.count(Run.id.distinct())).join(Run, used)
        mine = counted.where(DatasetVersion.dataset_id.in_([dataset.id for dataset in datasets])).group_by(DatasetVersion.dataset_id)
        return dict(self.session.execute(mine).all())

    def events(self, dataset: Dataset) -> list[EventRow]:
        """Return the last of what happened to a dataset, newest first."""
        newest = select(EventRow).where(EventRow.subject_id == dataset.id).order_by(EventRow.id.desc()).limit(EVENTS_SHOWN)
        return list(self.session.scalars(newest))

    def _live(self, dataset_id: str) -> Select[Import]:
        return select(Import).where(Import.dataset_id == dataset_id, Import.status.not_in(ENDED)).order_by(Import.id)

    def _mine(self, by: Identity) -> Select[Dataset]:
        return select(Dataset).where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None))

    def _file(self, dataset: Dataset) -> RowFile | None:
        if dataset.version is None:
            return None
        sha256 = dataset.version.artifact.sha256
        pause(self.session)
        return self.storage.rows(sha256)

    def work(self, by: Identity, dataset: Dataset, task: dict[str, Any], size: int = 0) -> None:
        """Have a worker do something with a dataset."""
        self.session.add(
            Import(
                project_id=by.project_id, created_by=by.user_id, dataset_id=dataset.id, queue=IMPORT_QUEUE, task=task, total_bytes=size
            )
        )  # fmt: skip
        after_commit(self.session, lambda: self.queue.ring(IMPORT_QUEUE))

    def _seal(self, files: Sequence[Brought]) -> list[tuple[str, Sealed]]:
        """Hash finished files, and send them where the store is remote: before anything is locked, since it may take minutes."""
        return [(file.filename, self.storage.seal(file.path)) for file in files]

    def _keep(self, by: Identity, dataset: Dataset, files: Sequence[tuple[str, Sealed]]) -> int:
        """Move files into the store and enter them behind those there are; return how many bytes they have."""
        for place, (filename, sealed) in enumerate(files, len(dataset.files)):
            entered = DatasetFile(project_id=by.project_id, created_by=by.user_id, position=place, filename=filename[-255:])
            entered.upload = keep(self.session, self.storage, sealed, kind="upload", filename=filename, owner=dataset)
            dataset.files.append(entered)
            self._tell(dataset, "uploaded", f"{filename} was uploaded ({sealed.size_bytes:,} bytes).")
        self.session.flush()
        return sum(sealed.size_bytes for _, sealed in files)

    def _tell(self, dataset: Dataset, kind: str, message: str) -> None:
        self.session.add(EventRow(project_id=dataset.project_id, subject_id=dataset.id, type=kind, message=message))
