"""The web process loads nothing that trains, and needs nothing installed but the base dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"accelerate", "bitsandbytes", "datasets", "peft", "torch", "transformers", "trl", "unsloth", "workers"}

BUILD = "from app.main import create_app; create_app()"

# Refuses, as if they were not installed, the modules named on the command line.
ONLY_BASE = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    refused = set(sys.argv[1].split(","))
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

sys.meta_path.insert(0, NotInstalled())
"""


def run(code: str, *arguments: str, home: Path) -> str:
    """Run code in a fresh Python with a home of its own; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"HONE_HOME": str(home), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def canonical(name: str) -> str:
    """Give a distribution's name in the form that locks use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def modules_outside_the_base() -> set[str]:
    """Give the top-level modules here that no distribution of the base lock provides."""
    lock = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    base = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE)) | {"hone"}
    return {module for module, providers in packages_distributions().items() if not base & set(map(canonical, providers))} | HEAVY


@pytest.mark.parametrize("code", [BUILD, "import app.cli, app.launcher"])
def test_the_web_and_the_command_load_nothing_heavy(code: str, tmp_path: Path) -> None:
    loaded = run(f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})", home=tmp_path)
    assert HEAVY & set(loaded.split()) == set()


@pytest.mark.parametrize("module", ["celery_app", "supervisor"])
def test_what_supervises_work_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    loaded = run(f"import workers.{module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})", home=tmp_path)
    assert (HEAVY - {"workers"} | {"fastapi", "jinja2"}) & set(loaded.split()) == set()


@pytest.mark.parametrize("code", [BUILD, "import app.cli, app.launcher"])
def test_the_base_dependencies_are_enough_for_the_web(code: str, tmp_path: Path) -> None:
    outside = modules_outside_the_base()
    assert {"torch", "transformers", "pytest", "bitsandbytes"} <= outside
    assert not {"fastapi", "pydantic_core", "yaml", "psycopg"} & outside
    run(ONLY_BASE + code, ",".join(outside), home=tmp_path)


def test_the_guard_of_this_file_refuses_what_is_not_in_the_base(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run(ONLY_BASE + "import torch", ",".join(modules_outside_the_base()), home=tmp_path)
