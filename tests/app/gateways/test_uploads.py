"""Multipart uploads that are none: refused in words, and no file stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.errors import Invalid, StudioError, Unavailable
from app.gateways.uploads import Upload, receive_upload

PART = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"prompt": "a", "completion": "b"}\n'


def receive(folder: Path, boundary: str, body: bytes, max_bytes: int = 10_000) -> Upload:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    return asyncio.run(receive_upload(pieces(), {"content-type": f"multipart/form-data; boundary={boundary}"}, folder, max_bytes))


def test_a_file_arrives_whole(tmp_path: Path) -> None:
    upload = receive(tmp_path, "x", b"--x\r\n" + PART + b"\r\n--x--\r\n")
    assert upload.path.read_bytes() == PART.partition(b"\r\n\r\n")[2]
    assert upload.filename == "a.jsonl"


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
