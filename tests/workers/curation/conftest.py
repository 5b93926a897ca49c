"""What the tests of reading files share: a file is written, imported, and what came of it is at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq
import pytest

from app.domain.datasets import ImportReport, Mapping
from workers.curation.importing import FileSpec, ImportSpec, import_file


@dataclass(frozen=True)
class Imported:
    """What an import left behind."""

    report: ImportReport
    reason: str
    rows: list[dict[str, Any]]
    files: list[str]

    @property
    def problems(self) -> list[tuple[int, str]]:
        return [(each.line, each.reason) for each in self.report.problems]

    @property
    def spoken(self) -> list[list[tuple[str, str]]]:
        return [[(turn["role"], turn["content"]) for turn in row["messages"]] for row in self.rows]


class Importer(Protocol):
    def __call__(
        self, content: bytes | str | Path, filename: str = "rows.jsonl", *, mapping: dict[str, str] | None = None, system: str | None = None
    ) -> Imported: ...


@pytest.fixture
def imported(tmp_path: Path) -> Importer:
    def run(
        content: bytes | str | Path, filename: str = "rows.jsonl", *, mapping: dict[str, str] | None = None, system: str | None = None
    ) -> Imported:
        source, out = tmp_path / "upload", tmp_path / "out" / "rows.parquet"
        out.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            source = content
        else:
            source.write_bytes(content.encode() if isinstance(content, str) else content)
        spec = ImportSpec(
            files=[FileSpec(path=source, filename=filename)], out=out, mapping=Mapping(**mapping) if mapping else None, system=system
        )
        report, reason = import_file(spec, lambda *_: None)
        rows = pq.read_table(out).to_pylist() if out.exists() else []
        return Imported(report, reason, rows, sorted(each.name for each in out.parent.iterdir()))

    return run


def chat_line(question: str = "Hi?", answer: str = "Hello.", **more: Any) -> str:
    """Return one line of chat JSONL."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages, **more}, ensure_ascii=False) + "\n"


@pytest.fixture
def chat() -> Any:
    return chat_line
