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
    aside: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    files: list[str]

    @property
    def problems(self) -> list[tuple[int, str]]:
        return [(each.line, each.reason) for each in self.report.problems]

    @property
    def spoken(self) -> list[list[tuple[str, str]]]:
        return [[(turn["role"], turn["content"]) for turn in row["messages"]] for row in self.rows]


Content = bytes | str | Path


class Importer(Protocol):
    def __call__(
        self,
        content: Content | dict[str, Content],
        filename: str = "rows.jsonl",
        *,
        mapping: dict[str, str] | None = None,
        system: str | None = None,
        **more: Any,
    ) -> Imported: ...


@pytest.fixture
def imported(tmp_path: Path) -> Importer:
    """Import one file, or several by their names."""

    def run(
        content: Content | dict[str, Content],
        filename: str = "rows.jsonl",
        *,
        mapping: dict[str, str] | None = None,
        system: str | None = None,
        **more: Any,
    ) -> Imported:
        out = tmp_path / "out" / "rows.parquet"
        aside = out.with_name("rows.aside")
        out.parent.mkdir(exist_ok=True)
        for old in (out, aside):
            old.unlink(missing_ok=True)
        given = content if isinstance(content, dict) else {filename: content}
        files = [
            FileSpec(path=written(tmp_path / f"upload-{place}", each), filename=name) for place, (name, each) in enumerate(given.items())
        ]
        spec = ImportSpec(files=files, out=out, aside=aside, mapping=Mapping(**mapping) if mapping else None, system=system, **more)
        report, reason = import_file(spec, lambda *_: None)
        rows = pq.read_table(out).to_pylist() if out.exists() else []
        kept = [json.loads(line) for line in aside.read_text(encoding="utf-8").split("\n") if line] if aside.exists() else []
        return Imported(report, reason, kept, rows, sorted(each.name for each in out.parent.iterdir() if each != aside))

    return run


def written(path: Path, content: Content) -> Path:
    """Return where a content lies."""
    if isinstance(content, Path):
        return content
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def chat_line(question: str = "Hi?", answer: str = "Hello.", **more: Any) -> str:
    """Return one line of chat JSONL."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages, **more}, ensure_ascii=False) + "\n"


@pytest.fixture
def chat() -> Any:
    return chat_line
