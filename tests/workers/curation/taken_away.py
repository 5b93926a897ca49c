"""A dataset as somebody takes it away, and what of it is learnt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from app.gateways.rows import RowPages
from app.services.exports import export
from tests.workers.curation.conftest import Imported


def taken_away(found: Imported, folder: Path, kind: str = "csv") -> bytes:
    """Return what was imported below a folder as a file."""
    assert found.report.status == "ready"
    pages = RowPages(folder / "out" / "rows.parquet", folder / "pages")
    datasets = SimpleNamespace(get=lambda *_: SimpleNamespace(name="rows"), export=lambda *_, **more: pages.jsonl(**more))
    return b"".join(export(cast("Any", datasets), cast("Any", None), "x", kind).content)


def learnt(found: Imported) -> list[dict[str, Any]]:
    """Return rows without the places they had in their files."""
    return [{name: value for name, value in row.items() if name not in {"line", "file"}} for row in found.rows]
