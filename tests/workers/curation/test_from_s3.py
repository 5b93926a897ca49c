"""Fetching from S3, against a real server on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Forbidden, Invalid, NotFound, StudioError, TooLarge, Unavailable
from app.domain.sources import S3Source
from app.gateways import remote_storage
from tests.s3_server import BUCKET, BadLine, S3Server, s3
from workers.curation.delivery import FetchReport
from workers.curation.fetching import FetchSpec, fetch

__all__ = ["s3"]


def put(server: S3Server, key: str, content: bytes = b"{}\n") -> None:
    server.client.put_object(Bucket=BUCKET, Key=key, Body=content)


def fetched(folder: Path, url: str, *, max_bytes: int = 10**9, store: str = "", told: list[Any] | None = None) -> FetchReport:
    spec = FetchSpec(source=S3Source(url=url), out=folder / "out", max_bytes=max_bytes, store=store)
    return fetch(spec, lambda *how_far: told.append(how_far) if told is not None else None)


def refusal(folder: Path, kind: type[StudioError], url: str, **given: Any) -> StudioError:
    with pytest.raises(kind) as refused:
        fetched(folder, url, **given)
    assert not (folder / "out").exists()
    assert "a-secret" not in refused.value.message
    return refused.value


def test_a_file_comes_with_its_hash(s3: S3Server, tmp_path: Path) -> None:
    content = os.urandom(9_000_000)
    put(s3, "rows/train 1.jsonl", content)
    told: list[tuple[int, int, int]] = []
    report = fetched(tmp_path, f"s3://{BUCKET}/rows/train 1.jsonl", told=told)
    [file] = report.files
    assert (file.filename, file.path.read_bytes()) == ("train 1.jsonl", content)
    wanted = {
        "kind": "s3",
        "url": f"s3://{BUCKET}/rows/train 1.jsonl",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert {name: file.origin.get(name) for name in wanted} == wanted
    assert (told[-1], report.contacted) == ((len(content), len(content), 0), ["127.0.0.1"])


def test_a_folder_brings_all_its_files_but_what_is_hidden(s3: S3Server, tmp_path: Path) -> None:
    for key in ("set/a.jsonl", "set/more/b.jsonl", "set/_SUCCESS", "set/.crc", "settings.json"):
        put(s3, key)
    put(s3, "set/", b"")
    files = fetched(tmp_path, f"s3://{BUCKET}/set/").files
    assert [file.origin["url"] for file in files] == [f"s3://{BUCKET}/set/a.jsonl", f"s3://{BUCKET}/set/more/b.jsonl"]
    assert len({file.path for file in files}) == 2


def test_more_files_or_bytes_than_may_come_are_refused(s3: S3Server, tmp_path: Path) -> None:
    for number in range(101):
        put(s3, f"many/{number}.jsonl", b"x" * 100)
    assert "more than 100 files" in refusal(tmp_path, Invalid, f"s3://{BUCKET}/many/").message
    refusal(tmp_path, TooLarge, f"s3://{BUCKET}/many/1.jsonl", max_bytes=99)


def test_a_listing_that_goes_on_is_refused_even_where_much_of_it_is_hidden(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.curation.from_s3.LISTED", 2)
    for key in ("set/.a", "set/b.jsonl"):
        put(s3, key)
    assert len(fetched(tmp_path, f"s3://{BUCKET}/set/").files) == 1
    put(s3, "set/c.jsonl")
    (tmp_path / "more").mkdir()
    assert "more than 100 files" in refusal(tmp_path / "more", Invalid, f"s3://{BUCKET}/set/").message


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nothing.jsonl", "There is nothing at s3://studio/nothing.jsonl. For all files of a folder, put a / at the end."),
        ("nothing/", "There are no files below s3://studio/nothing/."),
    ],
)
def test_what_is_not_there_is_said(s3: S3Server, tmp_path: Path, place: str, says: str) -> None:
    assert refusal(tmp_path, NotFound, f"s3://{BUCKET}/{place}").message == says


@pytest.mark.parametrize("place", ["x/", "x.jsonl"])
def test_a_bucket_that_is_not_there_is_said(s3: S3Server, tmp_path: Path, place: str) -> None:
    refused = refusal(tmp_path, NotFound, f"s3://no-such-bucket/{place}")
    assert refused.message.startswith(("There is no bucket 'no-such-bucket'.", "There is nothing at s3://no-such-bucket/x.jsonl."))


def test_keys_that_are_refused_are_said_so(s3: S3Server, tmp_path: Path) -> None:
    put(s3, "rows.jsonl")
    s3.check_keys()
    for place in ("rows.jsonl", ""):
        assert "AWS_ACCESS_KEY_ID" in refusal(tmp_path, Forbidden, f"s3://{BUCKET}/{place}").message


def test_no_keys_at_all_are_said_so(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert refusal(tmp_path, Forbidden, f"s3://{BUCKET}/x.jsonl").code in {"no_keys", "keys_refused"}


def test_the_studios_own_store_is_never_read_as_a_source(s3: S3Server, tmp_path: Path) -> None:
    put(s3, "files/blobs/ab/abc", b"somebody else's")
    before = len(s3.asked)
    assert "the studio's own store" in refusal(tmp_path, Forbidden, f"s3://{BUCKET}/files/blobs/", store=f"s3://{BUCKET}/files").message
    assert len(s3.asked) == before


def test_a_server_that_is_away_is_said_to_be(s3: S3Server, nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.curation.from_s3.PATIENT", remote_storage.BRIEF)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nobody)
    assert refusal(tmp_path, Unavailable, f"s3://{BUCKET}/x.jsonl").code == "s3_unreachable"


def test_a_cut_line_is_taken_up_again(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(9_000_000)
    put(s3, "rows.jsonl", content)
    line = BadLine(s3.port, cuts=2, after=1_000_000)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", line.url)
    assert fetched(tmp_path, f"s3://{BUCKET}/rows.jsonl").files[0].path.read_bytes() == content
    assert line.cuts == 0
    line.close()
