from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile

import pytest

from app.domain.errors import Invalid, UnsupportedType
from app.domain.uploads import check_first_bytes, encoding_by_zeros

ROW = '{"messages": [{"role": "user", "content": "Wie heißt du?"}, {"role": "assistant", "content": "Hone"}]}\n'


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, ROW)
    return buffer.getvalue()


@pytest.mark.parametrize("head", [b"", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xff\xfe", "\ufeff \n".encode("utf-16-le")])
def test_a_file_without_content_is_called_empty(head: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        check_first_bytes(head, "rows.jsonl")
    assert (refusal.value.status, refusal.value.code) == (422, "empty_file")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "JPEG"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP"),
        (b"BM\x8a\0\0\0\0\0\0\0\x8a\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"\0\0\0\x20ftypheic", "HEIC"),
        (zipped("word/document.xml"), "Word"),
        (zipped("archive/data.pkl"), "PyTorch"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Microsoft Office"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7-Zip"),
        (b"Rar!\x1a\x07\x01\0", "RAR"),
        (b"rows.jsonl" + b"\0" * 247 + b"ustar\x0000", "tar"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"\x7fELF\x02\x01\x01\0", "program"),
        (b"MZ\x90\0\x03\0\0\0", "program"),
        (b"SQLite format 3\0", "SQLite"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'\x50\0\0\0\0\0\0\0{"weight":', "safetensors"),
        (b"\x01\x02\0\x03" * 50, "binary"),
        (b"\x01\x02\x03\x04text" * 50, "binary"),
        *[(pickle.dumps([{"a": 1}], protocol), "pickle") for protocol in range(2, 6)],
    ],
)
def test_what_holds_no_text_is_refused_by_what_it_is(head: bytes, what: str) -> None:
    with pytest.raises(UnsupportedType, match=what) as refusal:
        check_first_bytes(head, "rows.jsonl")
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (415, "unsupported_type", "file")
    assert refusal.value.message.startswith("rows.jsonl is a")


@pytest.mark.parametrize(
    "text",
    [
        ROW,
        json.dumps([{"instruction": "Say hi", "output": "hi"}]),
        "BMI,age\n22,30\n",
        "MZ,label\nx,y\n",
        "PKW;Marke\nja;VW\n",
        "GIF,text\nfunny,cat\n",
        "BZh9,label\nx,y\n",
        "\n\n" + ROW,
        "text,label\n\x1b[31mred\x1b[0m,color\n",
        "今日は,挨拶 or greeting\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_text_passes_in_any_unicode_encoding(text: str, encoding: str) -> None:
    check_first_bytes(text.encode(encoding), "rows.csv")


@pytest.mark.parametrize(
    "head",
    [
        zipped("rows.jsonl"),
        zipped("xl/workbook.xml"),
        gzip.compress(ROW.encode(), mtime=0),
        b"\x28\xb5\x2f\xfd\x24\0",
        b"BZh91AY&SY",
        b"\xfd7zXZ\0\0\x04",
        b"\x04\x22\x4d\x18\x64\x40",
        b"PAR1\x15\x04",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff\xa8\0\0\0\x10\0\0\0",
    ],
)
def test_what_can_be_unpacked_or_read_otherwise_passes(head: bytes) -> None:
    check_first_bytes(head, "rows")


def test_a_binary_file_is_told_with_the_place_that_shows_it() -> None:
    with pytest.raises(UnsupportedType, match=r"byte 4 is 0x00"):
        check_first_bytes(b"123\0", "a.json")


def test_latin_1_passes() -> None:
    check_first_bytes("Straße,Öl\n£5,né\n".encode("latin-1"), "rows.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_zero_bytes_tell_the_encoding_also_when_the_head_ends_inside_a_character(encoding: str) -> None:
    head = (ROW * 20).encode(encoding)
    assert {encoding_by_zeros(head[: len(head) - cut]) for cut in range(4)} == {encoding}


def test_a_strange_file_name_does_no_harm() -> None:
    with pytest.raises(UnsupportedType) as refusal:
        check_first_bytes(b"\x89PNG\r\n", "\ud800" * 300)
    assert len(refusal.value.message.encode()) < 400
