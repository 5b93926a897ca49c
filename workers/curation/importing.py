"""An import from end to end: read uploads, write their usable rows as Parquet, keep the others, and report on all of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from app.domain.datasets import MAX_PROBLEMS_LISTED, DatasetFormat, DatasetStatus, ImportReport, Mapping, Problem, Split
from app.domain.errors import StudioError
from app.domain.guessing import suggest
from workers.curation.aside import AsideWriter
from workers.curation.containers import UploadedFile
from workers.curation.fast_json import Understood
from workers.curation.parquet import RowWriter
from workers.curation.reading import MAX_BYTES, UNREAD, Found, Misread, PartCount, Reading, Usable
from workers.curation.rows import NO_ROW, Aside
from workers.curation.sniff import FileKind
from workers.curation.splits import Sides

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int, int], None]

MAX_REPORTED_ROWS = 5
MAX_PARTS_TOLD = 20


class FileSpec(BaseModel):
    """One upload, and what it is called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    filename: str


class ImportSpec(BaseModel):
    """What to read, where its rows go and those that were set aside, and how its columns are to be understood."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[FileSpec] = Field(min_length=1)
    out: Path
    aside: Path | None = None
    mapping: Mapping | None = None
    system: str | None = None
    base: Path | None = Field(None, description="The rows of an earlier version, to stand unchanged before the new ones.")
    aside_base: Path | None = Field(None, description="What was set aside of these.")
    first_file: int = Field(0, ge=0, description="The number of the first file, when earlier ones stand in the base.")
    max_bytes: int = Field(MAX_BYTES, gt=0, description="How much the files may unpack to.")

    @property
    def scratch(self) -> Path:
        """Where packed files are unpacked, one at a time."""
        return self.out.with_name(self.out.name + ".unpacked")


class Findings:
    """What an import came across, counted as it goes and listed up to a bound."""

    def __init__(self, first_file: int, aside: AsideWriter) -> None:
        self.shapes: Counter[DatasetFormat] = Counter()
        self.codes: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self.unknown: list[Problem] = []
        self.unknown_count = 0
        self.no_rows = self.unread = 0
        self._first_file, self._aside = first_file, aside

    def note(self, count: PartCount, found: Found) -> None:
        """Count what was found, and list it while there is room."""
        if isinstance(found, Usable):
            self.shapes[found.shape] += 1
            count.usable += 1
        elif isinstance(found, Understood):
            self.shapes[found.shape] += len(found.rows.lines)
            count.usable += len(found.rows.lines)
        elif isinstance(found, Aside):
            self.codes[found.code] += 1
            self.no_rows += found.reason.startswith(NO_ROW)
            self.unread += found.reason.startswith(UNREAD)
            count.aside += 1
            self._list(count, found, self.problems)
        else:
            self.unknown_count += 1
            count.unknown += 1
            self._list(count, found.as_aside(), self.unknown)

    def _list(self, count: PartCount, found: Aside, listed: list[Problem]) -> None:
        if len(listed) >= MAX_PROBLEMS_LISTED and not self._aside.has_room:
            return
        where = f" (in {count.part.member[-80:]})" if count.part.member else ""
        problem = found.problem(self._first_file + count.part.file, where)
        if len(listed) < MAX_PROBLEMS_LISTED:
            listed.append(problem)
        if self._aside.has_room:
            text, is_cut = found.text()
            self._aside.add(problem, text, is_cut=is_cut)

    def count_unknown_as_problems(self) -> None:
        """List rows of unknown shape among the problems, in the files' order."""
        if self.unknown_count:
            self.codes[self.unknown[0].code] += self.unknown_count
        self.problems = sorted(self.problems + self.unknown, key=lambda each: (each.file, each.line))[:MAX_PROBLEMS_LISTED]

    def status(self, parts: list[PartCount], *, is_mapped: bool) -> DatasetStatus:
        """Ready with one usable row; files that nobody understood wait for their mapping; else failed."""
        asks = any(part.unknown and not part.usable and (part.unknown > 1 or not self.shapes) for part in parts)
        if asks and not is_mapped:
            return DatasetStatus.NEEDS_MAPPING
        return DatasetStatus.READY if self.shapes else DatasetStatus.FAILED


def import_file(spec: ImportSpec, tell: Progress) -> tuple[ImportReport, str]:
    """Import files and return the report and, unless all is well, a sentence on what to do; `tell` hears of bytes, size and rows."""
    try:
        return _import(spec, tell, presumes_utf8=True)
    except Misread:
        return _import(spec, tell, presumes_utf8=False)


def _import(spec: ImportSpec, tell: Progress, *, presumes_utf8: bool) -> tuple[ImportReport, str]:
    files = [UploadedFile(each.path, each.filename) for each in spec.files]
    reading = Reading(files, spec.scratch, mapping=spec.mapping, system=spec.system, max_bytes=spec.max_bytes, presumes_utf8=presumes_utf8)
    sides = Sides()
    with RowWriter(spec.out) as writer, AsideWriter(spec.aside) as aside:
        aside.copy(spec.aside_base)
        findings = Findings(spec.first_file, aside)
        try:
            if spec.base:
                writer.copy(spec.base)
            for count, found in reading:
                findings.note(count, found)
                if isinstance(found, Usable):
                    split = sides.split(found.side, writer.rows)
                    writer.add(found.example._replace(split=split), found.line, spec.first_file + count.part.file)
                elif isinstance(found, Understood):
                    writer.add_block(found.rows, spec.first_file + count.part.file)
                tell(reading.done, reading.size, writer.rows)
        except StudioError as error:
            return _unreadable(reading, findings), error.message
        status = findings.status(reading.parts, is_mapped=spec.mapping is not None)
        if status is not DatasetStatus.NEEDS_MAPPING:
            findings.count_unknown_as_problems()
            aside.finish()
        report = _report(reading, findings, status, [note for note in [*_notes(reading, findings), sides.note(writer.rows)] if note])
        if status is not DatasetStatus.READY:
            return report, _sentence(reading, findings, report)
        kept = {
            "rows": writer.rows,
            "not_kept": dict(findings.codes - aside.added),
            "sha256": writer.finish(sides.is_validation if sides.are_learnt else None),
        }
        return report.model_copy(update=kept | {"train_rows": writer.counts[Split.TRAIN], "test_rows": writer.counts[Split.TEST]}), ""


def _report(reading: Reading, findings: Findings, status: DatasetStatus, notes: list[str]) -> ImportReport:
    shape = findings.shapes.most_common(1)[0][0] if findings.shapes else None
    needs_mapping = status is DatasetStatus.NEEDS_MAPPING
    suggested, confidence = suggest(reading.columns.names, reading.columns.sample) if needs_mapping else (None, {})
    sniffed = reading.sniffed
    return ImportReport(
        status=status,
        format=DatasetFormat.TABLE if needs_mapping else shape,
        columns=reading.columns.names,
        problem_count=sum(findings.codes.values()),
        problems=findings.problems,
        sample=reading.columns.sample[:MAX_REPORTED_ROWS] if needs_mapping or shape is DatasetFormat.TABLE else [],
        encoding=sniffed.encoding if sniffed else None,
        delimiter=sniffed.dialect.delimiter if sniffed and sniffed.dialect else None,
        suggested=suggested,
        confidence=confidence,
        notes=notes,
        aside=dict(findings.codes),
    )


def _unreadable(reading: Reading, findings: Findings) -> ImportReport:
    columns = reading.columns
    suggested, confidence = suggest(columns.names, columns.sample)
    more = {"sample": columns.sample[:MAX_REPORTED_ROWS], "suggested": suggested, "confidence": confidence}
    return _report(reading, findings, DatasetStatus.FAILED, []).model_copy(update=more)


def _notes(reading: Reading, findings: Findings) -> list[str]:
    """Say what came of each file, where there are several, and what else a person should know about rows that were taken."""
    notes = list(reading.notes)
    if len(reading.parts) > 1:
        for count in reading.parts[:MAX_PARTS_TOLD]:
            aside = count.aside + (count.unknown if findings.shapes else 0)
            notes.append(f"{count.part.name[-80:]}: {_rows(count.usable)} read" + (f", {aside:,} set aside." if aside else "."))
        if len(reading.parts) > MAX_PARTS_TOLD:
            rest = reading.parts[MAX_PARTS_TOLD:]
            notes.append(f"{len(rest):,} more files: {_rows(sum(count.usable for count in rest))} read.")
    return notes


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count:,} rows were"


def _sentence(reading: Reading, findings: Findings, report: ImportReport) -> str:
    if report.status is DatasetStatus.NEEDS_MAPPING:
        return "Say which column holds the question and which the answer."
    is_json = reading.sniffed is not None and reading.sniffed.kind in {FileKind.JSON, FileKind.JSONL}
    if findings.no_rows == report.problem_count:
        return "The file is valid JSON, but holds no rows." if is_json else "The file holds no rows."
    first = report.problems[0]
    if findings.unread == report.problem_count:
        return f"No row can be used; {first.reason}"
    place = f"{'in row' if reading.sniffed and reading.sniffed.counts_rows else 'on line'} {first.line:,}: {first.reason}."
    if report.problem_count == 1:
        return f"The only row cannot be used, {place}"
    return f"None of the {report.problem_count:,} rows can be used; the first, {place}"
