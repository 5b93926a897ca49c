"""What a worker can be asked to do with a dataset: one table of tasks, each with what its child is told and how its result is entered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from app.db import Dataset, DatasetFile, DatasetVersion, EventRow, Import, VersionFile
from app.db.artifacts import drop, keep
from app.db.audit import OUTSIDE_CONTACTED
from app.db.audit import note as audit
from app.db.datasets import KEPT_STEPS, drop_uploads, next_number, shared, states, take_back_files
from app.db.runs import forget_rows
from app.domain.datasets import DatasetStatus, ImportReport
from app.domain.errors import Invalid
from app.domain.ports import Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker

    Out = Callable[[str], Path]
    Needed = Callable[[Worker, Out], dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """What a child has made: what it reports, and the files that wait to be moved into the store, by what they are."""

    report: dict[str, Any]
    reason: str = ""
    files: dict[str, Sealed] = field(default_factory=dict)
    fetched: list[Sealed] = field(default_factory=list)


TOLD_BY_FIXES = ("rows", "train_rows", "test_rows", "problems")
"""What a fix counts anew of a dataset's report; of what was set aside it tells how much it took in."""
CHANGING = (*TOLD_BY_FIXES, "problem_count", "aside", "not_kept")
"""What of a dataset's report a change of its rows changes, and undoing it brings back."""


class Task(Protocol):
    """One kind of work on a dataset."""

    def needs(self, session: Session, row: Import, /) -> Needed:
        """Note what the child is to be told; what is returned gets the files here and says it."""

    def keep(self, session: Session, worker: Worker, row: Import, made: Made, /) -> None:
        """Enter what the child has made; the lease is held."""


def task_of(row: Import) -> str:
    """Return which task a piece of work is; one from before there were several reads a file."""
    return str(row.task.get("kind", "import"))


class ReadFiles:
    """Reads all files of a dataset anew: its rows are then what the files say, whatever was changed before."""

    def needs(self, session: Session, row: Import) -> Needed:  # noqa: ARG002 - the protocol's
        """Tell of every file, and how columns are understood."""
        dataset = row.dataset
        return partial(_reading, self._files(row), {}, {"mapping": dataset.mapping, "system": dataset.system})

    def keep(self, session: Session, worker: Worker, row: Import, made: Made) -> None:
        """Enter the report, and the rows as the dataset's version; an older version that no run froze makes room."""
        report, dataset = ImportReport.model_validate(made.report), row.dataset
        earlier = session.get(DatasetVersion, dataset.version_id) if dataset.version_id else None
        if earlier and report.status != DatasetStatus.READY:
            self._leave(session, row, made.reason)
            return
        dataset.report = report.model_dump(mode="json")
        dataset.status, dataset.reason, dataset.format = report.status, made.reason[:2000], report.format
        row.rows_read = report.rows
        dataset.version_id = None
        if report.status == DatasetStatus.READY:
            add_version(session, worker, row, made, {"kind": "import", "words": f"{report.rows:,} rows were read."})
        _forget(session, worker, states(session, earlier.id) if earlier else ())
        if report.status == DatasetStatus.FAILED and dataset.mapping is None:
            # A table fails only once it is mapped, and may be mapped better; of anything else nothing is kept but the report.
            drop_uploads(session, dataset, worker.storage)
        words = {DatasetStatus.READY: f"{report.rows:,} rows were read.", DatasetStatus.NEEDS_MAPPING: "Columns want to be mapped."}
        tell(session, row, str(report.status), words.get(report.status, made.reason))
        for note in report.notes:
            tell(session, row, "notice", note)

    def _leave(self, session: Session, row: Import, why: str) -> None:
        """Leave the rows there are, and what they were mapped by: read in another way the files would give none."""
        dataset, before = row.dataset, row.task.get("before", {})
        dataset.mapping, dataset.system = before.get("mapping"), before.get("system")
        dataset.status = DatasetStatus.READY
        dataset.reason = f"Read in this way the files give no usable row, so the rows stay as they were. {why}"[:2000]
        tell(session, row, "failed", dataset.reason)

    def _files(self, row: Import) -> list[tuple[str, str]]:
        return [(file.upload.sha256, file.filename) for file in row.dataset.files if file.upload]


class AppendFiles(ReadFiles):
    """Reads further files of a dataset, whose rows come behind those there are."""

    def needs(self, session: Session, row: Import) -> Needed:  # noqa: ARG002 - the protocol's
        """Tell of the new files, and of the rows there are."""
        dataset = row.dataset
        assert dataset.version  # noqa: S101 - asked for only where there are rows
        more = {"mapping": dataset.mapping, "system": dataset.system, "first_file": row.task["first"]}
        base = {"base": dataset.version.artifact.sha256}
        if aside := dataset.version.file("aside"):
            base["aside_base"] = aside.sha256
        return partial(_reading, self._files(row), base, more)

    def keep(self, session: Session, worker: Worker, row: Import, made: Made) -> None:
        """Enter all rows as the next version; files of which no row can be used leave everything as it was, and say why."""
        report, dataset = ImportReport.model_validate(made.report), row.dataset
        before = dataset.version.rows if dataset.version else 0
        added = report.rows - before
        if report.status != DatasetStatus.READY or added <= 0:
            tell(session, row, "failed", made.reason or "The files that were added hold no usable row.")
            take_back_files(session, dataset, row.task["first"], worker.storage)
            return
        words = f"{added:,} rows were added."
        mask_map = dataset.version.file("mask_map") if dataset.version else None
        version = add_version(session, worker, row, made, {"kind": "append", "words": words, "first": row.task["first"]})
        if mask_map:  # the rows it names stand unchanged before the new ones
            version.files.append(VersionFile(kind="mask_map", artifact=shared(mask_map)))
        first = ImportReport.model_validate(dataset.report)
        together = first.model_copy(
            update={
                "rows": report.rows, "train_rows": report.train_rows, "test_rows": report.test_rows,
                "problem_count": first.problem_count + report.problem_count, "problems": [*first.problems, *report.problems][:100],
                "aside": dict(Counter(first.aside) + Counter(report.aside)),
                "not_kept": dict(Counter(first.not_kept) + Counter(report.not_kept)),
            }
        )  # fmt: skip
        dataset.report = together.model_dump(mode="json")
        tell(session, row, "appended", words)

    def _files(self, row: Import) -> list[tuple[str, str]]:
        new = [file for file in row.dataset.files if file.position >= row.task["first"]]
        return [(file.upload.sha256, file.filename) for file in new if file.upload]


class LookAtRows:
    """Looks for problems in the rows of a version."""

    def needs(self, session: Session, row: Import) -> Needed:
        """Tell of the rows."""
        sha256 = _version(session, row).artifact.sha256
        return lambda worker, out: {"task": "check", "rows": str(worker.storage.path(sha256)), "out": str(out("findings"))}

    def keep(self, session: Session, worker: Worker, row: Import, made: Made) -> None:
        """Enter what was found, unless the version has gone meanwhile."""
        version = session.get(DatasetVersion, row.task["version_id"])
        if version is None:
            return
        earlier = next((each for each in version.files if each.kind == "findings"), None)
        if earlier:
            version.files.remove(earlier)
            session.flush()
            drop(session, earlier.artifact, worker.storage)
        _add_files(session, worker, row, version, made)
        version.findings = made.report
        tell(session, row, "checked", "The rows were looked at for problems.")


class ChangeRows:
    """Changes the rows of a version into the next."""

    def needs(self, session: Session, row: Import) -> Needed:
        """Tell of the rows, of what was found in them, and of what is to be done."""
        version, dataset = _version(session, row), row.dataset
        kinds = {"rows": version.artifact.sha256} | {each.kind: each.artifact.sha256 for each in version.files}
        how = {"mapping": dataset.mapping, "system": dataset.system, "filename": dataset.filename}
        how["columns"] = dataset.report.get("columns", [])
        fix = row.task["fix"]

        def spec(worker: Worker, out: Out) -> dict[str, Any]:
            given = {"rows": "rows", "findings": "findings", "aside": "aside", "mask_map": "mask_map_base"}
            files = {name: str(worker.storage.path(kinds[kind])) for kind, name in given.items() if kind in kinds}
            outs = {"out": str(out("rows")), "aside_out": str(out("aside")), "mask_map": str(out("mask_map"))}
            return {"task": "fix", "fix": fix} | files | outs | how

        return spec

    def keep(self, session: Session, worker: Worker, row: Import, made: Made) -> None:
        """Enter the changed rows as the next version."""
        dataset, words = row.dataset, str(made.report.get("words", "The rows were changed."))
        if "rows" not in made.files or dataset.version_id != row.task["version_id"]:
            tell(session, row, "failed", made.reason or "Nothing was changed.")
            return
        add_version(session, worker, row, made, {"kind": "fix", "words": words, "fix": row.task["fix"]})
        dataset.report = dataset.report | {name: made.report[name] for name in TOLD_BY_FIXES if name in made.report} | _taken(dataset, made)
        tell(session, row, "changed", words)


class FetchFiles:
    """Fetches files from outside, which are then read like uploads."""

    def needs(self, session: Session, row: Import) -> Needed:  # noqa: ARG002 - the protocol's
        """Tell where from, and how much is taken."""
        source = row.task["source"]

        def spec(worker: Worker, out: Out) -> dict[str, Any]:
            settings = worker.settings
            limits = {
                "max_bytes": settings.max_upload_bytes,
                "private_allowed": settings.fetch_private,
                "store": settings.storage_url or "",
            }
            return {"task": "fetch", "source": source, "out": str(out("fetched")), **limits}

        return spec

    def keep(self, session: Session, worker: Worker, row: Import, made: Made) -> None:
        """Enter the files, and have them read."""
        dataset, size = row.dataset, 0
        for place, (each, sealed) in enumerate(zip(made.report["fetched"], made.fetched, strict=True)):
            split = each["split"] or ""
            # A file's name says which side its rows are on, unless they do themselves.
            name = each["filename"] if split in each["filename"] else f"{split}-{each['filename']}"
            file = DatasetFile(project_id=row.project_id, created_by=row.created_by, position=place, filename=name[-255:])
            file.origin = each["origin"]
            file.upload = keep(session, worker.storage, sealed, kind="upload", filename=name, owner=row)
            dataset.files.append(file)
            size += sealed.size_bytes
        dataset.filename = dataset.files[0].filename
        count = "1 file was" if len(made.fetched) == 1 else f"{len(made.fetched)} files were"
        tell(session, row, "fetched", f"{count} fetched ({size:,} bytes).")
        audit(session, row.project_id, row.created_by, OUTSIDE_CONTACTED, dataset.id, hosts=made.report["contacted"], why="a dataset")
        _next(session, row, {"kind": "import"}, size)


TASKS: dict[str, Task] = {
    "import": ReadFiles(), "append": AppendFiles(), "check": LookAtRows(), "fix": ChangeRows(), "fetch": FetchFiles()
}  # fmt: skip


def _taken(dataset: Dataset, made: Made) -> dict[str, Any]:
    """Return how many rows are still set aside once some were taken in; those that are not kept still count."""
    taken = Counter(made.report.get("taken", {}))
    left = {"aside": dict(Counter(dataset.report.get("aside", {})) - taken)}
    return left | {"problem_count": dataset.report.get("problem_count", 0) - taken.total()} if taken else {}


def _version(session: Session, row: Import) -> DatasetVersion:
    version = session.get(DatasetVersion, row.task["version_id"])
    if version is None:
        raise Invalid("The rows that this was asked of have gone.", code="rows_gone")
    return version


def tell(session: Session, row: Import, kind: str, message: str) -> None:
    """Enter something into a dataset's history."""
    session.add(EventRow(project_id=row.project_id, subject_id=row.dataset_id, type=kind, message=message))


def add_version(session: Session, worker: Worker, row: Import, made: Made, step: dict[str, Any]) -> DatasetVersion:
    """Enter rows as the dataset's version, made from the one it has; and have them looked at for problems."""
    dataset = session.get_one(Dataset, row.dataset_id)
    rows = keep(session, worker.storage, made.files["rows"], kind="rows", filename=f"{dataset.id}.parquet", owner=row)
    version = DatasetVersion(
        project_id=row.project_id, created_by=row.created_by, dataset_id=dataset.id, number=next_number(session, dataset.id), artifact=rows,
        rows=made.report["rows"], train_rows=made.report["train_rows"], test_rows=made.report["test_rows"], parent_id=dataset.version_id,
        step=step | {"before": {name: dataset.report.get(name) for name in CHANGING if name in dataset.report}},
    )  # fmt: skip
    session.add(version)
    session.flush()
    _add_files(session, worker, row, version, made)
    dataset.version_id = version.id
    _forget(session, worker, islice(states(session, version.id), KEPT_STEPS + 1, None))
    _next(session, row, {"kind": "check", "version_id": version.id}, rows.size_bytes)
    return version


def _add_files(session: Session, worker: Worker, row: Import, version: DatasetVersion, made: Made) -> None:
    for kind, sealed in made.files.items():
        if kind != "rows":
            artifact = keep(session, worker.storage, sealed, kind=kind, filename=f"{version.dataset_id}.{kind}", owner=row)
            version.files.append(VersionFile(kind=kind, artifact=artifact))
    session.flush()


def _next(session: Session, row: Import, task: dict[str, Any], size: int) -> None:
    """Have the next thing done; a worker of the same queue will look for it by itself."""
    work = Import(
        project_id=row.project_id, created_by=row.created_by, dataset_id=row.dataset_id, queue=row.queue, task=task, total_bytes=size
    )
    session.add(work)


def _forget(session: Session, worker: Worker, versions: Iterable[DatasetVersion]) -> None:
    """Let go of those that nobody wants any more, in the order that all take who let go of several."""
    for old in sorted(version.id for version in versions):
        forget_rows(session, old, worker.storage)


def _reading(files: list[tuple[str, str]], base: dict[str, str], more: dict[str, Any], worker: Worker, out: Out) -> dict[str, Any]:
    return {
        "task": "import",
        "files": [{"path": str(worker.storage.path(sha256)), "filename": filename} for sha256, filename in files],
        "out": str(out("rows")), "aside": str(out("aside")), "max_bytes": worker.settings.max_upload_bytes,
        **{name: str(worker.storage.path(sha256)) for name, sha256 in base.items()}, **more,
    }  # fmt: skip
