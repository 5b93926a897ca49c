"""Every page by address, and how htmx asks for a part of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tools.sample_project import Sample

MOST_BYTES = 250_000
PAGES = {
    "/": "home/home.html",
    "/datasets": "datasets/list.html",
    "/runs": "runs/list.html",
    "/runs/new": "runs/new.html",
    "/runs/delete": "runs/delete.html",
    "/board": "board/board.html",
    "/board?wall=1": "board/wall.html",
    "/chat": "chat/chat.html",
    "/workers": "workers/workers.html",
    "/search": "search/search.html",
    "/search?q=emails": "search/search.html",
    "/settings": "settings/settings.html",
}


def all_pages(sample: Sample) -> dict[str, str]:
    """Return every page and state with its template."""
    datasets = {f"/datasets/{dataset_id}": "datasets/show.html" for dataset_id in sample.datasets.values()}
    both = f"{sample.runs['done']},{sample.runs['running']}"
    compared = {f"/runs/compare?ids={both}": "runs/compare.html", "/runs/compare": "runs/compare_choose.html"}
    return PAGES | compared | datasets | {f"/runs/{run_id}": "runs/show.html" for run_id in sample.runs.values()}


def weight_of(page: str, root: Path) -> int:
    """Return how many bytes a page and its files have, before any compression."""
    files = {name for name in re.findall(r'/static/([^"?#]+)', page) if (root / "static" / name).is_file()}
    sizes: list[int] = [(root / "static" / name).stat().st_size for name in files]
    return len(page.encode()) + sum(sizes)


def part(block: str) -> dict[str, str]:
    """Return the headers htmx sends for a block."""
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": f"div#{block.replace('_', '-')}"}


def silence(page: Page) -> None:
    """Let nobody ring but the test: call it before the page is opened."""
    page.route("**/live?*", lambda route: route.abort())


def ring(page: Page, block: str) -> None:
    """Do what a doorbell does to a block, without the pause between two of them."""
    page.evaluate("id => document.getElementById(id).click()", f"refetch-{block}")
