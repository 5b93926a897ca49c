from __future__ import annotations

from pathlib import Path

import pytest

from workers.curation.json_text import JsonReader, NotJson


def test_a_value_may_stand_among_white_space_and_nothing_else() -> None:
    reader = JsonReader()
    with pytest.raises(NotJson, match="delimiter"):
        reader.read_line(b"[1 2]")
    assert reader.read_line(b' {"a": [1, 2.5, null, true]} ') == ({"a": [1, 2.5, None, True]}, None, None)


@pytest.mark.material
def test_every_file_of_the_json_test_suite_is_judged_right(material: Path) -> None:
    reader, wrong = JsonReader(), []
    files = sorted((material / "dirty" / "JSONTestSuite").glob("*.json"))
    for file in files:
        try:
            _, flaw, _ = reader.read_line(file.read_bytes())
            accepted = flaw is None or file.name.startswith("y_")
        except NotJson:
            accepted = False
        if file.name[0] != "i" and accepted != file.name.startswith("y_"):
            wrong.append(file.name)
    assert len(files) > 300
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud83d"}', "surrogate"),
        (b'{"\\uDE00": 1}', "surrogate"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"9" * 5000, "digits"),
    ],
)
def test_what_syntax_allows_and_a_row_must_not_hold_is_found(line: bytes, flaw: str) -> None:
    found = JsonReader().read_line(line)[1]
    assert found is not None
    assert flaw in found


def test_of_a_key_that_stands_twice_the_last_counts_and_it_is_told() -> None:
    assert JsonReader().read_line(b'{"b": 0, "a": {"c": 1, "c": 2}}') == ({"b": 0, "a": {"c": 2}}, None, "c")
    reader = JsonReader()
    reader.read_line(b'{"a": 1, "a": 2}')
    assert reader.read_line(b'{"a": 1}')[2] is None


@pytest.mark.parametrize("line", [b"[" * 64 + b"]" * 64, b'["[[[[' + b"[" * 80 + b'"]', '"\\ud83d\\ude00 😀"'.encode(), b'"\\\\u0000"'])
def test_what_only_looks_like_a_flaw_passes(line: bytes) -> None:
    assert JsonReader().read_line(line)[1] is None


@pytest.mark.parametrize("line", [b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000, b"{'a': 1}", b"[1] x", b"\xef\xbb\xbf[]"])
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(NotJson):
        JsonReader().read_line(line)
