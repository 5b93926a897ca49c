"""Datasets from outside, in the browser."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Import
from app.db.session import reading
from app.domain.errors import Invalid
from app.domain.repository import HubFile
from app.domain.sources import HubSource, S3Source, Source, UrlSource
from app.gateways.hub import HubDatasets, HubListing
from app.services.studio import Studio
from app.web.sources_view import BETWEEN, name_of, source_at


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("https://example.com/rows.jsonl", UrlSource), ("s3://bucket/rows/", S3Source), ("org/name", HubSource),
        (" https://huggingface.co/datasets/org/name ", HubSource),
        ("https://huggingface.co/datasets/org/name/blob/main/a.csv", UrlSource),
    ],
)  # fmt: skip
def test_what_is_meant_goes_by_how_it_is_written(place: str, kind: type) -> None:
    assert isinstance(source_at(place), kind)


@pytest.mark.parametrize("place", ["", "ftp://x/y", "s3://", "../etc/passwd", "https://", "a b/c"])
def test_what_is_no_place_is_refused_in_words(browser: TestClient, place: str) -> None:
    with pytest.raises(Invalid) as refused:
        source_at(place)
    page = browser.post("/datasets/from", data={"place": place})
    assert page.status_code == 422
    assert refused.value.message.split("'")[0][:30] in page.text


@pytest.mark.parametrize(
    "place", ["example.com/rows.jsonl", "data.example.org/a/b", "localhost:8000/rows.jsonl", "huggingface.co/datasets/org/name"]
)
def test_an_address_without_its_beginning_is_not_asked_of_the_hub(browser: TestClient, place: str) -> None:
    page = browser.post("/datasets/from", data={"place": place})
    assert (page.status_code, f"write https:// before it, so https://{place}." in page.text) == (422, True)


@pytest.mark.parametrize("place", ["org.name/rows", "org/rows.v1.5", "org.name/rows-v2", "squad"])
def test_a_name_on_the_hub_may_have_dots(place: str) -> None:
    assert isinstance(source_at(place), HubSource)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (HubSource(repo="org/rows", config="default", split="train", revision="a" * 40), "rows"),
        (HubSource(repo="squad", revision="a" * 40), "squad"), (UrlSource(url="https://example.com/rows.jsonl?key=1"), "rows.jsonl"),
        (S3Source(url="s3://bucket/exports/"), "exports"),
    ],
)  # fmt: skip
def test_what_is_fetched_is_named_by_the_last_part_of_its_place(source: Source, name: str) -> None:
    assert name_of(source) == name


def test_an_address_is_fetched_by_a_worker(browser: TestClient, studio: Studio) -> None:
    answer = browser.post("/datasets/from", data={"place": "https://example.com/exports/rows.jsonl?key=1"})
    page = browser.get(answer.headers["Location"]).text
    assert "Waiting for a worker to fetch it" in page
    assert "<h1>rows.jsonl</h1>" in page
    assert "key=1" not in page
    with reading(studio.engine) as session:
        task = session.scalars(select(Import).order_by(Import.id.desc())).first()
        assert task
        assert task.task["source"]["kind"] == "url"


def test_of_a_dataset_on_the_hub_one_chooses_parts(browser: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [HubFile("a.jsonl", "https://hub.example/a.jsonl", 1_200_000)]
    listing = HubListing("org/name", "a" * 40, "apache-2.0", gated=False, configs={"default": {"train": files, "test": files}})
    monkeypatch.setattr(HubDatasets, "look", lambda *_: listing)
    led = browser.post("/datasets/from", data={"place": "org/name"}).headers["Location"]
    assert led == "/datasets/from?repo=org%2Fname"
    page = browser.get(led).text
    assert ("default: train (1.2 MB)" in page, "default: all of it (2.4 MB)" in page, "licence apache-2.0" in page) == (True, True, True)
    chosen = {"place": "org/name", "revision": "a" * 40, "choice": f"default{BETWEEN}train"}
    assert browser.post("/datasets/from", data=chosen).status_code == 303
    with reading(studio.engine) as session:
        task = session.scalars(select(Import).order_by(Import.id.desc())).first()
        assert task
        assert task.task["source"] == {"kind": "hub", "repo": "org/name", "config": "default", "split": "train", "revision": "a" * 40}


def test_a_hub_that_cannot_be_asked_is_told_of_on_the_page(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert browser.get("/datasets/from?repo=../../admin").status_code == 422
    page = browser.get("/datasets/from?repo=org/name")
    assert (page.status_code, "This studio is offline" in page.text) == (503, True)
