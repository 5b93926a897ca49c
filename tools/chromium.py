"""Finds the Chromium that browser tests drive; run as a program, it installs one where there is none.

Only the standard library, so that set-up and tests can both ask.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed() -> Path | None:
    """Give the system's own Chromium, if it has one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def playwrights_own() -> Path | None:
    """Give the Chromium that Playwright downloaded for itself, if it did."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def executable() -> Path | None:
    """Give any Chromium there is."""
    return installed() or playwrights_own()


def _install() -> bool:
    """Let Playwright fetch one, else the system's packages where we may."""
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode == 0:
        return True
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([apt, "update", "-qq"], env=quiet, check=False)
    return subprocess.run([apt, "install", "-qq", "-y", "--no-install-recommends", "chromium"], env=quiet, check=False).returncode == 0


def main() -> int:
    """See that there is a Chromium, or say what to do."""
    found = executable()
    if not found:
        print("setup: no Chromium here: installing one for the browser tests", flush=True)
        found = executable() if _install() else None
    if not found:
        print("setup: no Chromium could be installed; install one (apt-get install chromium), or browser tests cannot run", file=sys.stderr)
    else:
        print(f"setup: browser tests use {found}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
