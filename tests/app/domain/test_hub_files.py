"""Which files belong to which split, by the Hub's own rules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.domain import hub_files
from app.domain.errors import Invalid
from app.domain.hub_files import kind_of, matches, sort_files


def described(*files: dict[str, Any]) -> dict[str, Any]:
    return {"configs": [{"config_name": "default", "data_files": list(files)}]}


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (["data.csv"], {"train": ["data.csv"]}),
        (["train.csv", "test.csv", "README.md"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["my_train-1.jsonl.gz", "dev.jsonl.gz"], {"train": ["my_train-1.jsonl.gz"], "validation": ["dev.jsonl.gz"]}),
        (["a/training/1.json", "a/eval set/2.json"], {"train": ["a/training/1.json"], "test": ["a/eval set/2.json"]}),
        (["data/gold-00000-of-00001.parquet", "data/other.parquet"], {"gold": ["data/gold-00000-of-00001.parquet"]}),
        (
            ["harmless/train.jsonl", "harmless/test.jsonl", "notes.txt"],
            {"train": ["harmless/train.jsonl"], "test": ["harmless/test.jsonl"]},
        ),
        (["rows.jsonl", "LICENSE.txt"], {"train": ["rows.jsonl"]}),
        (["testify.csv", "restrain.csv"], {"train": ["testify.csv", "restrain.csv"]}),
        (["train/0.arrow", "train/state.json", "train/dataset_info.json"], {"train": ["train/0.arrow"]}),
        (["train.v1.csv", "v1.test.csv"], {"train": ["train.v1.csv"], "test": ["v1.test.csv"]}),
    ],
)
def test_without_a_card_folders_and_names_decide(paths: list[str], splits: dict[str, list[str]]) -> None:
    assert sort_files(paths, {}) == {"default": splits}


@pytest.mark.parametrize("paths", [[], ["README.md"], [".gitattributes", "cat.png"], ["squad.py"], ["_temporary/x.csv"], ["model.tar.gz"]])
def test_files_that_are_no_rows_make_no_split(paths: list[str]) -> None:
    assert sort_files(paths, {}) == {}


@pytest.mark.parametrize(
    ("data_files", "splits"),
    [
        ("data.csv", {"train": ["data.csv"]}),
        (["data.csv", "holdout.csv"], {"train": ["data.csv", "holdout.csv"]}),
        (
            [{"split": "train", "path": "data.csv"}, {"split": "test", "path": "holdout.csv"}],
            {"train": ["data.csv"], "test": ["holdout.csv"]},
        ),
        ([{"split": "train", "path": ["data.csv", "a/*.csv"]}], {"train": ["a/1.csv", "data.csv"]}),
        ({"train": "data.csv", "extra": ["a/**"]}, {"train": ["data.csv"], "extra": ["a/1.csv", "a/b/2.csv"]}),
    ],
)
def test_a_card_decides_where_it_says_something(data_files: Any, splits: dict[str, list[str]]) -> None:
    paths = ["a/1.csv", "a/b/2.csv", "data.csv", "holdout.csv"]
    assert sort_files(paths, {"configs": [{"config_name": "default", "data_files": data_files}]}) == {"default": splits}


def test_where_nothing_that_a_card_names_is_there_names_decide() -> None:
    assert sort_files(["rows.csv"], described({"split": "test", "path": "missing-*"})) == {"default": {"train": ["rows.csv"]}}


def test_a_dataset_has_as_many_configurations_as_its_card_says() -> None:
    card = {
        "configs": [
            {"config_name": "en", "data_files": [{"split": "train", "path": "en/train-*"}]},
            {"config_name": "de", "data_dir": "de"},
            {"config_name": "gone", "data_files": "fr/*"},
        ]
    }
    assert sort_files(["en/train-0.jsonl", "de/test.jsonl", "de/train.jsonl"], card) == {
        "en": {"train": ["en/train-0.jsonl"]},
        "de": {"test": ["de/test.jsonl"], "train": ["de/train.jsonl"]},
    }


@pytest.mark.parametrize(
    "card", [None, [], "x", {"configs": None}, {"configs": "x"}, {"configs": [1, None]}, {"configs": [{"data_files": [None, 3]}]}]
)
def test_a_card_that_makes_no_sense_is_passed_over(card: Any) -> None:
    assert sort_files(["rows.jsonl"], card) == {"default": {"train": ["rows.jsonl"]}}


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("data/train-0.parquet", "data/train-*", True),
        ("data/a/train-0.parquet", "data/train-*", False),
        ("data/a/train-0.parquet", "data/**", True),
        ("data/a/train-0.parquet", "**/train-*.parquet", True),
        ("train-0.parquet", "**/train-*.parquet", True),
        ("data", "data/**", False),
        ("x.csv", "./x.csv", True),
        ("a/b/c.csv", "a/**/c.csv", True),
        ("a/c.csv", "a/**/c.csv", True),
        ("x1.csv", "x[0-9].csv", True),
        ("X1.csv", "x?.csv", False),
    ],
)
def test_patterns_are_read_as_the_hub_reads_them(path: str, pattern: str, fits: bool) -> None:  # noqa: FBT001 - a column of the table
    assert matches(path, pattern) is fits


def test_no_pattern_takes_for_ever() -> None:
    # Read by ordinary backtracking either of these would outlast the test's time limit by far.
    assert not matches("a" * 5000, "*a" * 400 + "b")
    assert not matches("a/" * 2000 + "a", "**/a/" * 400 + "b")


FLAT = [f"d/{n:05}.csv" for n in range(2_000)]
DEEP = ["/".join("abcdefgh") + f"/{n}.csv" for n in range(2_000)]
WORST: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    "folders": (FLAT, [{"config_name": str(n), "data_dir": "d"} for n in range(2_000)]),
    "folders that are not there": (FLAT, [{"data_dir": f"e{n}"} for n in range(20_000)]),
    "entries that say nothing": (FLAT, [{}] * 20_000),
    "all files again and again": (FLAT, [{"data_files": ["*.csv", "d/*.csv"] * 2_000}]),
    "files by name": (FLAT, [{"data_files": FLAT * 10}]),
    "any depth": (DEEP, [{"data_files": ["**/*/" * 8 + "*a"] * 2_000}]),
    "patterns that take long to read": (FLAT[:1], [{"data_files": [f"{n}" + "*a" * 100 for n in range(2_000)]}]),
    "patterns of many parts": (FLAT[:1], [{"data_files": ["*/" * 100_000] * 20}]),
    "long paths": (["a" * 4_000 + str(n) + ".csv" for n in range(80)], [{"data_files": ["*b*c"] * 2_000}]),
}


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions were called meanwhile."""
    called = 0

    def note(_frame: object, event: str, _told: object) -> None:
        nonlocal called
        called += event.endswith("call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize("case", WORST)
def test_a_step_of_a_card_is_a_small_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_files, "MAX_STEPS", 50_000)
    paths, entries = WORST[case]

    def look() -> None:
        with pytest.raises(Invalid, match="than can be looked through"):
            sort_files(paths, {"configs": entries})

    # What it takes without a card goes by the files alone.
    assert calls_of(look) - calls_of(lambda: sort_files(paths, None)) < 8 * 50_000


@pytest.mark.parametrize("card", [None, described({"split": "train", "path": "data.csv"})])
def test_of_many_files_in_deep_folders_none_is_looked_at(card: Any) -> None:
    paths = [f"{'p/' * 200}{n}.csv" for n in range(20_000)]

    def look() -> None:
        with pytest.raises(Invalid, match="than can be looked through"):
            sort_files(paths, card)

    assert calls_of(look) < 4 * len(paths)
    assert sort_files(paths[:1_000], None) == {"default": {"train": paths[:1_000]}}


@pytest.mark.parametrize(
    "data_files",
    [
        [{"split": split, "path": f"**/{split}*.csv"} for split in ("train", "validation", "test")],
        [{"split": "train", "path": [path for path in DEEP if path.endswith("7.csv")]}],
        [{"split": f"s{n}", "path": f"a/b/c/d/e/f/g/h/{n}*.csv"} for n in range(1, 400)],
    ],
)
def test_a_card_of_a_large_dataset_is_read(data_files: list[dict[str, Any]]) -> None:
    paths = [*DEEP, *(path.replace("h/", "h/train-") for path in DEEP[:10])]
    assert sort_files(paths, described(*data_files))["default"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a.JSONL", ".jsonl"), ("a.csv.gz", ".csv"), ("a.zip", ".zip"), ("a.gz", ""), ("config.json", ""), ("a/.x/b.csv", "")],
)
def test_the_ending_says_what_a_file_is(path: str, kind: str) -> None:
    assert kind_of(path) == kind
