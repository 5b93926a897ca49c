"""What every test stands on: no network but this machine, real material when it is there, and no test that silently cannot run in CI."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
# Side by side, tests share the cores: a thread of torch that waits for the others must not keep one busy.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
LEFT_OUT = pytest.StashKey[int]()
LEFT_OUT_BESIDE = "left_out"
# How long an example takes says how busy the machine is.
settings.register_profile("hone", deadline=None)
settings.load_profile("hone")


def in_ci() -> bool:
    """Tell whether a test that cannot run here is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def material_folder() -> Path:
    """Give the folder of real data, whether or not it exists."""
    return Path(os.environ.get("HONE_MATERIAL", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs real data where there is none, and say so in one line; in CI let it fail instead."""
    if material_folder().is_dir() or in_ci():
        return
    left_out = [item for item in items if item.get_closest_marker("material")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        config.stash[LEFT_OUT] = len(left_out)
        if hasattr(config, "workeroutput"):
            config.workeroutput[LEFT_OUT_BESIDE] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear from those who run tests side by side how many they left out: each has left out the same."""
    if number := getattr(node, "workeroutput", {}).get(LEFT_OUT_BESIDE):
        node.config.stash[LEFT_OUT] = number


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the one line about tests without their material."""
    if LEFT_OUT in config.stash:
        left_out = config.stash[LEFT_OUT]
        terminalreporter.write_line(f"{left_out} tests were left out: they need the real data of HONE_MATERIAL ({material_folder()}).")


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


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("HONE_") and name != "HONE_MATERIAL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
