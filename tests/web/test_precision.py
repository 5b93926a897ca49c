"""The precision explorer: every level with its bytes, where it fits, and what becomes of a number."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.web.precision_view import read_size
from tests.web.walk import part

NOW = part("precision_now")


def cells(text: str, level: str) -> list[str]:
    """Return the words of a level's row."""
    row = next(row for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if f"<b>{level}</b>" in row)
    return [word for word in re.sub(r"<[^>]+>", "\n", row).split("\n") if word.strip()]


@pytest.mark.parametrize("headers", [{}, NOW])
def test_a_model_of_seven_billion_takes_what_everybody_quotes(empty: TestClient, headers: dict[str, str]) -> None:
    answer = empty.get("/precision?params=7e9", headers=headers)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>") == (not headers)
    for level, size in {"FP32": "28.00 GB", "FP16": "14.00 GB", "INT8": "7.00 GB", "INT4": "3.50 GB", "1 bit": "875 MB"}.items():
        assert size in cells(answer.text, level)


def test_where_a_level_fits_is_said_in_a_word(empty: TestClient) -> None:
    text = empty.get("/precision?params=7B&context=0").text
    assert cells(text, "FP32")[-4:] == ["no", "no", "no", "fits"]
    assert cells(text, "FP16")[-4:] == ["no", "tight", "fits", "fits"]
    assert cells(text, "INT4")[-4:] == ["tight", "fits", "fits", "fits"]
    assert cells(text, "1 bit")[-4:] == ["fits", "fits", "fits", "fits"]
    assert cells(empty.get("/precision?params=7B&context=16384").text, "INT4")[-4] == "no"


def test_an_eight_billion_model_of_one_bit_or_three_values_is_explained(empty: TestClient) -> None:
    text = empty.get("/precision?params=8190735360").text
    assert "8.191 G × 16 / 8" in text
    for size in ("16.38 GB", "1.75 GB", "1.02 GB", "1.15 GB"):
        assert size in text


def test_a_model_of_the_catalogue_is_counted_by_its_measures(empty: TestClient) -> None:
    text = empty.get("/precision?model=qwen3-8b&params=7e9").text
    assert "8,190,735,360 parameters" in text
    assert '<option value="qwen3-8b" selected>' in text
    assert "16.38 GB" in cells(text, "FP16")
    assert "2 (a key and a value) × 36 layers × 8 heads × 128 numbers" in text
    assert cells(empty.get("/precision?model=Qwen/Qwen3-8B").text, "FP16") == cells(text, "FP16")


def test_a_model_that_nobody_knows_is_said(empty: TestClient) -> None:
    answer = empty.get("/precision?model=nobody/knows")
    assert answer.status_code == 422
    assert "There is no such model here" in answer.text
    assert "28.00 GB" in answer.text


def test_a_number_of_ones_own_is_drawn(empty: TestClient) -> None:
    text = empty.get("/precision?weight=-0.5&largest=2").text
    assert "What becomes of -0.5" in text
    assert "code 4: -0.2844 × 2" in text  # NF4: a quarter of the largest
    assert "<i>1</i>" in text


@pytest.mark.parametrize(
    ("query", "error"),
    [("params=many", "is no number of parameters; say 7e9 or 7B."), ("params=5", "Give 100000 or more."), ("context=-1", "Give 0 or more."),
     ("weight=nan", "Give a number."),
     ("largest=0", "Give 1e-06 or more."), ("weight=1e9", "Give 1000 or less.")],
)  # fmt: skip
def test_what_makes_no_sense_is_said_beside_its_field_and_the_rest_is_shown(empty: TestClient, query: str, error: str) -> None:
    for headers in ({}, NOW):
        answer = empty.get(f"/precision?{query}", headers=headers)
        assert answer.status_code == 422
        assert error in answer.text
        assert "28.00 GB" in answer.text


def test_nobody_sees_it_without_signing_in(stranger: TestClient) -> None:
    assert stranger.get("/precision").status_code == 303


@pytest.mark.parametrize(
    ("text", "size"), [("7B", 7e9), ("350m", 350e6), ("7e9", 7e9), (" 8,190,735,360 ", 8190735360), ("1.5 b", 1.5e9), ("0.5T", 5e11)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: float) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "B", "seven", "7x", "1e", "--7"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no number of parameters"):
        read_size(text)
