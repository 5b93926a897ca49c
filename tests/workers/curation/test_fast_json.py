"""Rows read many at a time are the rows that come of reading them one by one: what is in doubt goes that way."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.datasets import Split, row_hash, side_by_hash
from app.domain.examples import SetAside
from tests.workers.curation.conftest import Importer
from workers.curation import fast_json, plain_rows
from workers.curation.fast_json import Lines, Understood, fast_rows
from workers.curation.json_rows import jsonl_rows
from workers.curation.rows import Aside
from workers.curation.shapes import UnknownShape, to_example
from workers.curation.source import Line, Source, physical_lines

Row = tuple[int, str, Any]
SPEECH = "a b", "é", "“so”", '"', "\\", "\n", "\r\n", "\t", "\b", "/", "\x7f", "\u2028", "你好", "👍", "{", '"}, {"', "\\n", "\\u0041", " "


def slowly(lines: Iterator[Line]) -> Iterator[Row]:
    for row in jsonl_rows(lines):
        if isinstance(row, Aside):
            yield row.line, "aside", row.reason
            continue
        try:
            shape, example = to_example(row.cells)
        except SetAside as why:
            yield row.line, "aside", str(why)
        except UnknownShape:
            yield row.line, "unknown", sorted(row.cells)
        else:
            sha256 = row_hash(example.turns, rejected=example.rejected, label=example.label, tools=example.tools)
            yield row.line, shape, ([(turn.role, turn.content) for turn in example.turns], sha256, side_by_hash(sha256))


def quickly(piece: Understood) -> Iterator[Row]:
    rows = piece.rows
    for line, turns, sha256, held_out in zip(*(column.to_pylist() for column in rows), strict=True):
        said = [(turn["role"], turn["content"]) for turn in turns]
        yield line, piece.shape, (said, sha256, Split.TEST if held_out else Split.TRAIN)


def both_ways(content: bytes, piece_bytes: int = 600) -> tuple[list[Row], list[Row], int]:
    """Return the rows by either way, and how many were understood at once."""
    pieces = [content[at : at + piece_bytes] for at in range(0, len(content), piece_bytes)]
    found: list[Row] = []
    at_once = 0
    for piece in fast_rows(iter(pieces), len(content)):
        if isinstance(piece, Lines):
            found += slowly(piece.numbered())
        else:
            rows = [*quickly(piece)]
            found, at_once = found + rows, at_once + len(rows)
    return found, [*slowly(physical_lines(iter(pieces)))], at_once


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def sharegpt(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": content} for role, content in turns]}


def as_lines(*rows: Any, **style: Any) -> bytes:
    return "".join(json.dumps(row, **{"ensure_ascii": False} | style) + "\n" for row in rows).encode()


PLAIN = chat(("user", "Hi?"), ("assistant", "Hello."))


@pytest.fixture(autouse=True)
def _no_file_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_json, "SMALLEST_BYTES", 0)


@pytest.mark.parametrize(
    "rows",
    [
        [chat(("system", "Be short."), ("user", "Hi?"), ("assistant", "Hé“llo”.")), PLAIN],
        [chat(("user", "1"), ("assistant", "2"), ("user", "3\n4"), ("assistant", '"5" \\ /'))],
        [sharegpt(("human", "Hi?"), ("gpt", "你好")), sharegpt(("system", "S"), ("human", "a"), ("gpt", "b"))],
        [{"instruction": "Add.", "input": "1 2", "output": "3"}, {"instruction": "Sing.", "input": "", "output": "La\tla."}],
        [{"output": "3", "instruction": "Add.", "input": " \n"}],
        [{"instruction": "Add.", "output": "3"}],
        [{"prompt": "Add.", "completion": "3"}, {"prompt": "a\\", "completion": "\\"}],
        [{"prompt": "Add.", "response": "3"}],
    ],
)
@pytest.mark.parametrize("style", [{}, {"separators": (",", ":")}, {"ensure_ascii": True}])
def test_rows_of_well_known_shapes_are_understood_at_once(rows: list[dict[str, Any]], style: dict[str, Any]) -> None:
    fast, slow, at_once = both_ways(as_lines(*rows * 20, **style))
    assert fast == slow
    assert at_once == len(rows) * 20


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"   ",
        b"{}",
        b"not JSON",
        as_lines({"messages": []})[:-1],
        as_lines(PLAIN | {"id": 7})[:-1],
        as_lines(chat(("user", "Hi?")))[:-1],
        as_lines(chat(("assistant", "Hi!")))[:-1],
        as_lines(chat(("user", "Hi?"), ("assistant", "")))[:-1],
        as_lines(chat(("user", "\u3000\u2003"), ("assistant", "x")))[:-1],
        as_lines(chat(("user", "Hi?"), ("assistant", " \n\t")))[:-1],
        as_lines(chat(("user", "Hi?"), ("system", "S"), ("assistant", "x")))[:-1],
        as_lines(chat(("system", " "), ("user", "Hi?"), ("assistant", "x")))[:-1],
        as_lines(chat(("system", "A"), ("system", "B"), ("user", "Hi?"), ("assistant", "x")))[:-1],
        as_lines(chat(("User", "Hi?"), ("assistant", "x")))[:-1],
        as_lines(chat(("developer", "D"), ("user", "Hi?"), ("assistant", "x")))[:-1],
        as_lines(chat(("function", "D"), ("user", "Hi?"), ("assistant", "x")))[:-1],
        as_lines({"messages": [{"content": "Hi?", "role": "user"}, {"role": "assistant", "content": "x"}]})[:-1],
        as_lines({"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": None}]})[:-1],
        as_lines({"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "x", "weight": 0}]})[:-1],
        as_lines({"messages": [{"role": "user", "content": "Hi?", "content2": "a"}, {"role": "assistant", "content": "x"}]})[:-1],
        as_lines(PLAIN)[:-1] + b"  ",
        as_lines(PLAIN)[:-1] + b"\r",
        as_lines(PLAIN)[:-1] + as_lines(PLAIN)[:-1],
        as_lines(PLAIN)[:-2],
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"Hel\nlo."),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"Hel\0lo."),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"Hel\rlo."),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\u0000"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\ud83d"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\ud83d\\udc4d \\/ \\u00e9 \\u001f \\\\u0000"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\q"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\u12g4"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\\\"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\\\\\\"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\xff\xfe"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\xed\xa0\x80"),
        as_lines(PLAIN)[:-1].replace(b"Hello.", b"\xc3"),
        as_lines(PLAIN)[:-1].replace(b'"messages"', b'"messages": [], "messages"'),
        as_lines(PLAIN)[:-1].replace(b'"user"', b'"\\u0075ser"'),
        as_lines(PLAIN)[:-1].replace(b'": ', b'":'),
        b"\xef\xbb\xbf" + as_lines(PLAIN)[:-1],
    ],
)
def test_a_row_that_one_has_to_think_about_is_read_by_itself(odd: bytes) -> None:
    plain = as_lines(*[PLAIN] * 40)
    fast, slow, at_once = both_ways(plain + odd + b"\n" + plain + odd)
    assert fast == slow
    assert at_once >= 40


def test_around_a_few_odd_rows_the_others_are_still_understood_at_once() -> None:
    plain, odd = as_lines(*[PLAIN] * 50), as_lines(chat(("user", "Hi?"), ("assistant", "")))
    fast, slow, at_once = both_ways(odd + plain + odd + odd + plain + odd, 100_000)
    assert fast == slow
    assert at_once == 100
    assert [line for line, kind, _ in fast if kind == "aside"] == [1, 52, 53, 104]


def test_where_odd_rows_stand_in_many_places_all_are_read_one_by_one() -> None:
    rows = [PLAIN, PLAIN, chat(("user", "Hi?"), ("assistant", ""))] * 40
    fast, slow, at_once = both_ways(as_lines(*rows), 100_000)
    assert fast == slow
    assert at_once == 0


def test_a_mark_of_the_byte_order_hinders_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + as_lines(PLAIN) * 50)
    assert fast_json.begins_plainly(tmp_path / "rows.jsonl")
    blocks = Source(tmp_path / "rows.jsonl", "utf-8").blocks()
    assert [type(found) for found in fast_rows(blocks, fast_json.SMALLEST_BYTES)] == [Understood]


@pytest.mark.parametrize(
    "fault", [EOFError("Ran out of input"), OSError(28, "No space left on device"), ImportError("numba"), MemoryError()]
)
def test_without_the_compiled_code_rows_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def broken(*_: object) -> None:
        raise fault

    monkeypatch.setattr(plain_rows, "plain_rows", broken)
    fast, slow, at_once = both_ways(as_lines(PLAIN) * 50)
    assert (fast, at_once) == (slow, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{",
        as_lines(PLAIN)[:-1],
        as_lines(PLAIN).replace(b"\n", b"\r"),
        as_lines(PLAIN, PLAIN).replace(b"\n", b"\r\n"),
        as_lines(PLAIN) + as_lines(PLAIN).replace(b"\n", b"\r") * 3,
        as_lines(PLAIN) + b"x" * 5_000 + b"\r" + as_lines(PLAIN),
        as_lines(PLAIN) + as_lines(chat(("user", "long " * 900), ("assistant", "x"))) + as_lines(PLAIN),
        as_lines([1, 2], PLAIN),
        as_lines({"a": "b"}, PLAIN),
        as_lines({"messages": ["x"]}, PLAIN),
    ],
)
def test_files_of_other_kinds_are_read_line_by_line(content: bytes) -> None:
    fast, slow, _ = both_ways(content)
    assert fast == slow


def test_lines_that_are_too_long_are_found_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("workers.curation.fast_json", "workers.curation.source"):
        monkeypatch.setattr(f"{module}.MAX_LINE_BYTES", 400)
    content = as_lines(PLAIN, PLAIN, chat(("user", "long " * 90), ("assistant", "x")), PLAIN, PLAIN) * 3
    fast, slow, at_once = both_ways(content)
    assert fast == slow
    assert [reason for _, kind, reason in fast if kind == "aside"] != []
    assert at_once > 0


def test_what_is_space_in_any_script_is_no_answer_and_all_else_is_one() -> None:
    characters = [chr(code) for code in [*range(1, 0x3100), 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0x10000, 0x1F44D, 0x10FFFF]]
    for style in ({}, {"ensure_ascii": True}):
        rows = [chat(("user", "Hi?"), ("assistant", f" {each} ")) for each in characters]
        fast, slow, at_once = both_ways(as_lines(*rows, **style), 1_000_000)
        assert fast == slow
        assert at_once == sum(not each.isspace() for each in characters)


def test_a_process_that_can_keep_no_compiled_code_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, cache: bool = False, **__: object) -> Callable[[object], object]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("made", function)

    monkeypatch.setattr("numba.njit", refused)
    function: Any = both_ways
    assert plain_rows._compiled(function) == ("made", function)


texts = st.lists(st.sampled_from([*SPEECH, "word", "word "]), max_size=6).map("".join)
turns = st.lists(st.tuples(st.sampled_from(["user", "assistant", "assistant", "user", "system", "tool"]), texts), min_size=1, max_size=4)
good_turns = st.tuples(texts, texts).map(lambda said: [("user", said[0] + "?"), ("assistant", "!" + said[1])])
shapes: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "chat": (good_turns | good_turns | turns).map(lambda said: chat(*said)),
    "sharegpt": (good_turns | turns).map(lambda said: sharegpt(*[({"user": "human", "assistant": "gpt"}.get(r, r), c) for r, c in said])),
    "alpaca": st.fixed_dictionaries({"instruction": texts.map("Do: {}".format) | texts, "input": texts, "output": texts.map("{}.".format)}),
    "prompt": st.fixed_dictionaries({"prompt": texts.map("{}?".format), "completion": texts}),
}
styles = st.sampled_from([{}, {"separators": (",", ":")}, {"ensure_ascii": True}])


def cut(content: bytearray, chance: random.Random) -> None:
    del content[(at := chance.randrange(len(content))) : at + chance.randint(1, 40)]


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] = chance.choice(b'"\\\n\r\0 {}[],:\xff\xc3\xed\xa0ax7')


def put_in(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    odd = (b"\\", b'"', b"\\u00", b"\n", b"\r\n", b'", "', b"\xe2\x80", b'{"a": 1}\n', b"\\ud800", b"\\u0000", b'\\"', b"null", b"//")
    content[at:at] = chance.choice(odd)


def swap_rows(content: bytearray, chance: random.Random) -> None:
    rows = bytes(content).split(b"\n")
    chance.shuffle(rows)
    content[:] = b"\n".join(rows)


MUTATORS: list[Callable[[bytearray, random.Random], None]] = [cut, flip, flip, put_in, put_in, swap_rows]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.sampled_from([*shapes]).flatmap(lambda name: st.lists(shapes[name], min_size=1, max_size=12)),
    style=styles,
    times=st.integers(1, 4),
    mutations=st.integers(0, 4),
    seed=st.integers(0, 2**32),
    piece=st.sampled_from([300, 1_500]),
)
def test_either_way_gives_the_same_rows_of_any_file(
    rows: list[dict[str, Any]], style: dict[str, Any], times: int, mutations: int, seed: int, piece: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fast_json, "MAX_GAPS", 0.9)
        chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
        content = bytearray(as_lines(*rows * times, **style))
        for _ in range(mutations):
            if content:
                chance.choice(MUTATORS)(content, chance)
        fast, slow, _ = both_ways(bytes(content), piece)
        assert fast == slow


@pytest.mark.parametrize("filename", ["rows.jsonl", "train.jsonl"])
def test_an_import_tells_the_same_either_way(imported: Importer, monkeypatch: pytest.MonkeyPatch, filename: str) -> None:
    odd = [{"id": 1} | PLAIN, chat(("user", "Hi?"), ("assistant", "")), {"text": "A text."}, {"b": "?"}]
    rows = [{"prompt": f"{number}?", "completion": "é\n" * (number % 3) + "."} for number in range(12_000)]
    content = as_lines(*rows[:6_000], *odd, *rows[6_000:], rows[0])
    at_once = imported(content, filename)
    with monkeypatch.context() as careful:
        careful.setattr("workers.curation.reading.fast_rows", lambda blocks, _: iter([Lines(1, blocks)]))
        one_by_one = imported(content, filename)
    assert at_once.rows == one_by_one.rows
    assert at_once.report.model_copy(update={"sha256": None}) == one_by_one.report.model_copy(update={"sha256": None})
    assert len(at_once.rows) == 12_003


@pytest.mark.parametrize(
    ("odd", "encoding"),
    [
        (as_lines(chat(("user", "Où?"), ("assistant", "Là, à côté."))).decode().encode("cp1252") * 30, "cp1252"),
        (as_lines(chat(("user", "Où?"), ("assistant", "Là."))) * 30 + as_lines(PLAIN).replace(b"Hi", b"H\xe9"), "utf-8"),
    ],
)
@pytest.mark.parametrize("plain", [0, 1, 8_000])
def test_a_file_that_only_begins_as_utf_8_is_read_in_its_own_encoding(
    imported: Importer, monkeypatch: pytest.MonkeyPatch, odd: bytes, encoding: str, plain: int
) -> None:
    content = as_lines(PLAIN) * plain + odd + as_lines(PLAIN) * plain
    found = imported(content)
    with monkeypatch.context() as careful:
        careful.setattr("workers.curation.reading.fast_rows", lambda blocks, _: iter([Lines(1, blocks)]))
        careful.setattr("workers.curation.reading.begins_plainly", lambda _: False)
        one_by_one = imported(content)
    assert found.rows == one_by_one.rows
    assert found.report.model_copy(update={"sha256": None}) == one_by_one.report.model_copy(update={"sha256": None})
    assert found.report.encoding == encoding


def test_a_small_file_is_read_line_by_line_and_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = as_lines(PLAIN) * 50
    (tmp_path / "rows.jsonl").write_bytes(content)
    assert fast_json.begins_plainly(tmp_path / "rows.jsonl")
    monkeypatch.setattr(fast_json, "SMALLEST_BYTES", len(content) + 1)
    monkeypatch.setattr(fast_json, "_look", None)
    assert not fast_json.begins_plainly(tmp_path / "rows.jsonl")
    fast, slow, at_once = both_ways(content, len(content))
    assert (fast, at_once) == (slow, 0)


def test_a_file_that_is_utf_8_is_read_but_once(imported: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_through(_: Path) -> str:
        raise AssertionError("all of it was looked at for its encoding")

    monkeypatch.setattr("workers.curation.sniff.guess_encoding", looked_through)
    monkeypatch.setattr("workers.curation.reading.guess_encoding", looked_through)
    found = imported(as_lines(chat(("user", "Où?"), ("assistant", "Là."))) * 9_000 + as_lines({"id": 1}, PLAIN) * 3)
    assert (found.report.rows, found.report.problem_count) == (9_003, 3)


@pytest.mark.material
def test_either_way_gives_the_same_rows_of_files_people_have_published(material: Path) -> None:
    files = sorted(material.rglob("*.jsonl"))
    assert files
    for file in files:
        fast, slow, _ = both_ways(file.read_bytes(), 256 * 1024)
        assert fast == slow, file.name
