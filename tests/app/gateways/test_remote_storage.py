"""The store on S3, against a real server: whole files or clear words, whatever the line, the keys or the disk do."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import socket
import time
from pathlib import Path

import pytest

from app.db.session import LOCK_SECONDS
from app.domain.datasets import Example, Turn
from app.domain.errors import NotFound, StorageFull, StorageUnavailable
from app.domain.ports import Sealed
from app.gateways import remote_storage
from app.gateways.remote_storage import RemoteStorage
from tests.s3_server import ADDRESS, BUCKET, BadLine, S3Server, remote, s3
from workers.curation.parquet import RowWriter

__all__ = ["s3"]
MIB = 2**20


def seal(storage: RemoteStorage, content: bytes = b"hello") -> Sealed:
    source = storage.incoming / "x"
    source.write_bytes(content)
    return storage.seal(source)


def bring(storage: RemoteStorage, content: bytes = b"hello") -> str:
    sealed = seal(storage, content)
    storage.put(sealed)
    return sealed.sha256


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - any bytes will do


def place(sha256: str) -> dict[str, str]:
    return {"Bucket": BUCKET, "Key": f"files/blobs/{sha256[:2]}/{sha256}"}


def test_what_one_machine_brings_another_reads_and_either_removes(s3: S3Server, tmp_path: Path) -> None:
    one, other = remote(tmp_path / "one"), remote(tmp_path / "other")
    assert list(one.blobs()) == []
    sha256 = bring(one)
    assert bring(one) == sha256
    assert other.path(sha256).read_bytes() == b"hello"
    assert [(blob.sha256, blob.size_bytes) for blob in other.blobs()] == [(sha256, 5)]
    assert other.measure(sha256) == (sha256, 5)
    assert list(one.incoming.iterdir()) == list(other.incoming.iterdir()) == []
    other.remove(sha256)
    other.remove(sha256)
    with pytest.raises(NotFound, match="not in the store any more"):
        other.path(sha256)
    assert one.measure(sha256) is None


def test_a_large_file_goes_up_in_parts_with_checksums(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_storage, "PART_BYTES", 5 * MIB)
    content = noise(12 * MIB)
    sha256 = bring(remote(tmp_path / "one"), content)
    assert s3.client.head_object(**place(sha256))["ETag"].endswith('-3"')
    sums = [header for header in s3.part_headers if header.startswith("x-amz-checksum-")]
    assert sums == ["x-amz-checksum-crc32"] * 3
    assert remote(tmp_path / "other").path(sha256).read_bytes() == content


def test_a_damaged_file_is_noticed_and_not_kept(s3: S3Server, tmp_path: Path) -> None:
    sha256 = bring(remote(tmp_path / "one"))
    s3.client.put_object(**place(sha256), Body=b"hullo")
    other = remote(tmp_path / "other")
    with pytest.raises(NotFound, match="damaged") as told:
        other.path(sha256)
    assert told.value.code == "file_damaged"
    assert [path for path in other.folder.rglob("*") if path.is_file()] == []


def test_a_file_that_is_not_all_there_is_sent_again(s3: S3Server, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"hello").hexdigest()
    s3.client.put_object(**place(sha256), Body=b"hel")
    bring(remote(tmp_path / "one"))
    assert remote(tmp_path / "other").path(sha256).read_bytes() == b"hello"


def test_one_that_was_dropped_after_it_was_sealed_is_to_be_sealed_again(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path / "one")
    sealed = seal(storage)
    remote(tmp_path / "other").remove(sealed.sha256)
    with pytest.raises(StorageUnavailable, match="has lost a file that was just brought"):
        storage.put(sealed)
    storage.put(seal(storage))
    storage.put(sealed)  # as after a rollback: the file was moved already
    assert remote(tmp_path / "third").path(sealed.sha256).read_bytes() == b"hello"


@pytest.mark.parametrize("act", ["put", "remove"])
def test_what_is_done_under_the_lock_asks_a_silent_server_once(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    sealed = seal(remote(tmp_path))
    monkeypatch.setitem(remote_storage.BRIEF[1], "read_timeout", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StorageUnavailable, match="does not answer"):
            remote(tmp_path).put(sealed) if act == "put" else remote(tmp_path).remove(sealed.sha256)
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nobody else called
            silent.accept()


def test_it_gives_up_before_those_do_who_wait_for_the_lock() -> None:
    tries, config = remote_storage.BRIEF
    assert tries * (config["connect_timeout"] + config["read_timeout"]) < LOCK_SECONDS


def test_one_question_is_asked_under_the_lock_also_of_what_is_gone(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path)
    sealed = seal(storage)
    storage.remove(sealed.sha256)
    asked = len(s3.asked)
    with pytest.raises(StorageUnavailable, match="has lost a file"):
        storage.put(sealed)
    assert s3.asked[asked:] == ["HEAD"]


def test_the_full_disk_is_named_that_a_file_is_copied_to(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = remote(tmp_path / "one")
    sha256 = bring(storage)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.files, "get_file", full)
    (tmp_path / "copies").mkdir()
    with pytest.raises(StorageFull, match="copies"):
        storage.export(sha256, tmp_path / "copies" / "x")


@pytest.mark.parametrize("trouble", [PermissionError(13, "Permission denied", "/some/file"), AttributeError("a mistake of ours")])
def test_a_fault_of_this_machine_is_not_laid_at_the_stores_door(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise trouble

    storage = remote(tmp_path)
    monkeypatch.setattr(storage.files, "find", fail)
    with pytest.raises(type(trouble)):
        list(storage.blobs())


def test_a_line_that_is_cut_costs_time_and_no_byte(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = noise(3 * MIB)
    for storage in ("sends", "reads"):
        line = BadLine(s3.port, cuts=2, after=MIB)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", line.url)
        machine = remote(tmp_path / storage)
        sha256 = hashlib.sha256(content).hexdigest()
        if storage == "sends":
            assert bring(machine, content) == sha256
        assert machine.path(sha256).read_bytes() == content
        assert line.cuts == 0
        line.close()


def test_a_server_that_is_down_is_told_of_and_once_back_all_goes_on(s3: S3Server, tmp_path: Path) -> None:
    one, other = remote(tmp_path / "one"), remote(tmp_path / "other")
    sha256 = bring(one)
    s3.stop()
    with pytest.raises(StorageUnavailable, match=rf"The store at {ADDRESS} does not answer") as told:
        other.path(sha256)
    assert (told.value.status, told.value.code) == (503, "storage")
    with pytest.raises(StorageUnavailable):
        seal(one, b"more")
    assert one.path(sha256).read_bytes() == b"hello"  # it lies here
    s3.start()
    assert other.path(sha256).read_bytes() == b"hello"


def test_wrong_keys_are_told_of_without_saying_them(s3: S3Server, tmp_path: Path) -> None:
    s3.check_keys()
    storage = remote(tmp_path)
    for ask in (lambda: storage.path("ab" * 32), lambda: seal(storage), lambda: list(storage.blobs())):
        with pytest.raises(StorageUnavailable, match=r"refuses these keys\. Check AWS_ACCESS_KEY_ID") as told:
            ask()
        assert "a-key" not in str(told.value)
        assert "a-secret" not in str(told.value)


def test_missing_keys_are_told_of(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StorageUnavailable, match="asks for keys, and there are none"):
        seal(remote(tmp_path))


def test_a_missing_bucket_is_told_of(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path, "s3://elsewhere/files")
    for ask in (lambda: storage.path("ab" * 32), lambda: seal(storage)):
        with pytest.raises(StorageUnavailable, match="There is no bucket for the store at s3://elsewhere/files"):
            ask()


def test_the_cache_lets_go_of_what_was_not_asked_for_the_longest(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path / "one", cache_bytes=250)
    old, older, used = (bring(storage, noise(100 + number)) for number in (0, 1, 2))
    for age, sha256 in ((2000, old), (3000, older), (4000, used)):
        os.utime(storage.path(sha256), (0, time.time() - age))
    storage.path(used)  # asked for now
    newest = bring(storage, noise(103))
    here = {path.name for path in storage.folder.glob("blobs/*/*")}
    assert here == {used, newest}
    assert storage.path(older).stat().st_size == 101  # fetched again


def test_pages_of_rows_are_let_go_of_like_files_and_made_again(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path / "one", cache_bytes=250)
    with RowWriter(tmp_path / "rows") as writer:
        writer.add(Example((Turn("user", "Hi?"), Turn("assistant", "Yes."))), 1)
        writer.finish()
    sha256 = bring(storage, (tmp_path / "rows").read_bytes())
    shown = storage.rows(sha256).page(-1, 5)
    pages = storage.rows(sha256).pages
    for kept in (pages, storage.cache.path(sha256)):
        os.utime(kept, (0, time.time() - 2000))
    storage.rows(sha256)  # asked for now, and so they stay
    bring(storage, noise(100))
    assert pages.exists()
    os.utime(pages, (0, time.time() - 2000))
    bring(storage, noise(101))
    assert not pages.exists()
    assert storage.rows(sha256).page(-1, 5) == shown


def test_what_was_asked_for_just_now_stays_however_full_the_cache(s3: S3Server, tmp_path: Path) -> None:
    storage = remote(tmp_path / "one", cache_bytes=1)
    made = {bring(storage, noise(size)) for size in (10, 20)}
    assert {path.name for path in storage.folder.glob("blobs/*/*")} == made
