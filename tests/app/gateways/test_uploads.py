"""Multipart uploads that are none: refused in words, and no file stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.errors import Invalid, StudioError, Unavailable, UnsupportedType
from app.gateways.uploads import Upload, receive_upload

PART = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"prompt": "a", "completion": "b"}\n'


def receive(folder: Path, boundary: str, body: bytes, max_bytes: int = 10_000) -> Upload:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    return asyncio.run(receive_upload(pieces(), {"content-type": f"multipart/form-data; boundary={boundary}"}, folder, max_bytes))


def test_a_file_arrives_whole(tmp_path: Path) -> None:
    upload = receive(tmp_path, "x", b"--x\r\n" + PART + b"\r\n--x--\r\n")
    assert [(file.filename, file.path.read_bytes()) for file in upload.files] == [("a.jsonl", PART.partition(b"\r\n\r\n")[2])]


def test_several_files_arrive_whole_and_in_order(tmp_path: Path) -> None:
    second = PART.replace(b"a.jsonl", b"b.jsonl").replace(b'"a"', b'"other"')
    field = b'Content-Disposition: form-data; name="name"\r\n\r\nboth'
    upload = receive(tmp_path, "x", b"--x\r\n" + PART + b"\r\n--x\r\n" + field + b"\r\n--x\r\n" + second + b"\r\n--x--\r\n")
    assert [file.filename for file in upload.files] == ["a.jsonl", "b.jsonl"]
    assert [b'"other"' in file.path.read_bytes() for file in upload.files] == [False, True]
    assert upload.fields == {"name": "both"}


def test_a_second_file_that_cannot_be_used_leaves_neither(tmp_path: Path) -> None:
    picture = b'Content-Disposition: form-data; name="file"; filename="b.png"\r\n\r\n\x89PNG\r\n\x1a\n'
    with pytest.raises(UnsupportedType):
        receive(tmp_path, "x", b"--x\r\n" + PART + b"\r\n--x\r\n" + picture + b"\r\n--x--\r\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        ("b" * 257, b"--" + b"b" * 257 + b"\r\n" + PART),
        ("x", b"--y\r\n" + PART),
        ("x", b"--x\r\n" + PART),
        ("x", b"--x\r\n" + b"H: " + b"h" * 100_000 + b"\r\n\r\n"),
        ("", b"--\r\n" + PART),
        ("x", b""),
    ],
    ids=["a long boundary", "another boundary", "broken off", "an endless header", "no boundary", "nothing"],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(tmp_path: Path, boundary: str, body: bytes) -> None:
    with pytest.raises(Invalid):
        receive(tmp_path, boundary, body)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        receive(tmp_path / "nowhere", "x", b"--x\r\n" + PART + b"\r\n--x--\r\n")


def test_too_much_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StudioError):
        receive(tmp_path, "x", b"--x\r\n" + PART + b"\r\n--x--\r\n", max_bytes=10)
    assert list(tmp_path.iterdir()) == []
