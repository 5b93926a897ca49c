"""How long a page of fifty rows takes anywhere among a million, beside DuckDB over the same Parquet file.

`python -m bench.paging` writes bench/results/paging.json. Either side ends with Python objects: Hone's with checked rows, as the service
hands them to a page; DuckDB's with tuples. DuckDB holds one connection open, with the file's metadata cached and both cores.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb

from app.config import Settings
from app.db import Artifact, Dataset, DatasetVersion
from app.db.migrate import migrate
from app.db.session import unit_of_work
from app.gateways.storage import LocalStorage
from app.main import make_studio
from app.services.accounts import Accounts
from bench.ingest import write_rows
from bench.results_file import keep
from workers.curation.importing import ImportSpec, import_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.ports import Sealed

ROWS, PAGE, PAGES, WARM_UP = 1_000_000, 50, 400, 20
NOWHERE, RARE = "a text that nobody has said", "zürich etaoin"


def imported(folder: Path, rows: int) -> Path:
    """Write and import a file of so many rows; return the Parquet file."""
    source, out = folder / "rows.jsonl", folder / "rows.parquet"
    write_rows(source, "chat", rows=rows)
    spec = ImportSpec.model_validate({"files": [{"path": source, "filename": source.name}], "out": out})
    report, _ = import_file(spec, lambda *_: None)
    if report.rows != rows:
        raise SystemExit(f"{report.rows} rows were read instead of {rows}")
    source.unlink()
    return out


def timed(ask: Callable[[int], Sequence[Any]], places: Sequence[int]) -> dict[str, float]:
    """Ask for pages one after another; return the middle and the 95th of a hundred, in milliseconds."""
    took = []
    for place in places:
        began = time.perf_counter()
        rows = ask(place)
        took.append((time.perf_counter() - began) * 1000)
        if len(rows) != PAGE:
            raise SystemExit(f"{len(rows)} rows came instead of {PAGE}")
    parts = quantiles(took[WARM_UP:], n=100)
    return {"p50_ms": round(parts[49], 3), "p95_ms": round(parts[94], 3)}


def places(rows: int) -> list[int]:
    """Return where pages begin: by chance, the same for all."""
    chance = random.Random(1)  # noqa: S311 - chance that can be repeated
    return [chance.randrange(rows - PAGE) for _ in range(PAGES + WARM_UP)]


def by_duckdb(path: Path, where: Sequence[int]) -> dict[str, Any]:
    """Measure DuckDB's ways to a page: by offset, by the place in the file, and by the number in a column."""
    ways = {
        "limit_offset": f"LIMIT {PAGE} OFFSET {{place}}",
        "file_row_number": f"WHERE file_row_number >= {{place}} AND file_row_number < {{place}} + {PAGE}",
        "row_range": f"WHERE row >= {{place}} AND row < {{place}} + {PAGE}",
    }
    found = {}
    with duckdb.connect() as connection:
        connection.execute("SET parquet_metadata_cache = true")
        for name, condition in ways.items():
            source = f"read_parquet('{path}', file_row_number = {name == 'file_row_number'})"
            query = f"SELECT row, split, messages, rejected, label, tools FROM {source} {condition}"  # noqa: S608 - a path of our own
            found[name] = timed(lambda place, query=query: connection.execute(query.format(place=place)).fetchall(), where)  # type: ignore[misc]
    return found


def by_service(folder: Path, path: Path, rows: int, where: Sequence[int]) -> dict[str, Any]:
    """Measure pages as the services give them: who asks is looked up, and whose rows these are."""
    studio = make_studio(Settings(home=folder / "home"))
    migrate(studio.engine)
    sealed = studio.storage.seal(path)
    studio.storage.put(sealed)
    with unit_of_work(studio.engine) as session:
        me = Accounts(session).ensure_owner()
        dataset_id = _add(session, {"project_id": me.project_id, "created_by": me.user_id}, sealed, rows)

    def page(place: int) -> Sequence[Any]:
        with unit_of_work(studio.engine) as session:
            asks = Accounts(session).ensure_owner()
            return studio.datasets(session).rows(asks, dataset_id, limit=PAGE, after=place - 1).items

    try:
        return timed(page, where)
    finally:
        studio.engine.dispose()


def _add(session: Any, owned: dict[str, Any], sealed: Sealed, rows: int) -> str:
    artifact = Artifact(kind="rows", filename="rows.parquet", sha256=sealed.sha256, size_bytes=sealed.size_bytes, **owned)
    dataset = Dataset(name="million", filename="rows.jsonl", status="ready", **owned)
    session.add_all([artifact, dataset])
    session.flush()
    version = DatasetVersion(dataset_id=dataset.id, artifact=artifact, rows=rows, train_rows=rows, test_rows=0, **owned)
    session.add(version)
    session.flush()
    dataset.version_id = version.id
    return dataset.id


def by_gateway(store: LocalStorage, path: Path, where: Sequence[int]) -> dict[str, Any]:
    """Measure the file of rows itself: made at first use, a page, scattered rows, and a search that reads all of it."""
    sealed = store.seal(path)
    store.put(sealed)
    rows = store.rows(sealed.sha256)
    first = _seconds(lambda: rows.page(0, PAGE))
    chance = random.Random(2)  # noqa: S311 - chance that can be repeated
    total = rows.count
    return {
        "first_use_s": first, "pages_mib": rows.pages.stat().st_size >> 20,
        "page": timed(lambda place: rows.page(place - 1, PAGE)[0], where),
        "scattered_rows": timed(lambda _: rows.rows_at([chance.randrange(total) for _ in range(PAGE)]), where),
        "search_all_s": _seconds(lambda: rows.search(NOWHERE, -1, PAGE)),
        "search_rare_s": _seconds(lambda: rows.search(RARE, -1, PAGE)),
        "search_common_s": _seconds(lambda: rows.search("zürich", 500_000, PAGE)),
    }  # fmt: skip


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 4)


def main() -> None:
    """Measure all, and keep the figures."""
    with TemporaryDirectory() as name:
        folder, where = Path(name), places(ROWS)
        path = imported(folder, ROWS)
        figures: dict[str, Any] = {"rows": ROWS, "page_rows": PAGE, "pages": PAGES, "parquet_mib": path.stat().st_size >> 20}
        figures["duckdb"] = by_duckdb(path, where)
        copy = folder / "copy.parquet"
        copy.write_bytes(path.read_bytes())
        figures["hone"] = by_gateway(LocalStorage(folder / "store"), copy, where)
        figures["hone"]["page_by_service"] = by_service(folder, path, ROWS, where)
    page, offset = figures["hone"]["page"], figures["duckdb"]["limit_offset"]
    best = min(way["p95_ms"] for way in figures["duckdb"].values())
    figures["ratio_to_limit_offset"] = {share: round(offset[share] / page[share], 1) for share in page}
    figures["ratio_to_its_best_p95"] = round(best / page["p95_ms"], 1)
    print(keep("paging", figures))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
