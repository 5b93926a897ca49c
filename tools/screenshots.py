"""Walk every page in a real Chromium, at three widths, light and dark, and keep a picture of each.

`python -m tools.screenshots FOLDER`: starts a studio with a sample project on a free port, or looks at `--address`.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from playwright.sync_api import Page, sync_playwright

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts
from tools.sample_project import Sample, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS = {1440: 900, 768: 1024, 390: 844}
START_SECONDS = 20.0
PAGES = {
    "home": "/", "datasets": "/datasets", "runs": "/runs", "new-run": "/runs/new", "board": "/board", "chat": "/chat",
    "workers": "/workers", "settings": "/settings", "signin": "/signin", "docs": "/docs", "missing": "/nowhere",
}  # fmt: skip
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Take the pictures, and say what does not fit or complains."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("folder", type=Path)
    given.add_argument("--address", help="a running studio; pages of single runs and datasets are then left out")
    given.add_argument("--only", default="", help="only pages whose name holds this")
    arguments = given.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.address:
        walk(arguments.address, PAGES, arguments.folder, arguments.only)
        return
    for is_empty in (False, True):
        with tempfile.TemporaryDirectory() as home, studio(Path(home), is_empty=is_empty) as (address, pages):
            walk(address, pages, arguments.folder, arguments.only)


def pages_of(sample: Sample) -> dict[str, str]:
    """Return every page and state by name."""
    datasets = {f"dataset-{name}": f"/datasets/{dataset_id}" for name, dataset_id in sample.datasets.items()}
    runs = {f"run-{name}": f"/runs/{run_id}" for name, run_id in sample.runs.items()}
    both = f"ids={sample.runs['done']}&ids={sample.runs['running']}"
    found = {
        "runs-found": "/runs?tag=nightly&sizes=1", "runs-nothing": "/runs?q=nobody&tag=nightly&status=failed",
        "runs-delete": f"/runs/delete?{both}", "runs-delete-one": f"/runs/delete?ids={sample.runs['failed']}",
        "new-run-clone": f"/runs/new?from={sample.runs['done']}&learning_rate=0.001&rank=32",
    }  # fmt: skip
    return PAGES | datasets | runs | found


@contextmanager
def studio(home: Path, *, is_empty: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a studio that holds nothing yet, or a sample project."""
    app = create_app(Settings(home=home))
    migrate(app.state.studio.engine)
    if is_empty:
        with unit_of_work(app.state.studio.engine) as session:
            Accounts(session).ensure_owner()
    pages = {f"empty-{name}": path for name, path in PAGES.items()} if is_empty else pages_of(fill(app.state.studio))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", pages
    finally:
        server.should_exit = True
        thread.join()


def walk(address: str, pages: dict[str, str], folder: Path, only: str) -> None:
    """Take a picture of each page at each width, light and dark."""
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for width, height in WIDTHS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    reduced_motion="reduce",
                )
                page = context.new_page()
                page.on("console", lambda message: print(f"console: {message.text}") if message.type == "error" else None)
                page.on("pageerror", lambda error: print(f"script: {error}"))
                for name, path in pages.items():
                    if only in name:
                        take(page, address + path, folder / f"{name}-{width}-{scheme}.png")
                context.close()
        browser.close()


def take(page: Page, address: str, picture: Path) -> None:
    """Keep a picture of one page; say so when it is wider than its window."""
    page.goto(address, wait_until="load")
    page.wait_for_timeout(400)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        print(f"too wide: {picture.name}")
    page.screenshot(path=picture, full_page=True)


if __name__ == "__main__":
    main()
