"""Base models by name: the bundled one, folders, Hub ids; what hangs, hides or leads outside is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.domain.errors import Invalid
from app.gateways.model_folders import ModelFolders


def make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> ModelFolders:
    make_folder(tmp_path / "known" / "good")
    return ModelFolders(make_folder(tmp_path / "bundled"), [tmp_path / "known"], only_under=False)


def test_sizes_are_read_from_headers(folders: ModelFolders, tmp_path: Path) -> None:
    assert folders.find("hone-starter").parameters == 17
    assert [base.name for base in folders.listed()] == ["hone-starter", str(tmp_path / "known" / "good")]


def test_a_hub_id_is_not_here_yet(folders: ModelFolders) -> None:
    base = folders.find("org/some-model_1.5")
    assert (base.folder, base.parameters, base.has_template) == (None, None, None)


@pytest.mark.parametrize("name", ["nothing", "../up", "a/b/c", "http://x/y", "/no/such/folder", "\0", "~"])
def test_what_is_no_model_is_said_so(folders: ModelFolders, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        folders.find(name)
    assert refused.value.code == "unknown_model"


def test_beyond_loopback_only_known_folders_are_read(tmp_path: Path) -> None:
    elsewhere, known = make_folder(tmp_path / "elsewhere"), make_folder(tmp_path / "known" / "good")
    (tmp_path / "known" / "link").symlink_to(elsewhere)
    folders = ModelFolders(make_folder(tmp_path / "bundled"), [tmp_path / "known"], only_under=True)
    assert folders.find(str(known)).parameters == 17
    for outside in (elsewhere, tmp_path / "known" / "link", tmp_path / "known" / ".." / "elsewhere"):
        with pytest.raises(Invalid):
            folders.find(str(outside))


def test_a_pipe_does_not_hang_and_garbage_is_no_weights(folders: ModelFolders, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    os.mkfifo(odd / "config.json")
    (odd / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(Invalid):
        folders.find(str(odd))
    (odd / "config.json").unlink()
    (odd / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(Invalid) as refused:
        folders.find(str(odd))
    assert refused.value.code == "unsafe_format"
