"""Walk every page and state in a real Chromium, at three widths, light and dark, and keep a picture of each.

`python -m tools.screenshots FOLDER`: starts studios on free ports (a sample project, a team, nothing), or looks at `--address`;
`python -m tools.screenshots --readme docs/pictures`: writes the few small pictures that the README shows.
"""

from __future__ import annotations

import argparse
import base64
import socket
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts
from app.web.server import Server
from tools.chromium import executable
from tools.sample_hub import SampleHub
from tools.sample_measured import fill_measured
from tools.sample_project import fill
from tools.sample_team import fill_team
from tools.scenes import PAGES, README, Scene, scenes_of, scenes_of_team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.services.studio import Studio

WIDTHS = {1440: 900, 768: 1024, 390: 844}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLED_MS = 400
README_SIZE = (1280, 800)
README_BYTES = 150_000
WEBP = """async ([png, quality]) => {
  const picture = new Image();
  picture.src = `data:image/png;base64,${png}`;
  await picture.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height });
  canvas.getContext('2d').drawImage(picture, 0, 0);
  return canvas.toDataURL('image/webp', quality).split(',')[1];
}"""
WEBP_QUALITY = 0.9


def main() -> None:
    """Take the pictures, and say what does not fit or complains."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("folder", type=Path)
    given.add_argument("--address", help="a running studio; pages of single runs and datasets are then left out")
    given.add_argument("--only", default="", help="only pages whose name holds this, or one of these between commas")
    given.add_argument("--readme", action="store_true", help="only the README's pictures, small and as WebP")
    arguments = given.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox", "--disable-gpu"])
        if arguments.readme:
            for stock in (_a_sample, _a_team):
                with tempfile.TemporaryDirectory() as home, studio(Path(home), stock) as (address, scenes):
                    take_for_readme(browser, address, scenes, arguments.folder)
        elif arguments.address:
            walk(browser, arguments.address, PAGES, arguments.folder, arguments.only)
        else:
            for stock in (_a_sample, _nothing, _a_team):
                with tempfile.TemporaryDirectory() as home, studio(Path(home), stock) as (address, scenes):
                    walk(browser, address, scenes, arguments.folder, arguments.only)
        browser.close()


def _a_sample(studio: Studio) -> dict[str, Scene]:
    return scenes_of(fill(studio))


def _a_team(studio: Studio) -> dict[str, Scene]:
    fill_team(studio)
    return scenes_of_team(fill_measured(studio))


def _nothing(studio: Studio) -> dict[str, Scene]:
    with unit_of_work(studio.engine) as session:
        Accounts(session).ensure_owner()
    return {f"empty-{name}": scene for name, scene in PAGES.items()}


@contextmanager
def studio(home: Path, stock: Callable[[Studio], dict[str, Scene]]) -> Iterator[tuple[str, dict[str, Scene]]]:
    """Serve a studio with something in it; give its address and its scenes."""
    app = create_app(Settings(home=home))
    app.state.studio = replace(app.state.studio, hub=SampleHub())
    migrate(app.state.studio.engine)
    scenes = stock(app.state.studio)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, log_level="warning", lifespan="off"), app.state.web.live.close)
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        serving.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", scenes
        finally:
            app.state.web.live.close()
            server.should_exit = True
            serving.join()


@contextmanager
def opened(browser: Browser, size: tuple[int, int], scheme: Literal["light", "dark"]) -> Iterator[Page]:
    """Give a tab of some size in some colours, which tells what its console complains of."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    page.on("pageerror", lambda error: print(f"script: {page.url}: {error}"))
    yield page
    context.close()


def show(page: Page, address: str, scene: Scene) -> None:
    """Bring a page into the state of a scene."""
    page.unroute_all()
    page.context.clear_cookies()
    if scene.before:
        scene.before(page)
    page.goto(address + scene.path, wait_until="load")
    if scene.after:
        scene.after(page)
    page.wait_for_timeout(SETTLED_MS)


def walk(browser: Browser, address: str, scenes: dict[str, Scene], folder: Path, only: str) -> None:
    """Take a picture of each scene at each width, light and dark; say so when it is wider than its window."""
    for size in WIDTHS.items():
        for scheme in SCHEMES:
            with opened(browser, size, scheme) as page:
                for name, scene in scenes.items():
                    if not any(part in name for part in only.split(",")):
                        continue
                    show(page, address, scene)
                    picture = folder / f"{name}-{size[0]}-{scheme}.png"
                    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                        print(f"too wide: {picture.name}")
                    page.screenshot(path=picture, full_page=not scene.in_window)


def take_for_readme(browser: Browser, address: str, scenes: dict[str, Scene], folder: Path) -> None:
    """Take the README's pictures in both colours, and refuse any that is heavy."""
    for scheme in SCHEMES:
        with opened(browser, README_SIZE, scheme) as page:
            for name, scene in README.items():
                if scene not in scenes:
                    continue
                show(page, address, scenes[scene])
                picture = _as_webp(browser.new_page, page.screenshot())
                if len(picture) > README_BYTES:
                    print(f"too heavy: {name}-{scheme}.webp has {len(picture):,} bytes")
                (folder / f"{name}-{scheme}.webp").write_bytes(picture)


def _as_webp(new_page: Callable[[], Page], png: bytes) -> bytes:
    """Return a picture as WebP, which the browser itself can write."""
    page = new_page()
    encoded: str = page.evaluate(WEBP, [base64.b64encode(png).decode(), WEBP_QUALITY])
    page.close()
    return base64.b64decode(encoded)


if __name__ == "__main__":
    main()
