"""Every library that code imports comes with the extra that code is installed with: `make run` has no test tools."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {"app", "workers", "tools", "bench", "tests", "migrations"}
USED_BY_OTHERS = {"accelerate", "psycopg", "python-multipart", "redis", "s3fs", "setuptools"}
"""Not imported here: what our libraries load by themselves, and what builds the install."""
ON_WISH = {"mlflow", "trackio", "wandb"}
"""Loaded where HONE_TRACKERS names them, and told of where they are missing; in the extra `trackers`."""
PROVIDERS = packages_distributions()


def canonical(name: str) -> str:
    """Give a distribution's name in the form that locks use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> set[str]:
    """Give the distributions of a lock."""
    return set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"), re.MULTILINE))


def imported(folder: str) -> dict[str, str]:
    """Give the libraries that a folder's code imports, each with a place where."""
    found: dict[str, str] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: f"{path.relative_to(ROOT)}:{node.lineno}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return {name: place for name, place in found.items() if name not in OWN | sys.stdlib_module_names}


@pytest.mark.parametrize(("folder", "lock"), [("app", "base"), ("workers", "train"), ("bench", "dev"), ("tools", "dev"), ("tests", "dev")])
def test_what_is_imported_is_installed_by_the_lock(folder: str, lock: str) -> None:
    provided = locked(lock) | ({"torch"} if lock != "base" else set())
    missing = {name: place for name, place in imported(folder).items() if not provided & set(map(canonical, PROVIDERS.get(name, [])))}
    assert {name: place for name, place in missing.items() if not (lock == "train" and name in ON_WISH)} == {}


def test_the_smaller_locks_are_parts_of_the_whole() -> None:
    pins = {
        name: set(re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("base", "train", "dev")
    }
    assert pins["base"] < pins["train"] < pins["dev"]


def test_a_library_is_listed_once_and_somebody_uses_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [canonical(re.split(r"[\[>=<]", line)[0]) for line in [*project["dependencies"], *extras["train"]]]
    assert sorted(wanted) == sorted(set(wanted))
    names = {library for folder in ("app", "workers", "migrations") for library in imported(folder)}
    used = {canonical(distribution) for library in names for distribution in PROVIDERS.get(library, [])}
    assert set(wanted) - used - USED_BY_OTHERS == set()
