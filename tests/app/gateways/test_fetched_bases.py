"""Where base models of the Hub lie here, which commit is taken, and what a name may lead to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.config import PROJECT_ROOT
from app.domain.specs import STARTER
from app.gateways.fetched_bases import FetchedBases
from app.gateways.model_folders import ModelFolders

OLD, NEW = "a" * 40, "b" * 40
STARTER_FOLDER = PROJECT_ROOT / "models" / STARTER


@pytest.fixture
def fetched(tmp_path: Path) -> FetchedBases:
    return FetchedBases(tmp_path / "models")


def add(fetched: FetchedBases, commit: str, *, age: int = 0) -> Path:
    """Put the bundled model there, as if it had been fetched so many seconds ago."""
    folder = fetched.place("acme/small", commit)
    folder.mkdir(parents=True)
    for file in STARTER_FOLDER.iterdir():
        (folder / file.name).symlink_to(file)
    now = folder.stat().st_mtime - age
    os.utime(folder, (now, now))
    return folder


def test_the_newest_commit_is_the_one_that_is_found(fetched: FetchedBases) -> None:
    new, _ = add(fetched, NEW), add(fetched, OLD, age=60)
    assert fetched.newest("acme/small") == new
    assert fetched.listed() == [("acme/small", new)]
    fetched.remove("acme/small", NEW)
    assert [folder.name for _, folder in fetched.listed()] == [OLD]
    fetched.remove("acme/small", OLD)
    assert (fetched.listed(), fetched.has("acme/small", OLD)) == ([], False)


def test_a_base_that_was_fetched_is_found_by_its_name_on_the_hub(fetched: FetchedBases) -> None:
    folder = add(fetched, NEW)
    folders = ModelFolders(STARTER_FOLDER, [], only_under=True, fetched=fetched)
    found = folders.find("acme/small")
    assert (found.name, found.folder) == ("acme/small", folder)
    assert [base.name for base in folders.listed()] == [STARTER, "acme/small"]
    assert folders.find("acme/other").folder is None


def test_what_is_not_whole_is_not_there(fetched: FetchedBases) -> None:
    parts = fetched.parts("acme/small", NEW)
    parts.mkdir(parents=True)
    (parts / "model.safetensors.part").write_bytes(b"half")
    assert (fetched.listed(), fetched.newest("acme/small"), fetched.part_bytes("acme/small", NEW)) == ([], None, 4)
    fetched.remove("acme/small", NEW)
    assert fetched.part_bytes("acme/small", NEW) == 0


@pytest.mark.parametrize(("repo", "commit"), [("../x", NEW), ("a/b--c", NEW), ("a/b", "main"), ("a/b", "../" * 13 + "x"), ("a", NEW)])
def test_no_name_leads_out_of_the_folder(fetched: FetchedBases, repo: str, commit: str) -> None:
    for act in (fetched.place, fetched.parts, fetched.remove):
        with pytest.raises(ValueError, match="is no"):
            act(repo, commit)


def test_a_folder_that_is_not_there_holds_nothing_and_has_room(fetched: FetchedBases) -> None:
    assert (fetched.listed(), fetched.newest("a/b--c")) == ([], None)
    assert fetched.free_bytes() > 0
