"""What is asked of whoever looks at rows, what is kept of the answer, and what a launch makes of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from app.config import Settings
from app.db import Dataset, Run
from app.db.session import unit_of_work
from app.domain.datasets import Message, Row, Split
from app.domain.errors import Conflict, Invalid, Unavailable
from app.domain.preflight import Fault, Preflight, template_fault
from app.domain.specs import STARTER, TrainingSettings
from app.main import create_app
from app.services import preflight
from app.services.accounts import Accounts, Identity
from app.services.preflight import MOST_ROWS, Preflights
from app.services.studio import Studio
from tests.databases import add_dataset, add_run

FAULT = template_fault("The chat template cannot write all rows: no.")


def found(*faults: Fault) -> Preflight:
    return Preflight.of_no_row(FAULT, total=1, max_length=1).model_copy(update={"faults": list(faults)})


class Looking:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Preflight | Exception = found()
        self.meanwhile: Callable[[], object] = int

    def look(self, body: bytes) -> Preflight:
        self.asked.append(json.loads(body))
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Stored:
    """A store with one file of rows, which it has in its head."""

    def __init__(self, rows: list[Row]) -> None:
        self.held = {row.row: row for row in rows}
        self.given: list[int] = []

    def rows(self, _sha256: str) -> Stored:
        return self

    def each(self, numbers: Iterable[int]) -> Iterator[Row]:
        for number in numbers:
            if number in self.held:
                self.given.append(number)
                yield self.held[number]


def made(count: int, text: str = "Hi") -> list[Row]:
    def row(number: int) -> Row:
        side = Split.TEST if number % 10 == 0 else Split.TRAIN
        messages = [Message(role="user", content=f"{text} {number}"), Message(role="assistant", content="Hello")]
        return Row(row=number, split=side, messages=messages, label=False if number % 10 == 1 else None)

    return [row(number) for number in range(count)]


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def studio(client: TestClient) -> Studio:
    parts: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return parts


@pytest.fixture
def owner(studio: Studio) -> Identity:
    with unit_of_work(studio.engine) as session:
        return Accounts(session).ensure_owner()


@pytest.fixture
def looking(studio: Studio) -> Looking:
    """Somebody who looks, in the place of the inference server."""
    looker = Looking()
    store: Any = Stored(made(20))
    vars(studio)["preflights"] = Preflights(studio.engine, store, studio.queue, studio.bases, looker)
    return looker


@pytest.fixture
def dataset_id(studio: Studio, owner: Identity) -> str:
    return add_dataset(studio.engine, owner)


def look(studio: Studio, owner: Identity, dataset_id: str, base: str = STARTER, *, all_train: bool = False, **settings: Any) -> Preflight:
    return studio.preflights.look(owner, dataset_id, base, TrainingSettings(**settings), all_train=all_train)


def test_the_rows_that_would_be_learnt_are_looked_at(studio: Studio, owner: Identity, looking: Looking, dataset_id: str) -> None:
    look(studio, owner, dataset_id, max_length=99, chat_template="plain")
    [asked] = looking.asked
    assert [row["number"] for row in asked["rows"]] == [number + 1 for number in range(20) if number % 10 > 1]
    assert asked["rows"][0]["messages"] == [{"role": "user", "content": "Hi 2"}, {"role": "assistant", "content": "Hello"}]
    assert (asked["total_rows"], asked["max_length"], asked["chat_template"]) == (16, 99, "plain")
    assert asked["base_dir"].endswith(STARTER)


def test_with_held_out_rows_of_their_own_all_rows_are_learnt(studio: Studio, owner: Identity, looking: Looking, dataset_id: str) -> None:
    look(studio, owner, dataset_id, all_train=True)
    assert len(looking.asked[0]["rows"]) == 18


def test_an_answer_is_kept_until_something_changes(studio: Studio, owner: Identity, looking: Looking, dataset_id: str) -> None:
    given: list[dict[str, Any]] = [{}, {"epochs": 9}, {"max_length": 64}, {"max_length": 64, "rank": 4}, {}]
    for settings in given:
        look(studio, owner, dataset_id, **settings)
    assert [asked["max_length"] for asked in looking.asked] == [1024, 64]


def test_a_base_that_is_written_anew_is_asked_anew(
    studio: Studio, owner: Identity, looking: Looking, dataset_id: str, tmp_path: Path, root: Path
) -> None:
    base = Path(shutil.copytree(root / "models" / STARTER, tmp_path / "base"))
    for _ in range(2):
        look(studio, owner, dataset_id, str(base))
    os.utime(base / "chat_template.jinja", ns=(1, 1))
    look(studio, owner, dataset_id, str(base))
    assert len(looking.asked) == 2


def test_of_many_rows_a_sample_is_looked_at_with_the_longest_and_the_shortest(studio: Studio, owner: Identity, looking: Looking) -> None:
    many = 3 * MOST_ROWS
    store: Any = Stored(made(many))
    studio.preflights.storage = store
    look(studio, owner, add_dataset(studio.engine, owner, rows=many))
    [asked] = looking.asked
    numbers = {row["number"] for row in asked["rows"]}
    assert MOST_ROWS * 0.7 < len(numbers) <= MOST_ROWS
    assert asked["total_rows"] == many - 2
    assert min(numbers) < many / 10
    assert max(numbers) > many * 0.9


@pytest.mark.parametrize("label", [None, False])
@pytest.mark.parametrize("in_tools", [False, True])
def test_of_rows_that_are_large_or_not_learnt_from_few_are_read(
    studio: Studio, owner: Identity, looking: Looking, monkeypatch: pytest.MonkeyPatch, *, label: bool | None, in_tools: bool
) -> None:
    monkeypatch.setattr(preflight, "MOST_LETTERS", 6_000_000)
    long = "a" * 1_100_000
    large = {"tools": [{"name": long}]} if in_tools else {"messages": [Message(role="text", content=long)]}
    rows = [row.model_copy(update={"label": label} | large) for row in made(40)]
    store: Any = Stored(rows)
    studio.preflights.storage = store
    dataset = add_dataset(studio.engine, owner, rows=40)
    if label is None:
        with pytest.raises(Unavailable, match="too large to be looked at"):
            look(studio, owner, dataset)
    else:
        look(studio, owner, dataset)
        assert looking.asked[0]["rows"] == []
    assert len(store.given) == 6


def test_what_is_sent_is_bounded_also_where_tools_are_large_and_texts_small(
    studio: Studio, owner: Identity, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "MOST_BYTES", 500_000)
    rows = [row.model_copy(update={"tools": [{"type": "function", "function": {"name": "f" * 100_000}}]}) for row in made(40)]
    store: Any = Stored(rows)
    studio.preflights.storage = store
    look(studio, owner, add_dataset(studio.engine, owner, rows=40))
    assert len(looking.asked[0]["rows"]) == 5
    assert len(store.given) < 10


def test_of_long_rows_few_are_looked_at(studio: Studio, owner: Identity, looking: Looking) -> None:
    store: Any = Stored(made(400, "long " * 20_000))
    studio.preflights.storage = store
    look(studio, owner, add_dataset(studio.engine, owner, rows=400))
    assert len(looking.asked[0]["rows"]) == 80


def test_what_cannot_be_looked_at_is_told(studio: Studio, owner: Identity, looking: Looking, dataset_id: str) -> None:
    with pytest.raises(Unavailable, match="not on this machine yet"):
        look(studio, owner, dataset_id, "org/far-away")
    with unit_of_work(studio.engine) as session:
        session.get_one(Dataset, dataset_id).status = "importing"
    with pytest.raises(Conflict, match="no rows to look at"):
        look(studio, owner, dataset_id)
    assert not looking.asked


def wanted(dataset_id: str, **more: Any) -> dict[str, Any]:
    return {"name": "run", "base_model": STARTER, "dataset_id": dataset_id, **more}


def test_a_run_that_would_learn_nothing_is_not_launched(client: TestClient, looking: Looking, dataset_id: str) -> None:
    looking.answer = found(FAULT)
    answer = client.post("/api/v1/runs", json=wanted(dataset_id))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"], error["message"]) == (422, "preflight_failed", "base_model", FAULT.sentence)
    assert error["data"]["faults"][0]["fixes"][0]["settings"] == {"chat_template": "plain"}
    assert client.get("/api/v1/runs").json()["data"] == []


def test_the_fix_of_a_fault_is_a_setting_that_a_launch_takes(client: TestClient, looking: Looking, dataset_id: str) -> None:
    assert client.post("/api/v1/runs", json=wanted(dataset_id, settings=FAULT.fixes[0].settings)).status_code == 201
    assert looking.asked[0]["chat_template"] == "plain"


@pytest.mark.parametrize(
    "answer",
    [found(FAULT.model_copy(update={"blocking": False})), Unavailable("Nobody is there."), Invalid("No tokenizer.", code="unknown_model")],
)
def test_a_launch_goes_on_when_nothing_is_wrong_or_nobody_can_tell(
    client: TestClient, looking: Looking, dataset_id: str, answer: Preflight | Exception
) -> None:
    looking.answer = answer
    assert client.post("/api/v1/runs", json=wanted(dataset_id)).status_code == 201
    assert len(looking.asked) == 1


def test_without_an_inference_server_a_launch_goes_on(client: TestClient, dataset_id: str) -> None:
    assert client.post("/api/v1/runs", json=wanted(dataset_id)).status_code == 201


def test_a_clone_is_looked_at_as_well(client: TestClient, looking: Looking, dataset_id: str) -> None:
    run = client.post("/api/v1/runs", json=wanted(dataset_id)).json()["id"]
    client.post(f"/api/v1/runs/{run}/cancel")
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    studio.preflights._kept.clear()
    looking.answer = found(FAULT)
    answer = client.post(f"/api/v1/runs/{run}/clone", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "preflight_failed")


@pytest.mark.parametrize(
    "asked",
    [
        lambda client, dataset, _: client.post("/api/v1/runs", json=wanted(dataset)),
        lambda client, _, run: client.post(f"/api/v1/runs/{run}/clone", json={}),
        lambda client, dataset, _: client.post(f"/api/v1/datasets/{dataset}/preflight", json={"base_model": STARTER}),
        lambda client, dataset, _: client.post("/runs", data=wanted(dataset), follow_redirects=False),
        lambda client, _, run: client.post(f"/runs/{run}/clone", follow_redirects=False),
        lambda client, dataset, _: client.get("/runs/new", params=wanted(dataset, look=1)),
        lambda client, dataset, _: client.get(f"/datasets/{dataset}/preflight", params={"look": 1}),
    ],
)
def test_while_rows_are_looked_at_others_can_write(
    client: TestClient, studio: Studio, owner: Identity, looking: Looking, dataset_id: str, asked: Callable[..., Response]
) -> None:
    run = add_run(studio.engine, owner, dataset_id, spec={"settings": {}})

    def rename() -> None:
        with unit_of_work(studio.engine) as session:
            session.get_one(Run, run).name = "meanwhile"

    looking.meanwhile = rename
    answer = asked(client, dataset_id, run)
    assert answer.status_code in {200, 201, 303}, answer.text
    assert len(looking.asked) == 1
    with unit_of_work(studio.engine) as session:
        assert session.get_one(Run, run).name == "meanwhile"


def test_a_base_from_the_hub_is_looked_at_once_a_run_has_fetched_it(
    studio: Studio, owner: Identity, looking: Looking, dataset_id: str, tmp_path: Path
) -> None:
    add_run(studio.engine, owner, dataset_id, base_model="org/far-away", facts={"base_dir": str(tmp_path / "gone")})
    with pytest.raises(Unavailable):
        look(studio, owner, dataset_id, "org/far-away")
    add_run(studio.engine, owner, dataset_id, base_model="org/far-away", facts={"base_dir": str(tmp_path)})
    look(studio, owner, dataset_id, "org/far-away")
    assert [asked["base_dir"] for asked in looking.asked] == [str(tmp_path)]


def test_a_row_that_would_take_all_the_time_is_not_looked_at(studio: Studio, owner: Identity, looking: Looking, dataset_id: str) -> None:
    rows = made(20)
    rows[5] = rows[5].model_copy(update={"messages": [Message(role="text", content="ä" * 600_000)]})
    store: Any = Stored(rows)
    studio.preflights.storage = store
    look(studio, owner, dataset_id)
    assert 6 not in [row["number"] for row in looking.asked[0]["rows"]]
    assert looking.asked[0]["total_rows"] == 16
