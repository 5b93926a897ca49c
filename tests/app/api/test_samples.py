"""The sample datasets over REST: who may, what is there, and that a sample is taken in like an upload, once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import main
from app.config import Settings
from app.db import Import
from app.db.session import reading, unit_of_work
from app.services.accounts import Accounts
from app.services.studio import Studio
from tests.waiting import PATIENCE_SECONDS

SAMPLES = "/api/v1/datasets/samples"
CARD = {"slug": "mails", "title": "Mails", "description": "Some.", "task": "Sort them.", "rows": 2, "test_rows": 1, "planted": {"pii": 1}}


def row(question: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]}) + "\n"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A shelf with one sample, a broken one, and one whose folder has another name."""
    shelf = tmp_path / "samples"
    for folder, card in {"mails": json.dumps(CARD), "broken": "{", "moved": json.dumps(CARD)}.items():
        (shelf / folder).mkdir(parents=True)
        (shelf / folder / "sample.json").write_text(card)
        (shelf / folder / "train.jsonl").write_text(row("one") + row("two"))
    (shelf / "mails" / "test.jsonl").write_text(row("three"))
    return shelf


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client with a key."""
    monkeypatch.setattr(main, "SAMPLES_FOLDER", shelf)
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = main.create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def studio_of(client: TestClient) -> Studio:
    found: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return found


def test_the_samples_on_the_shelf_are_listed_and_broken_ones_left_out(client: TestClient) -> None:
    [sample] = client.get(SAMPLES).json()["data"]
    assert (sample["slug"], sample["title"], sample["rows"], sample["test_rows"]) == ("mails", "Mails", 2, 1)
    assert sample["dataset_id"] is None


def test_a_sample_goes_the_way_of_an_upload(client: TestClient) -> None:
    made = client.post(f"{SAMPLES}/mails")
    assert (made.status_code, made.json()["name"], made.json()["status"]) == (201, "Mails", "importing")
    studio = studio_of(client)
    with reading(studio.engine) as session:
        [waiting] = session.query(Import).all()
        assert waiting.dataset_id == made.json()["id"]
        [file] = waiting.dataset.files
        assert file.upload
        assert studio.storage.path(file.upload.sha256).read_text() == row("one") + row("two")
    assert list(studio.incoming.iterdir()) == []


def test_the_same_sample_twice_is_one_dataset(client: TestClient) -> None:
    first, second = client.post(f"{SAMPLES}/mails"), client.post(f"{SAMPLES}/mails?part=train")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert client.get(SAMPLES).json()["data"][0]["dataset_id"] == first.json()["id"]


def test_the_same_sample_from_three_at_once_is_one_dataset(client: TestClient) -> None:
    studio, gate = studio_of(client), threading.Barrier(3)
    with reading(studio.engine) as session:
        owner = Accounts(session).owner()
    assert owner

    def add() -> str:
        gate.wait(PATIENCE_SECONDS)
        return studio.add_sample(owner, "mails")[0].id

    with ThreadPoolExecutor(3) as pool:
        assert len({made.result(PATIENCE_SECONDS) for made in [pool.submit(add) for _ in range(3)]}) == 1
    assert list(studio.incoming.iterdir()) == []


def test_held_out_rows_are_a_dataset_of_their_own(client: TestClient) -> None:
    train, test = client.post(f"{SAMPLES}/mails"), client.post(f"{SAMPLES}/mails?part=test")
    assert test.status_code == 201
    assert test.json()["name"] == "Mails (held out)"
    assert train.json()["id"] != test.json()["id"]


def test_a_sample_that_was_deleted_can_be_added_again(client: TestClient) -> None:
    first = client.post(f"{SAMPLES}/mails").json()["id"]
    assert client.delete(f"/api/v1/datasets/{first}").status_code == 204
    again = client.post(f"{SAMPLES}/mails")
    assert again.status_code == 201
    assert again.json()["id"] != first


def test_the_same_rows_read_another_way_are_not_the_sample(client: TestClient) -> None:
    first = client.post(f"{SAMPLES}/mails").json()["id"]
    studio = studio_of(client)
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        studio.datasets(session).get(by, first).system = "Another prompt."
    assert client.post(f"{SAMPLES}/mails").status_code == 201


@pytest.mark.parametrize("slug", ["nothing", "broken", "moved", "..", "%2e%2e%2fmails", "a" * 101])
def test_what_is_not_on_the_shelf_is_not_found(client: TestClient, slug: str) -> None:
    assert client.post(f"{SAMPLES}/{slug}").status_code in {404, 405, 422}
    assert client.get("/api/v1/datasets").json()["data"] == []


def test_an_unknown_part_is_named(client: TestClient) -> None:
    refused = client.post(f"{SAMPLES}/mails?part=all")
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "part")


def test_part_without_rows_is_not_found(client: TestClient, shelf: Path) -> None:
    (shelf / "mails" / "test.jsonl").unlink()
    assert client.post(f"{SAMPLES}/mails?part=test").json()["error"]["code"] == "sample_not_found"


def test_without_a_key_nothing_is_told(client: TestClient) -> None:
    del client.headers["Authorization"]
    assert client.get(SAMPLES).status_code == client.post(f"{SAMPLES}/mails").status_code == 401


def test_another_project_has_its_own(client: TestClient) -> None:
    first = client.post(f"{SAMPLES}/mails").json()["id"]
    studio = studio_of(client)
    with unit_of_work(studio.engine) as session:
        from app.db import Project

        accounts = Accounts(session)
        other = Project(name="other")
        session.add(other)
        session.flush()
        mine = accounts.ensure_owner()
        _, key = accounts.create_key(type(mine)(mine.user_id, mine.user_name, other.id, other.name), "other")
    theirs = {"Authorization": f"Bearer {key}"}
    assert client.get(SAMPLES, headers=theirs).json()["data"][0]["dataset_id"] is None
    assert client.post(f"{SAMPLES}/mails", headers=theirs).status_code == 201
    assert client.get(f"/api/v1/datasets/{first}", headers=theirs).status_code == 404
