"""Rows to be looked at and changed in tests: written as an import writes them, and marked by patterns instead of the real finder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.domain.datasets import Example, Row, Turn, row_from
from app.domain.masking import Span
from workers.curation.checking import CheckSpec, check
from workers.curation.marking import Marker
from workers.curation.parquet import RowWriter

NAMES = re.compile(r"\b(?:Ada|John|Zoë)\b")
SECRETS = re.compile(r"\bkey-\d+\b")


class Patterns:
    """Finds three names, and keys."""

    def find(self, text: str) -> list[Span]:
        return sorted([*secrets_in(text), *(Span(*match.span(), "NAME") for match in NAMES.finditer(text))])


def secrets_in(text: str) -> list[Span]:
    return [Span(*match.span(), "SECRET") for match in SECRETS.finditer(text)]


def asked(question: str, answer: str, **more: Any) -> Example:
    return Example([Turn("user", question), Turn("assistant", answer)], **more)


def write_rows(path: Path, examples: Iterable[Example]) -> Path:
    with RowWriter(path) as writer:
        for line, example in enumerate(examples, 1):
            writer.add(example, line)
        writer.finish()
    return path


def read_rows(path: Path) -> list[Row]:
    return [row_from({name: raw[name] for name in ("row", "split", "messages", "rejected", "label", "tools")}) for raw in raw_rows(path)]


def raw_rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def looked_at(folder: Path, examples: Iterable[Example]) -> tuple[Path, Path, dict[str, Any]]:
    """Write rows and look at them; return both files and the summary."""
    rows, out = write_rows(folder / "rows.parquet", examples), folder / "findings.arrow"
    return rows, out, check(CheckSpec(rows=rows, out=out), lambda *_: None, marker=Marker(Patterns(), secrets_in))
