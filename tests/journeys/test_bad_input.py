"""Bad input: each case answered with its place and reason, nothing half-stored, and a web process that goes on answering."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import example_rows
from tests.waiting import files_under, until
from tools.running import RunningStudio


def picture() -> bytes:
    """A PNG of one pixel."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0\0")) + part(b"IEND", b"")


def send(studio: RunningStudio, name: str, content: bytes) -> tuple[int, dict[str, Any]]:
    with studio.rest as rest:
        answer = rest.post("/api/v1/datasets", files={"file": (name, content)}, data={"name": name})
        return answer.status_code, answer.json()


def read(studio: RunningStudio, name: str, content: bytes) -> dict[str, Any]:
    status, made = send(studio, name, content)
    assert status == 201, made
    return studio.wait_for(f"/api/v1/datasets/{made['id']}", lambda dataset: dataset["status"] != "importing", 120)


@pytest.fixture
def stored(studio: RunningStudio) -> set[Path]:
    """What lies in the store once nobody looks at earlier rows any more; some of it may still be on its way out."""
    studio.wait_for("/api/v1/datasets?limit=100", lambda found: not any(each["work"] for each in found["data"]), 60)
    return set(files_under(studio.home / "artifacts"))


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("empty.jsonl", b"", 422), ("blank.jsonl", b" \n\n", 422), ("picture.jsonl", picture(), 415),
        ("rows.7z", b"7z\xbc\xaf\x27\x1c\0\x04", 415), ("x.jsonl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix", 415),
    ],
)  # fmt: skip
def test_what_the_first_bytes_show_is_refused_at_once(
    studio: RunningStudio, stored: set[Path], name: str, content: bytes, status: int
) -> None:
    got, answer = send(studio, name, content)
    assert got == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert files_under(studio.home / "artifacts").keys() <= stored


def test_a_broken_line_is_set_aside_with_its_place(studio: RunningStudio) -> None:
    lines = [json.dumps(row) for row in example_rows(4000)]
    lines[3000] = lines[3000][:-10]
    dataset = read(studio, "broken.jsonl", "\n".join(lines).encode())
    assert (dataset["status"], dataset["rows"], dataset["problems"]["count"]) == ("ready", 3999, 1)
    problem = dataset["problems"]["first"][0]
    assert problem["line"] == 3001
    assert "JSON" in problem["reason"]


def test_a_line_of_two_hundred_megabytes_is_one_problem(studio: RunningStudio) -> None:
    good = "".join(json.dumps(row) + "\n" for row in example_rows(5)).encode()
    dataset = read(studio, "long.jsonl", good + b'{"messages": "' + b"x" * 200_000_000 + b'"}\n' + good)
    assert (dataset["status"], dataset["rows"], dataset["problems"]["count"]) == ("ready", 10, 1)
    assert dataset["problems"]["first"][0]["line"] == 6


def zipped(members: dict[str, bytes], kind: int = stat.S_IFREG) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (kind | 0o644) << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def lines(count: int) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in example_rows(count)).encode()


def rows_under(home: Path) -> set[Path]:
    return {path for path in files_under(home) if path.suffix == ".jsonl"}


def test_what_is_packed_is_read_and_names_inside_are_no_paths(studio: RunningStudio) -> None:
    before = rows_under(studio.home)
    dataset = read(studio, "all.zip", zipped({"../../../../escaped.jsonl": lines(30), "README.md": b"# About"}))
    assert (dataset["status"], dataset["rows"]) == ("ready", 30)
    assert rows_under(studio.home) <= before


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("bomb.jsonl.gz", gzip.compress(b"\n" * 100_000_000, 9), "more than 100 times its size"),
        ("bomb.zip", zipped({f"{number}.jsonl": b"\n" * 3_000_000 for number in range(30)}), "more than 100 times its size"),
        ("link.zip", zipped({"rows.jsonl": b"/etc/passwd"}, stat.S_IFLNK), "holds a link"),
        ("inner.zip", zipped({"rows.jsonl": bz2.compress(lines(3))}), "packed twice"),
        ("cut.parquet", b"PAR1" + b"\0" * 500, "damaged"),
        ("cut.gz", gzip.compress(lines(50))[:-30], "damaged"),
        ("none.xlsx", zipped({"xl/workbook.xml": b"<x>"}), "damaged"),
    ],
)
def test_what_is_packed_to_do_harm_or_damaged_is_refused_in_words(studio: RunningStudio, name: str, content: bytes, why: str) -> None:
    dataset = read(studio, name, content)
    assert dataset["status"] == "failed"
    assert why in dataset["reason"]
    until(lambda: hashlib.sha256(content).hexdigest() not in {path.name for path in files_under(studio.home / "artifacts")})
    until(lambda: not [path for path in files_under(studio.home) if path.suffix == ".unpacked"])


def test_no_cell_of_an_exported_table_is_a_formula(studio: RunningStudio) -> None:
    starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain"]
    rows = [{"prompt": f"{start} asked", "completion": f"{start} said"} for start in starts]
    dataset = read(studio, "formulas.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    with studio.rest as rest:
        exported = rest.get(f"/api/v1/datasets/{dataset['id']}/export", params={"format": "csv"}).raise_for_status().text
    cells = [cell for row in csv.reader(io.StringIO(exported.removeprefix("\ufeff"), newline="")) for cell in row]
    assert any(cell == "'=1+1 asked" for cell in cells)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_another_encoding_is_understood(studio: RunningStudio) -> None:
    text = "prompt,completion\n" + "".join(f"Größe {n}?,schön {n}\n" for n in range(30))
    dataset = read(studio, "latin.csv", text.encode("latin-1"))
    assert dataset["status"] == "ready"
    with studio.rest as rest:
        first = rest.get(f"/api/v1/datasets/{dataset['id']}/rows", params={"limit": 1}).json()["data"][0]
    assert "Größe 0?" in json.dumps(first, ensure_ascii=False)


def test_a_table_without_an_evident_answer_asks_for_its_columns(studio: RunningStudio) -> None:
    dataset = read(studio, "table.csv", b"a,b\n" + b"".join(b"q%d,r%d\n" % (n, n) for n in range(12)))
    assert (dataset["status"], dataset["columns"]) == ("needs_mapping", ["a", "b"])
    with studio.rest as rest:
        path = f"/api/v1/datasets/{dataset['id']}"
        wrong = rest.patch(path, json={"mapping": {"user": "a", "assistant": "nope"}})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, "mapping.assistant")
        assert rest.patch(path, json={"mapping": {"user": "a", "assistant": "b"}, "system": "Be brief."}).status_code == 200
        done = studio.wait_for(path, lambda d: d["status"] != "importing", 60)
        assert (done["status"], done["rows"]) == ("ready", 12)
        exported = [json.loads(line) for line in rest.get(f"{path}/export").text.splitlines()]
    assert [m["content"] for m in exported[0]["messages"]] == ["Be brief.", "q0", "r0"]


def test_a_file_without_one_usable_row_fails_with_its_report_and_is_not_kept(studio: RunningStudio, stored: set[Path]) -> None:
    dataset = read(studio, "nothing.jsonl", b'{"messages": []}\nnot json\n')
    assert dataset["status"] == "failed"
    assert dataset["reason"]
    assert dataset["problems"]["count"] == 2
    until(lambda: files_under(studio.home / "artifacts").keys() <= stored)  # files go once it is entered that they are to go


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"config.json": '{"model_type": "llama"}', "pytorch_model.bin": "x"}, "unsafe_format"),
        ({"config.json": '{"model_type": "llama", "auto_map": {"AutoModel": "m.M"}}', "model.safetensors": "x"}, "remote_code"),
        ({}, "unknown_model"),
    ],
)
def test_a_bad_base_is_refused_by_its_code(
    studio: RunningStudio, dataset_id: str, tmp_path: Path, files: dict[str, str], code: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with studio.rest as rest:
        answer = rest.post("/api/v1/runs", json={"name": "x", "base_model": str(tmp_path), "dataset_id": dataset_id})
    assert answer.status_code == 422
    assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == ("base_model", code)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"settings": {"lr": 1}}, 422, "settings.lr"), ({"settings": {"tuning": "full", "adapter": "dora"}}, 422, "settings.adapter"),
        ({"settings": {"rank": -1}}, 422, "settings.rank"), ({"surprise": 1}, 422, "surprise"),
        ({"dataset_id": "nope"}, 422, "dataset_id"), ({"base_model": "no such model"}, 422, "base_model"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_names_its_field(
    studio: RunningStudio, dataset_id: str, change: dict[str, Any], status: int, param: str
) -> None:
    with studio.rest as rest:
        answer = rest.post("/api/v1/runs", json={"name": "x", "base_model": "hone-starter", "dataset_id": dataset_id} | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_without_a_key_nothing_is_said(studio: RunningStudio) -> None:
    with studio.rest as rest:
        del rest.headers["Authorization"]
        for path in ("/api/v1/runs", "/api/v1/datasets", "/v1/models"):
            answer = rest.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert rest.get("/livez").status_code == 200
        assert rest.get("/metrics").text.startswith("# HELP hone_runs")
