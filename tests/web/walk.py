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
    "/goal": "goal/goal.html",
    "/goal/recipes/support-emails": "goal/recipe.html",
    "/datasets": "datasets/list.html",
    "/datasets/from": "datasets/from.html",
    "/runs": "runs/list.html",
    "/runs/new": "runs/new.html",
    "/runs/delete": "runs/delete.html",
    "/board": "board/board.html",
    "/board?wall=1": "board/wall.html",
    "/chat": "chat/chat.html",
    "/workers": "workers/workers.html",
    "/models": "models/list.html",
    "/models?reasoning=1&size=small": "models/list.html",
    "/models/qwen3-4b": "models/show.html",
    "/models/ternary-bonsai-8b": "models/show.html",
    "/models/hub": "models/hub.html",
    "/baselines": "baselines/list.html",
    "/precision": "precision/precision.html",
    "/cloud-costs": "cloud_costs/cloud_costs.html",
    "/prices": "prices/prices.html",
    "/estimates": "estimates/estimates.html",
    "/search": "search/search.html",
    "/search?q=emails": "search/search.html",
    "/settings": "settings/settings.html",
}

DATASETS = {"unmapped": "datasets/mapping.html"}
DESK = {
    "?problem=near_duplicate": "datasets/show.html",
    "?problem=no_answer": "datasets/show.html",
    "?q=parcel&split=train": "datasets/show.html",
    "/groups?problem=near_duplicate": "datasets/groups.html",
    "/fix?op=keep_best&problem=near_duplicate": "datasets/fix.html",
    "/fix?op=mask&problem=pii": "datasets/fix.html",
    "/fix?op=fill": "datasets/fix.html",
    "/fix?op=trim_end": "datasets/fix.html",
    "/mapping": "datasets/mapping.html",
    "/statistics": "datasets/statistics.html",
    "/preflight": "datasets/preflight.html",
    "/preflight?look=1": "datasets/preflight.html",
    "/history": "datasets/history.html",
}
"""The pages of one dataset, and states of them."""


def all_pages(sample: Sample) -> dict[str, str]:
    """Return every page and state with its template."""
    datasets = {f"/datasets/{dataset_id}": DATASETS.get(name, "datasets/show.html") for name, dataset_id in sample.datasets.items()}
    desk = f"/datasets/{sample.datasets['desk']}"
    datasets |= {f"{desk}{path}": template for path, template in DESK.items()}
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
