from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.errors import UnsupportedType
from workers.curation.dialects import Dialect, find_dialect
from workers.curation.encodings import guess_encoding
from workers.curation.sniff import FileKind, sniff
from workers.curation.source import Source, physical_lines

ROW = {"messages": [{"role": "user", "content": "Wie heißt du?"}]}
LINE = json.dumps(ROW, ensure_ascii=False)


def kind_of(tmp_path: Path, content: str | bytes, name: str = "upload.txt") -> FileKind:
    path = tmp_path / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return sniff(path, name).kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (f"{LINE}\n{LINE}\n", FileKind.JSONL),
        (f"\ufeff{LINE}\r\n{LINE}", FileKind.JSONL),
        (f"{LINE[:-5]}\n{LINE}\n", FileKind.JSONL),
        ("{'a': 1}\n{'a': 2}\n", FileKind.JSONL),
        (f"junk\n{LINE}\n{LINE}\n", FileKind.JSONL),
        ('["a", "b"]\n["c", "d"]\n', FileKind.JSONL),
        ('{"a": "' + "x" * 600_000 + f'"}}\n{LINE}\n', FileKind.JSONL),
        (LINE, FileKind.JSON),
        (f"[{LINE}]", FileKind.JSON),
        (f"[\n{LINE},\n{LINE}\n]", FileKind.JSON),
        (json.dumps([ROW, ROW], indent=2), FileKind.JSON),
        (json.dumps({"data": [ROW, ROW]}, indent=2), FileKind.JSON),
        (json.dumps({"data": [["a", "b"]] * 3}), FileKind.JSON),
        ('{"a": "' + "x" * 600_000 + '"}', FileKind.JSON),
        ("a,b\n1,2\n", FileKind.TABLE),
        ("a\tb\r1\t2\r", FileKind.TABLE),
        ("One morning.\nThe cat, who slept, woke.\n", FileKind.TEXT),
    ],
)
def test_content_tells_the_kind_of_file(tmp_path: Path, content: str, kind: FileKind) -> None:
    assert kind_of(tmp_path, content) is kind


@pytest.mark.parametrize(
    ("name", "kind"), [("a.csv", FileKind.TABLE), ("a.TSV", FileKind.TABLE), ("a.jsonl", FileKind.JSONL), ("a.json", FileKind.JSON)]
)
def test_the_name_decides_where_content_says_nothing(tmp_path: Path, name: str, kind: FileKind) -> None:
    assert kind_of(tmp_path, "question\nWhat is it?\n", name) is kind


def test_a_table_stays_a_table_whatever_its_name(tmp_path: Path) -> None:
    assert kind_of(tmp_path, "a;b\n1;2\n3;4\n", "rows.jsonl") is FileKind.TABLE


def test_a_picture_stays_a_picture_whatever_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedType):
        kind_of(tmp_path, b"\x89PNG\r\n\x1a\n\0\0", "rows.jsonl")


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("text\tlabel\nHello, you, there\tx\nNo commas\ty\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('a,b\n"one; two; three","x\ny"\n', ","),
        ("a,b\n", ","),
        ("question\nOne, two\nThree\n", None),
        ("", None),
    ],
)
def test_the_delimiter_is_the_one_that_gives_steady_columns(head: str, delimiter: str | None) -> None:
    found = find_dialect(head)
    assert (found.delimiter if found else None) == delimiter


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        ("'a','b, c'\n'd','e'\n'f','g'\n", Dialect(quote="'")),
        ('"a","b"\n"say \\"hi, you\\"","x"\n"or \\"so\\"","y"\n', Dialect(backslash=True)),
        ('"a","b"\n"say ""hi, you""","x"\n"or ""so""","y"\n', Dialect()),
        ("a,b\n'tis,1\n'twas,2\n", Dialect()),
        ("1,free now\n2,see you\n3,win big\n", Dialect(has_header=False)),
        ("ham,see you\nspam,win big\nham,at nine\nham,later\nspam,free now\n", Dialect(has_header=False)),
        ("label,text\nham,see you\nspam,win big\nham,at nine\nham,later\n", Dialect()),
        ("x,y\nham,see you\nspam,win big\nham,at nine\nham,later\n", Dialect()),
        ("id,2019,2020\na,1,2\nb,3,4\nc,5,6\n", Dialect()),
        ("0,1\n5,free\n6,see you\n7,win\n", Dialect()),
        ("k;v\n1;2\n", Dialect(";")),
    ],
)  # fmt: skip - a table a line
def test_quotes_and_headers_are_seen(head: str, dialect: Dialect) -> None:
    assert find_dialect(head) == dialect


@pytest.mark.parametrize("name", ["story.txt", "story.md", "story"])
def test_prose_is_no_table_although_many_lines_have_a_comma(tmp_path: Path, name: str) -> None:
    prose = "One day, the cat woke.\nShe ran, she fell.\nThen she slept.\nAt noon, it rained.\nThe dog, too, was wet.\n"
    assert kind_of(tmp_path, prose, name) in {FileKind.TEXT, FileKind.MARKDOWN}


@pytest.mark.parametrize(("name", "what"), [("a.yaml", "YAML"), ("A.PY", "Python code"), ("t.jinja", "a template")])
def test_what_is_written_for_programs_is_refused_by_its_name_and_says_how_to_learn_it(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(UnsupportedType, match=f"is {what}, .* name it .txt"):
        kind_of(tmp_path, "x: one\ny: two\n", name)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Où est la bibliothèque? Ça va très bien\n" * 3, "cp1252"),
        ("Schöne Grüße aus München\n", "cp1252"),
        ("“smart” – €5\n", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy\n" * 3, "cp1250"),
        ("Привет, как дела? Это простой пример текста.\n" * 4, "cp1251"),
        ("これは日本語のテキストです。質問に答えてください。\n" * 4, "cp932"),
        ("这是一个中文的例子,请回答问题。\n" * 4, "gb18030"),
    ],
)
def test_older_encodings_are_guessed_so_that_the_text_comes_out_right(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(("a,b\n" + text).encode(encoding))
    found = sniff(path, "a.csv").encoding
    assert b"".join(Source(path, found or "").blocks()).decode() == "a,b\n" + text


def test_a_few_broken_bytes_do_not_turn_utf_8_into_something_else(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(("Grüße,1\n" * 10).encode() + b"Gr\xfc\xdfe,1\n")
    assert sniff(path, "a.csv").encoding == "utf-8"


@pytest.mark.parametrize("character", ["é", "字", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_a_line_of_many_special_characters_is_utf_8_wherever_it_is_cut(tmp_path: Path, character: str, shift: int) -> None:
    path = tmp_path / "upload"
    path.write_text("a" * shift + character * 600_000)
    assert guess_encoding(path) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_unicode_encodings_come_out_as_utf_8(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(f"{LINE}\n{LINE}\n".encode(encoding))
    found = sniff(path, "a.jsonl")
    assert b"".join(Source(path, found.encoding or "").blocks()).decode() == f"{LINE}\n{LINE}\n"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\rc", [b"a", b"b", b"c"]),
        (b"\n\na\n", [b"", b"", b"a"]),
        (b"", []),
        (b"a\r\n\r\nb", [b"a", b"", b"b"]),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_lines_end_as_they_end_anywhere(content: bytes, lines: list[bytes], block: int) -> None:
    if b"\r" in content and b"\n" not in content and block < 3:
        block = 100  # whether carriage returns end lines shows in the first block
    found = list(physical_lines(content[start : start + block] for start in range(0, len(content), block)))
    assert [line.content for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
