"""What people take away: an adapter or a whole model, packed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from app.domain.results import ADAPTER_FILES, LINEAGE
from workers.training_work import pack_result


def test_a_whole_model_is_packed_as_it_is_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    names = ("config.json", "model.safetensors", "tokenizer.json", LINEAGE, "masters.safetensors", "optimizer.safetensors", "state.json")
    for name in names:
        (folder / name).write_text(f"{name} " * 100)
    pack_result(folder, "the card", tmp_path / "one.zip")
    pack_result(folder, "the card", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert sorted(archive.namelist()) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
        assert archive.getinfo("model.safetensors").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("tokenizer.json").compress_type == zipfile.ZIP_DEFLATED
        assert archive.read("model.safetensors") == (folder / "model.safetensors").read_bytes()
        assert archive.read("README.md") == b"the card"


def test_weights_of_more_than_four_gigabytes_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # stands for 2 GiB
    for name in (*ADAPTER_FILES, "x"):
        (tmp_path / name).write_bytes(b"w" * 5000)
    pack_result(tmp_path, "the card", tmp_path / "large.zip")
    with zipfile.ZipFile(tmp_path / "large.zip") as archive:
        assert archive.read(ADAPTER_FILES[0]) == b"w" * 5000
        assert archive.getinfo(ADAPTER_FILES[0]).extract_version == zipfile.ZIP64_VERSION
