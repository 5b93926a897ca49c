"""Fetching a dataset of the Hub, against a stand-in on this machine: the chosen files, at one commit, whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid, NotFound, StudioError, TooLarge, Unavailable
from app.domain.sources import HubSource
from tests.hub_server import COMMIT, HubServer, hub
from workers.curation import receiving
from workers.curation.delivery import FetchReport
from workers.curation.fetching import FetchSpec, fetch

CARD = """---
license: mit
configs:
- config_name: en
  data_files:
  - {split: train, path: en/train-*}
  - {split: test, path: en/test.parquet}
- config_name: de
  data_files: de.jsonl
---
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repo"
    (folder / "en").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "en" / "train-1.jsonl").write_text('{"text": "one"}\n')
    (folder / "en" / "train-2.jsonl").write_text('{"text": "two"}\n')
    (folder / "en" / "test.parquet").write_bytes(b"PAR1" + os.urandom(300_000))
    (folder / "de.jsonl").write_text('{"text": "eins"}\n')
    with hub({}, {"lab/rows": folder}) as started:
        monkeypatch.setattr(receiving, "PAUSES", (0.01, 0.01, 0.01))
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield started


def fetched(folder: Path, *, told: list[Any] | None = None, max_bytes: int = 10**9, **source: Any) -> FetchReport:
    spec = FetchSpec(source=HubSource(**{"repo": "lab/rows"} | source), out=folder / "out", max_bytes=max_bytes)
    return fetch(spec, lambda *how_far: told.append(how_far) if told is not None else None)


def refusal(folder: Path, kind: type[StudioError], **given: Any) -> StudioError:
    with pytest.raises(kind) as refused:
        fetched(folder, **given)
    assert not (folder / "out").exists()
    return refused.value


def test_all_splits_of_a_configuration_come_with_what_they_are(server: HubServer, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    report = fetched(tmp_path, config="en", told=told)
    assert [(file.filename, file.split) for file in report.files] == [
        ("train-1.jsonl", "train"), ("train-2.jsonl", "train"), ("test.parquet", "test")
    ]  # fmt: skip
    first = report.files[0]
    assert first.path.read_text() == '{"text": "one"}\n'
    wanted = {
        "kind": "hub",
        "repo": "lab/rows",
        "revision": COMMIT,
        "config": "en",
        "split": "train",
        "path": "en/train-1.jsonl",
        "licence": "mit",
    }
    assert {name: first.origin.get(name) for name in wanted} == wanted
    assert {total for _, total, _ in told} == {300_036}
    assert (told[-1][0], report.contacted) == (300_036, ["127.0.0.1"])


def test_one_split_alone_can_be_had(server: HubServer, tmp_path: Path) -> None:
    assert [file.filename for file in fetched(tmp_path, config="en", split="test", revision="main").files] == ["test.parquet"]
    assert not [path for path in server.asked if "train-" in path]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({}, "has several configurations. Choose one of: en, de."),
        ({"config": "fr"}, "has no configuration 'fr'. Choose one of: en, de."),
        ({"config": "de", "split": "test"}, "has no split 'test'. Choose one of: train."),
    ],
)
def test_what_there_is_is_named_where_a_choice_is_missing(server: HubServer, tmp_path: Path, source: dict[str, str], says: str) -> None:
    assert says in refusal(tmp_path, Invalid, **source).message


def test_more_files_than_may_come_at_once_are_refused(server: HubServer, tmp_path: Path) -> None:
    for number in range(101):
        (server.datasets["lab/rows"] / "en" / f"train-{number}.jsonl").write_text("{}\n")
    assert "This would be 101 files" in refusal(tmp_path, Invalid, config="en", split="train").message
    assert not [path for path in server.asked if "/resolve/" in path]


def test_a_dataset_that_is_too_large_is_not_begun(server: HubServer, tmp_path: Path) -> None:
    refusal(tmp_path, TooLarge, config="en", max_bytes=300_000)
    assert not [path for path in server.asked if "/resolve/" in path]


def test_a_cut_line_is_taken_up_again(server: HubServer, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    [file] = fetched(tmp_path, config="en", split="test").files
    assert file.path.read_bytes() == (server.datasets["lab/rows"] / "en" / "test.parquet").read_bytes()
    assert server.ranges == ["bytes=100000-", "bytes=150000-"]


def test_a_file_that_is_not_what_the_hub_says_is_refused(server: HubServer, tmp_path: Path) -> None:
    file = server.datasets["lab/rows"] / "en" / "test.parquet"

    def damage(*_: int) -> None:
        file.write_bytes(b"PAR1" + bytes(300_000))

    server.cuts = [0]
    spec = FetchSpec(source=HubSource(repo="lab/rows", config="en", split="test"), out=tmp_path / "out", max_bytes=10**9)
    with pytest.raises(Unavailable, match="did not arrive as the Hub says it is"):
        fetch(spec, damage)
    assert not (tmp_path / "out").exists()


def test_the_token_goes_to_the_hub_and_not_to_where_it_keeps_its_files(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    server.private.add("lab/rows")
    server.gated.add("lab/rows")
    with hub({}, {"lab/rows": server.datasets["lab/rows"]}) as store:
        server.files_at = f"{store.address.replace('127.0.0.1', 'localhost')}/datasets"
        report = fetched(tmp_path, config="de")
        assert [token for _, token in store.tokens] == [""]
    assert {token for _, token in server.tokens} == {"Bearer hf_right"}
    assert report.contacted == ["127.0.0.1", "localhost"]
    assert "hf_right" not in report.model_dump_json()


def test_a_gated_dataset_says_how_to_get_in(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.gated.add("lab/rows")
    refused = refusal(tmp_path, Invalid, config="de")
    assert (refused.code, f"Ask for access at {server.address}/datasets/lab/rows" in refused.message) == ("gated_dataset", True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf_wrong" not in json.dumps([refusal(tmp_path, Invalid, config="de").message])


def test_a_dataset_that_is_not_there_is_said(server: HubServer, tmp_path: Path) -> None:
    refused = refusal(tmp_path, NotFound, repo="lab/nothing")
    assert "has no dataset 'lab/nothing'" in refused.message
    assert refused.data["contacted"] == ["127.0.0.1"]


def test_an_offline_studio_contacts_nobody(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused = refusal(tmp_path, Unavailable, config="de")
    assert (refused.code, refused.data["contacted"], server.asked) == ("offline", [], [])


def test_a_hub_that_is_away_is_said_to_be(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert refusal(tmp_path, Unavailable, config="de").code == "hub_unreachable"
