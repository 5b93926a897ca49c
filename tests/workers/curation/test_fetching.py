"""Fetching a file from an address: whole or not at all, bounded, taken up again where the line was cut, and never telling a key."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Forbidden, Invalid, NotFound, StudioError, TooLarge, Unavailable
from app.domain.sources import MAX_NAME, UrlSource
from tests.workers.curation.file_server import FileServer, file_server
from workers.curation import receiving
from workers.curation.delivery import FetchReport
from workers.curation.fetching import FetchSpec, _name_from, fetch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(receiving, "PAUSES", (0.01, 0.01, 0.01))
    with file_server() as told:
        yield told


def fetched(folder: Path, url: str, *, max_bytes: int = 10**9, private: bool = True, told: list[Any] | None = None) -> FetchReport:
    spec = FetchSpec(source=UrlSource(url=url), out=folder / "out", max_bytes=max_bytes, private_allowed=private)
    return fetch(spec, lambda *how_far: told.append(how_far) if told is not None else None)


def refusal(folder: Path, kind: type[StudioError], url: str, **given: Any) -> StudioError:
    """Return why a fetch is refused; nothing of it may be left."""
    with pytest.raises(kind) as refused:
        fetched(folder, url, **given)
    assert not (folder / "out").exists()
    return refused.value


def test_a_file_comes_with_its_name_and_where_it_is_from(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    report = fetched(tmp_path, server.address + "?token=hunter2", told=told)
    [file] = report.files
    assert (file.filename, file.split, file.path.read_bytes()) == ("rows.jsonl", None, server.content)
    assert file.path.parent == tmp_path / "out"
    assert file.origin["url"] == server.address + "?…"
    assert file.origin["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert (file.origin["bytes"], file.origin["etag"][0], file.origin["fetched_at"][:2]) == (19, '"', "20")
    assert report.contacted == ["127.0.0.1"]
    assert told[-1] == (19, 19, 0)
    assert "hunter2" not in report.model_dump_json()


def test_by_default_nothing_of_this_network_is_fetched(server: FileServer, tmp_path: Path) -> None:
    for address in (server.address, server.address.replace("http:", "https:")):
        refused = refusal(tmp_path, Invalid, address, private=False)
        assert "HONE_FETCH_PRIVATE=true" in refused.message
        assert refused.data["contacted"] == []
    assert server.asked == []


def test_a_redirect_is_told_of_and_names_the_file(server: FileServer, tmp_path: Path) -> None:
    server.statuses, server.headers = [302], {"Location": "/other/more.csv?sig=hunter2"}
    [file] = fetched(tmp_path, server.address).files
    assert (file.filename, file.origin["came_from"]) == ("more.csv", f"http://127.0.0.1:{server.port}/other/more.csv?…")
    assert "hunter2" not in file.model_dump_json()


def test_a_redirect_into_a_cloud_s_metadata_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.statuses, server.headers = [302], {"Location": "http://169.254.169.254/latest/meta-data"}
    refused = refusal(tmp_path, Invalid, server.address)
    assert "169.254.169.254 belongs to no machine that a file could come from" in refused.message
    assert (refused.code, refused.data["contacted"]) == ("address_refused", ["127.0.0.1"])


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="my rows.csv"', "my rows.csv"),
        ("attachment; filename=../../etc/passwd", "passwd"),
        ("attachment; filename*=UTF-8''donn%C3%A9es.csv; filename=x.csv", "données.csv"),
        ("attachment; filename*=UTF-8''..%2f..%2fa%00b.csv", "ab.csv"),
        ("attachment", "rows.jsonl"),
        ('"', "rows.jsonl"),
        ("attachment; filename*=nonsense''%ff%fe.csv", None),
    ],
)
def test_a_name_that_the_server_gives_is_made_harmless(server: FileServer, tmp_path: Path, disposition: str, name: str | None) -> None:
    server.headers = {"Content-Disposition": disposition}
    [file] = fetched(tmp_path, server.address).files
    assert file.filename == name or (name is None and file.filename.endswith(".csv"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["00000"]


@given(st.one_of(st.text(), st.from_regex(r"attachment; ?filename\*?=[\w'%\-\"/\\.]{0,40}")), st.text())
def test_no_name_can_do_harm(disposition: str, path: str) -> None:
    headers = httpx.Headers([(b"Content-Disposition", disposition.encode("utf-8", "surrogatepass"))])
    name = _name_from(headers, f"https://example.com/{quote(path, errors='replace')}")
    assert name
    assert len(name) <= MAX_NAME
    assert name.isprintable()
    assert not name.startswith(".")
    assert not {"/", "\\"} & set(name)


def test_a_cut_line_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.content = os.urandom(2_000_000)
    server.cuts = [700_000, 600_000]
    told: list[tuple[int, int, int]] = []
    [file] = fetched(tmp_path, server.address, told=told).files
    assert file.path.read_bytes() == server.content
    assert file.origin["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert {total for done, total, _ in told if done} == {2_000_000}
    assert server.ranges == ["", "bytes=700000-", "bytes=1300000-"]


def test_a_file_that_changed_meanwhile_begins_anew(server: FileServer, tmp_path: Path) -> None:
    server.content, server.cuts = b"a" * 1_000_000, [400_000]
    told: list[tuple[int, int, int]] = []

    def change(*how_far: int) -> None:
        told.append((how_far[0], how_far[1], how_far[2]))
        if how_far[0] >= 400_000:
            server.content = b"b" * 300_000

    spec = FetchSpec(source=UrlSource(url=server.address), out=tmp_path / "out", max_bytes=10**9, private_allowed=True)
    [file] = fetch(spec, change).files
    assert set(file.path.read_bytes()) == {ord("b")}
    assert (file.path.stat().st_size, told[-1][0]) == (300_000, 300_000)


def test_a_server_that_marks_nothing_is_asked_for_all_of_it_again(server: FileServer, tmp_path: Path) -> None:
    server.content, server.cuts, server.has_etag = b"a" * 1_000_000, [400_000], False
    [file] = fetched(tmp_path, server.address).files
    assert (file.path.stat().st_size, server.ranges) == (1_000_000, ["", ""])


def test_a_line_that_is_always_cut_at_the_same_place_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.content, server.cuts, server.has_etag = b"a" * 1_000_000, [1000] * 50, False
    assert "broke" in refusal(tmp_path, Unavailable, server.address).message
    assert len(server.asked) == 4


def test_a_server_that_is_busy_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetched(tmp_path, server.address).files[0].origin["bytes"] == 19
    server.statuses = [503] * 9
    (tmp_path / "again").mkdir()
    assert "answered 503" in refusal(tmp_path / "again", Unavailable, server.address).message


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [(404, NotFound, "nothing at this address"), (403, Forbidden, "not give this file to everybody"), (418, Unavailable, "answered 418")],
)
def test_an_answer_without_a_file_is_put_into_words(
    server: FileServer, tmp_path: Path, status: int, kind: type[StudioError], says: str
) -> None:
    server.statuses = [status]
    refused = refusal(tmp_path, kind, server.address)
    assert says in refused.message
    assert len(server.asked) == 1


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    assert "could not be connected to" in refusal(tmp_path, Unavailable, "http://127.0.0.1:9/x").message


def test_a_file_that_says_it_is_too_large_is_not_begun(server: FileServer, tmp_path: Path) -> None:
    server.content = b"x" * 5000
    assert "more than the 5.0 kB" in refusal(tmp_path, TooLarge, server.address, max_bytes=4999).message
    (tmp_path / "again").mkdir()
    assert fetched(tmp_path / "again", server.address, max_bytes=5000).files


def test_a_file_without_an_end_is_stopped_at_the_bound(server: FileServer, tmp_path: Path) -> None:
    server.is_endless = True
    refusal(tmp_path, TooLarge, server.address, max_bytes=3_000_000)


def test_a_packed_answer_is_unpacked(server: FileServer, tmp_path: Path) -> None:
    rows = b'{"text": "Hello."}\n' * 10_000
    for place, (name, packed) in enumerate({"gzip": gzip.compress(rows), "deflate": zlib.compress(rows)}.items()):
        (tmp_path / str(place)).mkdir()
        server.content, server.headers, server.cuts = packed, {"Content-Encoding": name}, [100]
        [file] = fetched(tmp_path / str(place), server.address).files
        assert file.path.read_bytes() == rows
        assert file.origin["sha256"] == hashlib.sha256(rows).hexdigest()


def test_a_packed_bomb_is_stopped_at_the_bound(server: FileServer, tmp_path: Path) -> None:
    server.content, server.headers = gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}
    most: list[tuple[int, int, int]] = []
    refusal(tmp_path, TooLarge, server.address, max_bytes=10_000_000, told=most)
    assert max(done for done, _, _ in most) <= 10_000_000


def test_what_is_packed_well_comes_in_small_pieces_all_the_same(server: FileServer, tmp_path: Path) -> None:
    server.content, server.headers = gzip.compress(bytes(5_000_000)), {"Content-Encoding": "gzip"}
    told: list[tuple[int, int, int]] = []
    fetched(tmp_path, server.address, told=told)
    assert max(after[0] - before[0] for before, after in pairwise(told)) <= receiving.PIECE_BYTES


@pytest.mark.parametrize(
    ("encoding", "content", "says"),
    [
        ("br", b"x", "a way that was not asked for (br)"),
        ("zstd", b"x", "not asked for (zstd)"),
        ("gzip, gzip", b"x", "not asked for (gzip, gzip)"),
        ("gzip", b"plain text", "says it is packed, and is not"),
        ("gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9], "ends early"),
    ],
)
def test_other_packings_and_damaged_ones_are_refused(server: FileServer, tmp_path: Path, encoding: str, content: bytes, says: str) -> None:
    server.content, server.headers = content, {"Content-Encoding": encoding}
    assert says in refusal(tmp_path, Invalid, server.address).message


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Sign in", b"\xef\xbb\xbf\n <html lang=en>", b"<HTML>"])
def test_a_web_page_is_no_file(server: FileServer, tmp_path: Path, page: bytes) -> None:
    server.content = page
    refused = refusal(tmp_path, Invalid, server.address)
    assert (refused.code, "behind its download button" in refused.message) == ("web_page", True)


def test_a_server_that_dribbles_is_given_up(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(receiving, "SLOWEST_BYTES", 10**12)
    assert refusal(tmp_path, Unavailable, server.address).code == "too_slow"
    monkeypatch.setattr(receiving, "LONGEST_SECONDS", 0.0)
    assert "longer than 0 hours" in refusal(tmp_path, Unavailable, server.address).message


def test_no_log_has_the_query_of_an_address(server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fetched(tmp_path, server.address + "?token=hunter2")
    assert "hunter2" not in caplog.text


CHILD = """
import json, sys
from workers.curation.child import Leave, bound_memory, leave_on_sigterm
from workers.curation.fetching import FetchSpec, fetch
leave_on_sigterm()
bound_memory()

def tell(*how_far):
    # A whole line in one piece: a signal is also taken between the parts of a print, and "left" would stand behind half a line.
    sys.stdout.write(" ".join(map(str, how_far)) + chr(10))
    sys.stdout.flush()

try:
    fetch(FetchSpec.model_validate_json(sys.argv[1]), tell)
except Leave:
    print("left", flush=True)
"""


def test_sigterm_ends_a_fetch_at_once_and_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    server.is_endless = True
    spec = {"source": {"kind": "url", "url": server.address}, "out": str(tmp_path / "out"), "max_bytes": 10**15, "private_allowed": True}
    with subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(spec)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = iter(child.stdout)
        while int(next(lines).split()[0]) < 1_000_000:
            assert (tmp_path / "out").exists()
        child.send_signal(signal.SIGTERM)
        *_, last = lines
        assert (last, child.wait(30)) == ("left\n", 0)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_file(server: FileServer, tmp_path: Path) -> None:
    def peak(size: int, name: str) -> int:
        server.content = bytes(size)
        code = f"{CHILD}\nimport resource; print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        spec = {"source": {"kind": "url", "url": server.address}, "out": str(tmp_path / name), "max_bytes": 10**15, "private_allowed": True}
        told = subprocess.run([sys.executable, "-c", code, json.dumps(spec)], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(told.stdout.splitlines()[-1].split()[1])

    small, large = peak(1_000_000, "small"), peak(200_000_000, "large")
    assert large < small + 30_000  # KiB


def test_two_fetches_do_not_share_a_folder(server: FileServer, tmp_path: Path) -> None:
    fetched(tmp_path, server.address)
    with pytest.raises(FileExistsError):
        fetched(tmp_path, server.address)
    assert (tmp_path / "out" / "00000").exists()
