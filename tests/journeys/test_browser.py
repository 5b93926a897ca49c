"""The whole way of a person through a real browser, on a machine whose network is cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.chromium import executable


@pytest.fixture
def without_network() -> list[str]:
    """A prefix that runs a command in a network namespace of its own, with nothing in it."""
    tool = shutil.which("unshare")
    for options in (["-n"], ["-rn"]):
        command = [tool or "unshare", *options]
        if tool and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
            return command
    pytest.skip("this machine does not let a test cut its network (unshare -n)")


@pytest.mark.browser
@pytest.mark.timeout(900)
def test_from_a_file_to_a_chat_with_the_network_cut(without_network: list[str], tmp_path: Path, root: Path) -> None:
    if executable() is None:
        pytest.skip("there is no Chromium; make setup installs one")
    command = [*without_network, sys.executable, "-m", "tests.journeys.walk", str(tmp_path / "home"), str(tmp_path / "pictures")]
    walked = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False)
    assert walked.returncode == 0, walked.stderr[-6000:]
    seen = json.loads(walked.stdout.splitlines()[-1])
    assert seen == {"complaints": [], "foreign": []}
