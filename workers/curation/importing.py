"""An import from end to end: read an upload, write its usable rows as Parquet, and report on all of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from app.domain.datasets import MAX_PROBLEMS_LISTED, DatasetFormat, DatasetStatus, Example, ImportReport, Mapping, Problem, Split
from app.domain.errors import StudioError
from workers.curation.parquet import RowWriter
from workers.curation.reading import Conversation, Reading, Unknown, not_understood

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int, int], None]

MAX_REPORTED_ROWS = 5


class FileSpec(BaseModel):
    """A file to read, and what to call it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    filename: str


class ImportSpec(BaseModel):
    """What to read, where its rows and those that are set aside go, and how its columns are to be understood.

    `base` holds rows that come first, unchanged; the first of `files` is then the dataset's file number `first_file`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[FileSpec]
    out: Path
    aside: Path | None = None
    mapping: Mapping | None = None
    system: str | None = None
    base: Path | None = None
    first_file: int = 0
    max_bytes: int = 20 * 2**30


class Findings:
    """What an import came across, counted as it goes and listed up to a bound."""

    def __init__(self) -> None:
        self.shapes: Counter[DatasetFormat] = Counter()
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.unknown: list[Unknown] = []
        self.unknown_count = 0
        self.weighted = 0

    def note(self, found: Conversation | Problem | Unknown) -> None:
        """Count what was found, and list it while there is room."""
        if isinstance(found, Conversation):
            self.shapes[found.shape] += 1
            self.weighted += found.has_unused_answers
        elif isinstance(found, Problem):
            self.problem_count += 1
            if len(self.problems) < MAX_PROBLEMS_LISTED:
                self.problems.append(found)
        else:
            self.unknown_count += 1
            if len(self.unknown) < MAX_PROBLEMS_LISTED:
                self.unknown.append(found)

    def count_unknown_as_problems(self) -> None:
        """List rows of unknown shape among the problems, in the file's order."""
        self.problem_count += self.unknown_count
        both = self.problems + [not_understood(row) for row in self.unknown]
        self.problems = sorted(both, key=lambda each: each.line)[:MAX_PROBLEMS_LISTED]

    @property
    def status(self) -> DatasetStatus:
        """Ready with one usable row; a table that nobody understood waits for its mapping; else failed."""
        if self.shapes:
            return DatasetStatus.READY
        return DatasetStatus.NEEDS_MAPPING if self.unknown else DatasetStatus.FAILED

    def notes(self) -> list[str]:
        """Return what a person should know about rows that were taken."""
        if not self.weighted:
            return []
        rows = "1 row has" if self.weighted == 1 else f"{self.weighted:,} rows have"
        return [f"{rows} answers with weight 0. Weights are not followed yet: every answer is learnt from."]


def import_file(spec: ImportSpec, tell: Progress) -> tuple[ImportReport, str]:
    """Import a file and return the report and, unless all is well, a sentence on what to do; `tell` hears of bytes, size and rows."""
    reading, findings = None, Findings()
    with RowWriter(spec.out) as writer:
        try:
            reading = Reading(spec.files[0].path, spec.files[0].filename, mapping=spec.mapping, system=spec.system)
            for found in reading:
                findings.note(found)
                if isinstance(found, Conversation):
                    writer.add(Example(found.turns), found.line)
                tell(reading.source.done, reading.source.size, writer.rows)
        except StudioError as error:
            return _unreadable(reading, findings), error.message
        status = findings.status
        if status is not DatasetStatus.NEEDS_MAPPING or spec.mapping:
            findings.count_unknown_as_problems()
            status = DatasetStatus.FAILED if status is DatasetStatus.NEEDS_MAPPING else status
        report = _report(reading, findings, status)
        kept = {"rows": writer.rows, "sha256": writer.finish()}
        kept |= {"train_rows": writer.counts[Split.TRAIN], "test_rows": writer.counts[Split.TEST]}
        return report.model_copy(update=kept), _sentence(report)


def _report(reading: Reading, findings: Findings, status: DatasetStatus) -> ImportReport:
    shape = findings.shapes.most_common(1)[0][0] if findings.shapes else None
    needs_mapping = status is DatasetStatus.NEEDS_MAPPING
    return ImportReport(
        status=status,
        format=DatasetFormat.TABLE if needs_mapping else shape,
        columns=reading.columns.names,
        problem_count=findings.problem_count,
        problems=findings.problems,
        sample=reading.columns.sample[:MAX_REPORTED_ROWS] if needs_mapping or shape is DatasetFormat.TABLE else [],
        encoding=reading.sniffed.encoding,
        delimiter=reading.sniffed.delimiter,
        suggested=reading.columns.suggest() if needs_mapping else None,
        notes=findings.notes(),
    )


def _unreadable(reading: Reading | None, findings: Findings) -> ImportReport:
    if reading is None:
        return ImportReport(status=DatasetStatus.FAILED, format=None)
    report = _report(reading, findings, DatasetStatus.FAILED)
    return report.model_copy(update={"sample": reading.columns.sample[:MAX_REPORTED_ROWS], "suggested": reading.columns.suggest()})


def _sentence(report: ImportReport) -> str:
    if report.status is DatasetStatus.NEEDS_MAPPING:
        return "Say which column holds the question and which the answer."
    if report.status is DatasetStatus.READY:
        return ""
    if not report.problems:
        return "The file holds no rows."
    first = report.problems[0]
    count = "The only row was" if report.problem_count == 1 else f"All {report.problem_count:,} rows were"
    return f"No row can be used. {count} set aside; the first, on line {first.line:,}: {first.reason}."
