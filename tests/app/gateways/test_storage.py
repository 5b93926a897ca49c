"""The store: by content, and gone without a trace."""

from __future__ import annotations

import errno
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from app.domain.errors import NotFound, StorageFull
from app.gateways.storage import LocalStorage


def test_a_file_lies_under_its_hash_and_twins_are_one(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for _ in range(2):
        source = storage.incoming / "x"
        source.write_bytes(b"hello")
        sealed = storage.seal(source)
        storage.put(sealed)
        assert not source.exists()
    sha256 = sealed.sha256
    assert (sha256, sealed.size_bytes) == (hashlib.sha256(b"hello").hexdigest(), 5)
    with storage.path(sha256).open("rb") as file:
        assert file.read() == b"hello"
    assert len([p for p in (tmp_path / "blobs").rglob("*") if p.is_file()]) == 1
    storage.remove(sha256)
    storage.remove(sha256)
    with pytest.raises(NotFound):
        storage.path(sha256)


def test_an_adapter_is_unpacked_once_and_cannot_climb_out(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    packed = storage.incoming / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adapter_config.json", "{}")
        archive.writestr("../../escaped", "x")
    sealed = storage.seal(packed)
    storage.put(sealed)
    sha256 = sealed.sha256
    folder = storage.adapter_folder(sha256)
    assert (folder / "adapter_config.json").read_text() == "{}"
    assert storage.adapter_folder(sha256) == folder
    assert not (tmp_path / "escaped").exists()
    assert [p.name for p in folder.parent.iterdir()] == [sha256]


def test_a_broken_zip_leaves_nothing_behind(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    packed = storage.incoming / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adapter_config.json", "{}" * 100)
    packed.write_bytes(packed.read_bytes().replace(b"{}{}", b"{}[]", 1))
    sealed = storage.seal(packed)
    storage.put(sealed)
    with pytest.raises(zipfile.BadZipFile):
        storage.adapter_folder(sealed.sha256)
    assert list((tmp_path / "adapters").iterdir()) == []


def test_the_name_of_a_file_is_made_to_last_as_its_content_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    really = os.fsync

    def watched(number: int) -> None:
        synced.append(Path(f"/proc/self/fd/{number}").readlink())
        really(number)

    monkeypatch.setattr(os, "fsync", watched)
    storage = LocalStorage(tmp_path)
    source = storage.incoming / "x"
    source.write_bytes(b"hello")
    sealed = storage.seal(source)
    storage.put(sealed)
    place = storage.path(sealed.sha256)
    assert synced == [source, place.parent, place.parent.parent]


def test_a_full_disk_is_told_of_in_words_and_nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    source = storage.incoming / "x"
    source.write_bytes(b"hello")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=rf"The disk of {tmp_path} is full \([\d.]+ [kMGT]B are free\)") as told:
        storage.seal(source)
    assert (told.value.status, told.value.code) == (503, "disk_full")
    assert list(storage.blobs()) == []
