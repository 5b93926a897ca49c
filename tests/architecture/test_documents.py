"""What documents promise: every setting is listed, every file they point to exists, every command they name can be made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
NAMES = {f"HONE_{field.upper()}" for field in Settings.model_fields}


def test_the_example_environment_lists_every_setting_with_its_default() -> None:
    lines = re.findall(r"^# (HONE_\w+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    listed = dict(lines)
    assert set(listed) == NAMES
    for field, described in Settings.model_fields.items():
        default = "" if described.default is None else str(described.default)
        assert listed[f"HONE_{field.upper()}"].lower() == default.lower(), field


def test_the_operators_page_describes_every_setting() -> None:
    described = re.findall(r"^\| `(HONE_\w+)` \|", (ROOT / "docs" / "operating.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(described) >= NAMES


def test_the_operators_page_names_every_variable_that_code_reads() -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"\bHONE_[A-Z_]+[A-Z]\b", text)}
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_the_operators_page_names_no_variable_that_nothing_reads() -> None:
    listed = re.findall(r"^\| `(HONE_\w+)` \|", (ROOT / "docs" / "operating.md").read_text(encoding="utf-8"), re.MULTILINE)
    places = [path for folder in ("app", "workers", "tests") for path in (ROOT / folder).rglob("*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in places)
    assert {name for name in listed if name not in NAMES and f'"{name}"' not in sources} == set()


def test_the_folders_on_the_page_of_the_architecture_exist() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## The tree")[2].partition("## Who may")[0]
    named = re.findall(r"`([a-z_/]+/)`", tree)
    places = [ROOT, ROOT / "app", ROOT / "workers", ROOT / "tests"]
    assert [name for name in named if not any(list((place / name).glob("*")) for place in places)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?![a-z]+:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    kinds = r"(?:py|sh|md|toml|html|json)"
    named = re.findall(
        rf"`((?:app|workers|tests|tools|templates|docs|bench|requirements)/[\w/.-]+\.{kinds})(?:::\w+)?`",
        document.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_command_of_the_makefile_is_documented_and_the_other_way_round() -> None:
    made = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)) - {"help"}
    documented = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert made == documented
