"""The first journey of a person, in a real Chromium: the tour, then their own file, map, run, watch, chat, and the API's page.

Run as a program, so that a test can start it with the network cut: `python -m tests.journeys.walk HOME PICTURES`.
"""

from __future__ import annotations

import fcntl
import json
import re
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

from tests.journeys.conftest import INTENTS
from tests.journeys.tour import Tour, without_scripts
from tools.chromium import executable
from tools.running import running_studio

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
UPLOAD_MS, TRAINING_MS, ANSWER_MS, APPEARS_MS = 90_000, 240_000, 120_000, 60_000
STEPS = 100
"""Long enough that a page which is brought up to date late still shows the run on its way."""


def bring_loopback_up() -> None:
    """In a fresh network namespace even this machine's own addresses are down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def write_table(path: Path) -> Path:
    """Write a table whose columns nobody can guess the roles of."""
    verbs = list(INTENTS)
    lines = [f"I want to {verbs[n % len(verbs)]} order {n},{INTENTS[verbs[n % len(verbs)]]}" for n in range(160)]
    path.write_text("wert_a,wert_b\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


class Walk:
    """One browser tab on its way."""

    def __init__(self, page: Page, address: str, pictures: Path) -> None:
        self.page, self.address, self.pictures = page, address, pictures
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.foreign.append(request.url) if not request.url.startswith((address, "data:")) else None)

    def picture(self, name: str) -> None:
        """Keep what the page looks like now."""
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def take_the_tour(self) -> None:
        """See the whole way on the sample; one's own file comes after it."""
        tour = Tour(self.page, self.address)
        for part in (tour.sample, tour.run, tour.chat, tour.back_and_forth, tour.leave):
            part()
            self.picture(f"tour-{part.__name__}")

    def upload_and_map(self, table: Path) -> None:
        """Bring a file and say what its columns are."""
        page = self.page
        page.goto(f"{self.address}/datasets")
        page.get_by_label(re.compile("choose one")).set_input_files(table)  # uploads at once
        page.get_by_label("wert_a").select_option("user", timeout=UPLOAD_MS)
        page.get_by_label("wert_b").select_option("assistant")
        page.get_by_label("System prompt for every row").fill("Name the intent.")
        self.picture("mapping")
        page.get_by_role("button", name="Map and read the rows").click()
        # Live: nobody reloads the page.
        expect(page.get_by_role("link", name="Train on it")).to_be_visible(timeout=UPLOAD_MS)
        expect(page.locator("#dataset-rows")).to_contain_text("I want to cancel order 0")
        expect(page.locator("#dataset-rows")).to_contain_text("Name the intent.")
        self.picture("dataset")

    def train(self) -> None:
        """Start a short run from the dataset's page and watch it to its end."""
        page = self.page
        page.get_by_role("link", name="Train on it").click()
        page.get_by_text("All settings").click()
        page.get_by_label("Max steps").fill(str(STEPS))
        expect(page.locator("#run-card")).to_contain_text(str(STEPS))
        self.picture("new-run")
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
        expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile(rf"Step \d+ of {STEPS}"), timeout=TRAINING_MS)
        self.picture("running")
        expect(page.locator("main")).to_contain_text(re.compile("Succeeded|Done|Finished"), timeout=TRAINING_MS)
        expect(page.locator(".u-over, svg.plot, canvas").first).to_be_attached()
        self.picture("done")

    def chat(self) -> None:
        """Ask base and tuned model the same."""
        page = self.page
        page.goto(f"{self.address}/chat")
        expect(page.locator("#model-tuned")).to_have_value(re.compile("^ft:hone-starter:"))
        page.locator("#prompt").fill("I want to cancel order 7")
        page.get_by_role("button", name="Ask both").click()
        for figures in page.locator("[data-figures]").all():
            expect(figures).to_contain_text(re.compile(r"\d+ tokens?"), timeout=ANSWER_MS)
        self.picture("chat")

    def api_page(self) -> None:
        """Open the API's description, which must not need the network either."""
        self.page.goto(f"{self.address}/docs")
        expect(self.page.get_by_text("/api/v1/datasets").first).to_be_visible()
        self.picture("docs")


def main() -> None:
    """Walk, and print what was seen as JSON."""
    home, pictures = Path(sys.argv[1]), Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    bring_loopback_up()
    expect.set_options(timeout=APPEARS_MS)
    with running_studio(home) as studio, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        walk = Walk(browser.new_page(viewport={"width": 1280, "height": 900}), studio.address, pictures)
        try:
            walk.take_the_tour()
            without_scripts(browser, studio.address)
            walk.upload_and_map(write_table(pictures / "table.csv"))
            walk.train()
            walk.chat()
            walk.api_page()
        finally:
            walk.picture("last")
            browser.close()
    print(json.dumps({"complaints": walk.complaints, "foreign": walk.foreign}))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
