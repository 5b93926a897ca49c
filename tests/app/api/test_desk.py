"""The data desk over REST: rows with what was found in them, fixes, undo, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.session import unit_of_work
from app.domain.aside import Aside
from app.domain.errors import Unavailable
from app.domain.repository import HubFile
from app.gateways.hub import HubDatasets, HubListing
from app.main import create_app
from app.services.accounts import Accounts
from tools.sample_desk import add_desk

LINE = b'{"prompt": "a", "completion": "b"}\n'


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client with a key, in a studio with one dataset that has every problem planted in it."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        owner = accounts.ensure_owner()
        _, key = accounts.create_key(owner, "tests")
        add_desk(session, app.state.studio, owner)
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def desk(client: TestClient) -> str:
    """Its address."""
    return f"/api/v1/datasets/{client.get('/api/v1/datasets').json()['data'][0]['id']}"


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_dataset_tells_its_files_its_last_change_and_what_is_done_with_it(client: TestClient, desk: str) -> None:
    told = client.get(desk).json()
    assert [file["filename"] for file in told["files"]] == ["emails-march.csv", "corrections.jsonl"]
    assert (told["version"], told["step"], told["can_undo"], told["work"]) == (2, "1 row left out (exact duplicates)", True, None)
    asked = client.post(f"{desk}/check")
    assert (asked.status_code, asked.json()["work"]["task"]) == (202, "check")


def test_rows_carry_what_was_found_in_them(client: TestClient, desk: str) -> None:
    rows = client.get(f"{desk}/rows", params={"problem": "pii"}).json()["data"]
    assert [(row["row"], row["problems"], [span["kind"] for span in row["spans"]]) for row in rows] == [(8, ["pii"], ["NAME", "EMAIL"])]
    text, span = rows[0]["messages"][1]["content"], rows[0]["spans"][0]
    assert text[span["start"] : span["end"]] == "Marco Rossi"
    (leak,) = client.get(f"{desk}/rows", params={"problem": "leak"}).json()["data"]
    assert (leak["leak_of"], leak["copy_of"], leak["near_of"]) == (1, 1, None)


def test_rows_are_paged_by_what_the_last_page_says(client: TestClient, desk: str) -> None:
    seen: list[int] = []
    after = -1
    while True:
        page = client.get(f"{desk}/rows", params={"q": "my", "limit": 2, "after": after}).json()
        seen += [row["row"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = page["next_after"]
    whole = client.get(f"{desk}/rows", params={"q": "MY"}).json()["data"]
    assert seen == [row["row"] for row in whole]
    assert len(seen) > 3


def test_problems_are_counted_with_those_set_aside(client: TestClient, desk: str) -> None:
    told = client.get(f"{desk}/problems").json()
    assert told["checked"]
    assert (told["counts"]["other_answer"], told["counts"]["too_long"], told["counts"]["broken"]) == (2, 1, 1)
    assert told["groups"]["near"] == 1
    assert "too_long" not in client.get(f"{desk}/problems", params={"max_tokens": 4096}).json()["counts"]


def test_rows_set_aside_come_with_their_text(client: TestClient, desk: str) -> None:
    told = client.get(f"{desk}/aside", params={"code": "no_answer"}).json()
    assert [(row["number"], row["file"], row["line"], "Is anybody there?" in row["text"]) for row in told["data"]] == [(2, 1, 12, True)]
    assert (told["data"][0]["is_cut"], told["not_kept"]) == (False, {})
    assert told["data"][0]["was"] == Aside(**told["data"][0]).fingerprint
    first = client.get(f"{desk}/aside", params={"limit": 2}).json()
    rest = client.get(f"{desk}/aside", params={"limit": 2, "after": 2}).json()
    assert (len(first["data"]), first["has_more"], len(rest["data"]), rest["has_more"]) == (2, True, 1, False)
    assert error_of(client.get(f"{desk}/rows", params={"problem": "broken"})) == (422, "set_aside")


def test_a_fix_is_taken_and_called_off(client: TestClient, desk: str) -> None:
    asked = client.post(f"{desk}/fix", json={"op": "keep_best", "problem": "near_duplicate"})
    assert (asked.status_code, asked.json()["work"]["task"]) == (202, "fix")
    assert error_of(client.post(f"{desk}/fix", json={"op": "trim_end"})) == (409, "dataset_importing")
    assert client.post(f"{desk}/cancel").status_code == 202
    assert error_of(client.post(f"{desk}/cancel")) == (409, "illegal_state")


@pytest.mark.parametrize(
    "body", [{}, {"op": "explode"}, {"op": "keep_best", "problem": "pii"}, {"op": "balance", "most": 0}, {"op": "fill"}]
)
def test_a_fix_that_makes_no_sense_is_refused(client: TestClient, desk: str, body: dict[str, Any]) -> None:
    assert client.post(f"{desk}/fix", json=body).status_code == 422


def test_undo_goes_back_once(client: TestClient, desk: str) -> None:
    assert client.post(f"{desk}/undo").json()["rows"] == 17
    assert error_of(client.post(f"{desk}/undo")) == (409, "nothing_to_undo")


def test_what_is_asked_of_rows_that_have_changed_meanwhile_is_refused(client: TestClient, desk: str) -> None:
    seen = {"version_id": client.get(desk).json()["version_id"]}
    assert client.post(f"{desk}/undo", params=seen).status_code == 200
    assert error_of(client.post(f"{desk}/undo", params=seen)) == (409, "rows_changed")
    assert error_of(client.post(f"{desk}/fix", params=seen, json={"op": "keep_best", "problem": "near_duplicate"})) == (409, "rows_changed")
    now = client.get(desk).json()
    assert (now["rows"], now["work"]) == (17, None)
    asked = client.post(f"{desk}/fix", params={"version_id": now["version_id"]}, json={"op": "trim_end"})
    assert (asked.status_code, asked.json()["work"]["task"]) == (202, "fix")


def test_files_are_added_whatever_their_size(client: TestClient, desk: str) -> None:
    answer = client.post(f"{desk}/files", files=[("file", ("a.jsonl", LINE * 300_000)), ("file", ("b.jsonl", LINE))])
    assert (answer.status_code, answer.json()["work"]["task"]) == (202, "append")
    assert [file["filename"] for file in answer.json()["files"]][-2:] == ["a.jsonl", "b.jsonl"]


def test_a_dataset_can_be_fetched_from_outside(client: TestClient) -> None:
    source = {"kind": "hub", "repo": "databricks/databricks-dolly-15k", "split": "train"}
    made = client.post("/api/v1/datasets", json={"name": "dolly", "source": source})
    assert (made.status_code, made.json()["name"]) == (201, "dolly")
    assert client.get(f"/api/v1/datasets/{made.json()['id']}").json()["work"]["task"] == "fetch"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"source": {"kind": "url", "url": "http://127.0.0.1:1/rows"}, "more": 1}, {"source": {"kind": "s3", "url": "https://x"}},
        {"source": {"kind": "ftp", "url": "ftp://x"}}, {"source": {"kind": "url", "url": "https://user:word@example.com/a"}},
    ],
)  # fmt: skip
def test_a_source_that_makes_no_sense_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/api/v1/datasets", json=body)
    assert (answer.status_code, "word@" in answer.text) == (422, False)


def test_a_document_has_a_bound_where_uploads_have_none(client: TestClient) -> None:
    assert client.post("/api/v1/datasets", json={"name": "x" * 70_000, "source": {}}).status_code == 413


def test_the_hub_says_what_there_is_to_choose(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    file = HubFile("data/train.jsonl", "https://hub.example/train.jsonl", 120)
    listing = HubListing("org/name", "a" * 40, "apache-2.0", gated=False, configs={"default": {"train": [file, file]}})
    monkeypatch.setattr(HubDatasets, "look", lambda *_: listing)
    told = client.get("/api/v1/datasets/hub", params={"repo": "org/name"}).json()
    assert (told["configs"], told["licence"]) == ({"default": {"train": 240}}, "apache-2.0")


@pytest.mark.parametrize("asked", [{"repo": "../../admin"}, {"repo": "a/b/c"}, {"repo": "org/name", "revision": "../main"}])
def test_the_hub_is_asked_for_names_alone(client: TestClient, asked: dict[str, str]) -> None:
    assert client.get("/api/v1/datasets/hub", params=asked).status_code == 422


def test_a_hub_that_is_switched_off_is_not_asked(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert error_of(client.get("/api/v1/datasets/hub", params={"repo": "org/name"})) == (503, "offline")


def test_a_preflight_that_nobody_can_make_says_so(client: TestClient, desk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("Nobody is there.")

    monkeypatch.setattr(type(client.app.state.studio.looker), "look", away)  # type: ignore[attr-defined]
    assert client.post(f"{desk}/preflight", json={}).status_code == 503
    assert client.post(f"{desk}/preflight", json={"settings": {"max_length": 1}}).status_code == 422


def test_masks_without_a_map_are_undone_by_nobody(client: TestClient, desk: str) -> None:
    assert error_of(client.get(f"{desk}/mask-map")) == (404, "no_mask_map")


def test_rows_are_exported_as_lines_and_as_a_table(client: TestClient, desk: str) -> None:
    assert len(client.get(f"{desk}/export").text.splitlines()) == 16
    table = client.get(f"{desk}/export", params={"format": "csv"})
    assert (table.headers["content-type"], len(table.content.decode("utf-8-sig").split("\r\n"))) == ("text/csv; charset=utf-8", 18)
