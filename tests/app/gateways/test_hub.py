"""Looking at datasets of the Hub, against a stand-in on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid, NotFound, StudioError, Unavailable
from app.gateways.hub import HubDatasets, HubListing
from tests.hub_server import COMMIT, CONVERTED_COMMIT, HubServer, hub

CARD = """---
license: apache-2.0
configs:
- config_name: en
  data_files:
  - split: train
    path: data/en-*
- config_name: de
  data_files: data/de.jsonl
---
# Rows
"""


def make(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    described = make(
        tmp_path / "described", **{"README.md": CARD, "data__en-1.jsonl": "{}\n", "data__en-2.jsonl": "{}\n", "data__de.jsonl": "{}\n"}
    )
    plain = make(tmp_path / "plain", **{"train.csv": "a,b\n", "test.csv": "a,b\n", "cat.png": "no"})
    scripted = make(tmp_path / "scripted", **{"scripted.py": "raise SystemExit", "raw.json": "{}"})
    converted = make(
        tmp_path / "converted", **{"default__train__0000.parquet": "PAR1 and so on", "big__partial-train__0000.parquet": "PAR1"}
    )
    with hub({}, {"lab/described": described, "lab/plain": plain, "lab/scripted": scripted, "old": plain}) as started:
        started.converted["lab/scripted"] = converted
        yield started


def look(server: HubServer, repo: str, revision: str | None = None, **given: Any) -> HubListing:
    return HubDatasets(server.address, **given).look(repo, revision)


def paths(listing: HubListing) -> dict[str, dict[str, list[str]]]:
    return {name: {split: [file.path for file in files] for split, files in splits.items()} for name, splits in listing.configs.items()}


def test_a_card_says_what_there_is(server: HubServer) -> None:
    listing = look(server, "lab/described")
    assert (listing.repo, listing.revision, listing.licence, listing.gated) == ("lab/described", COMMIT, "apache-2.0", False)
    assert paths(listing) == {"en": {"train": ["data/en-1.jsonl", "data/en-2.jsonl"]}, "de": {"train": ["data/de.jsonl"]}}
    [first, _] = listing.configs["en"]["train"]
    assert (first.size, first.url) == (3, f"{server.address}/datasets/lab/described/resolve/{COMMIT}/data/en-1.jsonl")


def test_names_say_it_where_no_card_does(server: HubServer) -> None:
    assert paths(look(server, "lab/plain", "main")) == {"default": {"test": ["test.csv"], "train": ["train.csv"]}}


def test_rows_that_a_program_makes_are_taken_as_the_hub_converted_them(server: HubServer) -> None:
    listing = look(server, "lab/scripted")
    assert listing.is_converted
    assert paths(listing) == {"default": {"train": ["default/train/0000.parquet"]}}  # what was converted in part only is left out
    [file] = listing.configs["default"]["train"]
    assert f"/resolve/{CONVERTED_COMMIT}/" in file.url
    assert len(file.sha256 or "") == 64


def test_an_older_revision_is_not_mixed_with_what_was_converted_since(server: HubServer) -> None:
    server.older["v1"] = "0123456789" * 4
    assert look(server, "lab/scripted", COMMIT).is_converted
    with pytest.raises(Invalid, match="no files on the Hub that Hone can read"):
        look(server, "lab/scripted", "v1")


def test_a_long_listing_is_read_page_by_page(server: HubServer) -> None:
    server.page = 1
    assert len(look(server, "lab/described").configs["en"]["train"]) == 2
    assert len([path for path in server.asked if "/tree/" in path]) == 5


def test_a_renamed_dataset_is_found_under_its_new_name(server: HubServer) -> None:
    server.renamed["plain"] = "lab/plain"
    assert look(server, "plain").repo == "lab/plain"


def test_a_dataset_may_have_no_organisation(server: HubServer) -> None:
    assert look(server, "old").repo == "old"


def test_the_token_is_shown_to_the_hub_and_nobody_else(server: HubServer) -> None:
    server.private.add("lab/plain")
    with pytest.raises(NotFound, match="HF_TOKEN"):
        look(server, "lab/plain")
    assert look(server, "lab/plain", token="hf_right").repo == "lab/plain"
    server.page, server.next_at = 1, "http://localhost:9"
    with pytest.raises(Unavailable, match="leads to another host"):
        look(server, "lab/plain", token="hf_right")


def test_a_gated_dataset_says_so_and_may_be_looked_at(server: HubServer) -> None:
    server.gated.add("lab/plain")
    assert look(server, "lab/plain").gated


@pytest.mark.parametrize(
    ("repo", "revision", "says"),
    [("lab/nothing", None, "has no dataset 'lab/nothing'"), ("lab/plain", "v9", "no such revision")],
)
def test_what_is_not_there_is_said(server: HubServer, repo: str, revision: str | None, says: str) -> None:
    with pytest.raises(NotFound, match=says) as refused:
        look(server, repo, revision, token="hf_secret")
    assert "hf_secret" not in str(refused.value)


def test_an_offline_studio_asks_nobody(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="This studio is offline"):
        HubDatasets.from_environment().look("lab/plain")
    assert server.asked == []


def test_the_environment_names_the_hub_and_the_token(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address + "/")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    server.private.add("lab/plain")
    assert HubDatasets.from_environment().look("lab/plain").revision == COMMIT


def test_a_hub_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"The Hub at 127\.0\.0\.1 cannot be asked"):
        HubDatasets("http://127.0.0.1:9").look("lab/plain")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"sha": 3}',
        b'{"sha": "../../x"}',
        b"[" * 200_000,
        json.dumps({"sha": COMMIT, "id": 7, "cardData": 9}).encode(),
        b"\xff",
    ],
    ids=range(9),
)
def test_an_answer_that_makes_no_sense_ends_in_words(server: HubServer, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr("tests.hub_server.HubHandler._json", lambda self, *_: self._send(answer, {}, head=False, is_file=False))
    with pytest.raises(StudioError) as refused:
        look(server, "lab/plain")
    assert refused.value.status < 500 or isinstance(refused.value, Unavailable)


def test_an_endless_answer_is_given_up(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateways.hub_client.MAX_ANSWER", 10)
    with pytest.raises(Unavailable, match="too much"):
        look(server, "lab/plain")
