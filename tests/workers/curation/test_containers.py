from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from app.domain.errors import Invalid
from tests.workers.curation.conftest import Importer, chat_line
from workers.curation.containers import Unpacking, UploadedFile

ROWS = "".join(chat_line(f"Question {number}") for number in range(30)).encode()
MEBIBYTE = 2**20


def framed(kind: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        buffer = pa.BufferOutputStream()
        with pa.CompressedOutputStream(buffer, kind) as stream:
            stream.write(content)
        return bytes(buffer.getvalue())

    return pack


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": framed("zstd"), ".lz4": framed("lz4")
}  # fmt: skip


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_as_what_is_in_it(imported: Importer, suffix: str) -> None:
    found = imported(PACKERS[suffix](ROWS), "rows.jsonl" + suffix)
    assert (found.report.status, found.report.format, found.report.rows) == ("ready", "chat", 30)
    assert found.files == ["rows.parquet"]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_that_breaks_off_is_told(imported: Importer, suffix: str) -> None:
    packed = PACKERS[suffix](ROWS * 40)
    found = imported(packed[: len(packed) // 2], "rows.jsonl" + suffix)
    assert (found.report.status, found.files) == ("failed", [])
    assert "is damaged: it cannot be unpacked to its end" in found.reason


def test_gzip_files_that_were_joined_are_read_as_one(imported: Importer) -> None:
    assert imported(gzip.compress(ROWS) + gzip.compress(chat_line("more").encode()), "a.gz").report.rows == 31


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_unpacks_to_far_more_than_it_was_is_stopped_on_the_way(tmp_path: Path, suffix: str) -> None:
    bomb, scratch = tmp_path / "bomb", tmp_path / "scratch"
    bomb.write_bytes(PACKERS[suffix](b"\n" * 64 * MEBIBYTE))
    with pytest.raises(Invalid, match="more than 100 times its size") as found:
        list(Unpacking(scratch, 10**12).parts(UploadedFile(bomb, "rows.jsonl" + suffix)))
    assert found.value.code == "bomb"
    assert not scratch.exists()


def test_nothing_unpacks_to_more_than_the_limit(imported: Importer) -> None:
    found = imported(gzip.compress(ROWS), "rows.gz", max_bytes=1_000)
    assert (found.report.status, found.files) == ("failed", [])
    assert "more than 1,000 bytes" in found.reason


def test_a_zip_bomb_of_many_members_is_stopped_by_their_sum(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(zipped({f"{number}.jsonl": b"\n" * MEBIBYTE for number in range(64)}))
    with pytest.raises(Invalid, match="more than 100 times"):
        list(Unpacking(tmp_path / "scratch", 10**12).parts(UploadedFile(bomb, "a.zip")))


def test_files_of_an_archive_are_read_each_by_its_own_shape(imported: Importer) -> None:
    alpaca = json.dumps({"instruction": "Hi?", "output": "Hello."}).encode()
    found = imported(zipped({"a/one.jsonl": ROWS + b"{]\n", "two.json": b"[" + alpaca + b"]"}), "all.zip")
    assert (found.report.rows, found.report.problem_count) == (31, 1)
    assert found.problems[0][1].endswith("(in a/one.jsonl)")
    assert found.report.notes == ["a/one.jsonl: 30 rows were read, 1 set aside.", "two.json: 1 row was read."]


def test_what_comes_with_the_rows_of_an_archive_is_left_out_and_told(imported: Importer) -> None:
    members = {"rows.jsonl": ROWS, "README.md": b"# About", "LICENSE": b"Free", "__MACOSX/._rows.jsonl": b"\0", ".DS_Store": b"\0"}
    found = imported(zipped(members), "all.zip")
    assert found.report.rows == 30
    assert found.report.notes == ["all.zip also holds files that are no rows, and were not read: README.md, LICENSE."]


def test_sides_of_an_archive_are_told_by_its_names(imported: Importer) -> None:
    found = imported(zipped({"data/train.jsonl": ROWS, "data/test.jsonl": chat_line("t").encode()}), "all.zip")
    assert (found.report.train_rows, found.report.test_rows) == (30, 1)


@pytest.mark.parametrize("name", ["../../out/rows.parquet", "/tmp/x.jsonl", "C:\\x.jsonl", "a/../../b.jsonl", "n" * 300 + ".jsonl"])
def test_names_inside_an_archive_are_never_paths(tmp_path: Path, imported: Importer, name: str) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    found = imported(zipped({name: ROWS}), "all.zip")
    assert found.report.rows == 30
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} - {path.name for path in before} == {"upload-0", "rows.parquet"}


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("rows.jsonl")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def locked() -> bytes:
    content = bytearray(zipped({"rows.jsonl": ROWS}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (linked(), "holds a link"),
        (locked(), "locked with a password"),
        (zipped({"inner.zip": zipped({"rows.jsonl": ROWS})}), "packed twice"),
        (zipped({"rows.jsonl.gz": gzip.compress(ROWS)}), "packed twice"),
        (zipped({}), "without files"),
        (zipped({"word/document.xml": b"<x/>"}), "is a Word document"),
        (zipped({f"{number}": b"" for number in range(1_001)}), "1,001 files"),
        (zipped({"rows.jsonl": ROWS})[:200], "is damaged"),
    ],
)
def test_archives_nobody_should_open_are_refused_in_words(imported: Importer, content: bytes, why: str) -> None:
    found = imported(content, "all.zip")
    assert (found.report.status, found.files) == ("failed", [])
    assert why in found.reason


def test_a_packed_archive_is_refused_in_words(imported: Importer) -> None:
    assert "packed twice" in imported(gzip.compress(zipped({"rows.jsonl": ROWS})), "rows.jsonl.gz").reason
    tar = gzip.compress(b"rows.jsonl" + b"\0" * 247 + b"ustar\x0000" + b"\0" * 300)
    assert "is a tar archive" in imported(tar, "rows.tar.gz").reason


def test_one_file_that_cannot_be_read_does_not_spoil_the_others(imported: Importer) -> None:
    found = imported(zipped({"rows.jsonl": ROWS, "other.json": b"\x89PNG\r\n\x1a\n\0"}), "all.zip")
    assert (found.report.rows, found.report.problem_count) == (30, 1)
    assert "other.json is a PNG picture" in found.problems[0][1]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("b.zip", zipped({"rows.jsonl": ROWS})[:200], "is damaged"),
        ("b.zip", locked(), "locked with a password"),
        ("b.zip", zipped({"word/document.xml": b"<x/>"}), "is a Word document"),
        ("b.jsonl.gz", gzip.compress(ROWS)[:-20], "is damaged"),
    ],
)
def test_one_upload_that_cannot_be_unpacked_does_not_spoil_the_others(imported: Importer, name: str, content: bytes, why: str) -> None:
    found = imported({"a.jsonl": ROWS, name: content, "c.jsonl.gz": gzip.compress(chat_line("c").encode())})
    assert (found.report.status, found.report.rows, found.files) == ("ready", 31, ["rows.parquet"])
    assert [(each.file, each.line, each.code) for each in found.report.problems] == [(1, 1, "broken")]
    assert why in found.report.problems[0].reason
    assert f"{name}: 0 rows were read, 1 set aside." in found.report.notes


def test_an_archive_inside_an_archive_does_not_spoil_the_others(imported: Importer) -> None:
    found = imported({"a.jsonl": ROWS, "b.zip": zipped({"inner.zip": zipped({"rows.jsonl": ROWS}), "rows.jsonl.zip": zipped({})})})
    assert (found.report.status, found.report.rows, found.report.problem_count) == ("ready", 30, 2)
    assert "packed twice" in found.report.problems[0].reason
    assert "inner.zip: 0 rows were read, 1 set aside." in found.report.notes


def with_a_damaged_member() -> bytes:
    """Return an archive of three files, of which the second is damaged."""
    packed = bytearray(zipped({"one.jsonl": ROWS, "two.jsonl": chat_line("two").encode(), "three.jsonl": chat_line("three").encode()}))
    packed[packed.rindex(b"two.jsonl", 0, packed.index(b"PK\x01\x02")) + 12] ^= 0xFF
    return bytes(packed)


@pytest.mark.parametrize(("others", "rows"), [({}, 31), ({"a.jsonl": chat_line("a")}, 32)])
def test_a_damaged_file_of_an_archive_is_named_and_the_others_are_read(imported: Importer, others: dict[str, bytes], rows: int) -> None:
    found = imported({**others, "b.zip": with_a_damaged_member()})
    assert (found.report.status, found.report.rows, found.report.problem_count) == ("ready", rows, 1)
    assert "two.jsonl in b.zip is damaged" in found.report.problems[0].reason
    assert found.report.notes[-3:] == [
        "one.jsonl: 30 rows were read.", "two.jsonl: 0 rows were read, 1 set aside.", "three.jsonl: 1 row was read."
    ]  # fmt: skip


def test_a_bomb_among_the_files_of_an_archive_ends_the_import(imported: Importer) -> None:
    found = imported(zipped({"one.jsonl": ROWS, "two.jsonl": b"\n" * 64 * MEBIBYTE}), "all.zip")
    assert (found.report.status, found.files) == ("failed", [])
    assert "more than 100 times its size" in found.reason


def test_a_bomb_among_other_uploads_ends_the_import(imported: Importer) -> None:
    found = imported({"a.jsonl": ROWS, "b.jsonl.gz": gzip.compress(b"\n" * 64 * MEBIBYTE)})
    assert (found.report.status, found.files) == ("failed", [])
    assert "more than 100 times its size" in found.reason


def test_several_uploads_of_which_none_can_be_unpacked_are_no_rows(imported: Importer) -> None:
    damaged = zipped({"rows.jsonl": ROWS})[:200]
    found = imported({"a.zip": damaged, "b.zip": damaged})
    assert (found.report.status, found.report.problem_count) == ("failed", 2)
    why = "a.zip is damaged: it cannot be unpacked to its end. Pack or download it again."
    assert found.reason == f"No row can be used; the file cannot be read: {why}"
