"""Models of the Hub, downloads and keys over REST, against a stand-in for the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.config import PROJECT_ROOT, Settings
from app.db import AuditEntry, Download, Project
from app.db.session import reading, unit_of_work
from app.domain.runs import RunStatus
from app.domain.specs import STARTER
from app.main import create_app
from app.services.accounts import Accounts, Identity
from app.services.studio import Studio
from tests.databases import add_dataset, add_run
from tests.hub_server import COMMIT, HubServer, hub

REPO = "acme/small"
STARTER_FOLDER = PROJECT_ROOT / "models" / STARTER
TOKEN, KEY = "hf_canary_right_9f3c", "sk-canary-of-a-key-77aa"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded" / "config.json").write_text('{"model_type": "x", "auto_map": {"AutoModel": "a.B"}}')
    (tmp_path / "coded" / "model.safetensors").write_text("x")
    with hub({REPO: STARTER_FOLDER, "acme/coded": tmp_path / "coded"}) as started:
        started.token = TOKEN
        started.models = {REPO: {"tags": ["safetensors", "license:apache-2.0"], "pipeline_tag": "text-generation", "downloads": 3}}
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield started


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path, server: HubServer) -> Iterator[TestClient]:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    studio: Studio = app.state.studio
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {key}"})
    studio.engine.dispose()


@pytest.fixture
def studio(client: TestClient) -> Studio:
    found: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return found


def owner(studio: Studio) -> Identity:
    with unit_of_work(studio.engine) as session:
        return Accounts(session).ensure_owner()


def test_a_search_tells_of_models_and_who_was_asked(client: TestClient, studio: Studio) -> None:
    found = client.get("/api/v1/hub/models", params={"text": "small"})
    assert (found.status_code, found.json()["cursor"]) == (200, None)
    [model] = found.json()["data"]
    assert (model["id"], model["licence"], model["downloads"], model["parameters"]) == (REPO, "apache-2.0", 3, None)
    with reading(studio.engine) as session:
        [entry] = session.scalars(select(AuditEntry).where(AuditEntry.action == "outside.contacted"))
    assert entry.details == {"hosts": ["127.0.0.1"], "why": "a search for base models"}


def test_a_look_says_what_would_come_and_what_stands_against_it(client: TestClient) -> None:
    good = client.get(f"/api/v1/hub/models/{REPO}").json()
    assert (good["commit"], good["may_be_fetched"]) == (COMMIT, True)
    assert good["size"] == sum(file["size"] for file in good["files"]) > 0
    bad = client.get("/api/v1/hub/models/acme/coded").json()
    assert (bad["may_be_fetched"], bad["findings"][0]["level"], bad["findings"][0]["code"]) == (False, "stop", "remote_code")
    assert client.get("/api/v1/hub/models/acme/none").json()["error"]["code"] == "unknown_model"
    assert client.get("/api/v1/hub/models/none").status_code == 422


def test_a_look_measures_a_model_and_says_what_that_means_here(client: TestClient, server: HubServer) -> None:
    good = client.get(f"/api/v1/hub/models/{REPO}").json()
    config = json.loads((STARTER_FOLDER / "config.json").read_text())
    measures, quote = good["measures"], good["estimate"]
    assert (measures["parameters"], measures["context"]) == (7_212_288, config["max_position_embeddings"])
    assert (measures["takes_four_bits"], measures["exact"], measures["quantised"]) == (True, True, "")
    assert {name: fit["verdict"] for name, fit in good["here"].items()} == dict.fromkeys(("qlora", "lora", "answers"), "unknown")
    assert (quote["model"], quote["parameters"], quote["work"]["rows"]) == (REPO, 7_212_288, 1000)
    assert len(quote["assumptions"]) == 2
    assert [device["cost"] for device in quote["devices"] if device["fits"] == "yes"]
    asked = client.get("/api/v1/estimates", params={"base_model": "hone-starter"}).json()
    assert [device["seconds"] for device in quote["devices"]] == [device["seconds"] for device in asked["devices"]]


def test_what_cannot_be_measured_or_must_not_come_is_not_priced(client: TestClient, server: HubServer, tmp_path: Path) -> None:
    coded = client.get("/api/v1/hub/models/acme/coded").json()
    assert (coded["measures"], coded["here"], coded["estimate"]) == (None, None, None)
    shutil.copytree(STARTER_FOLDER, tmp_path / "quantised")
    config = json.loads((STARTER_FOLDER / "config.json").read_text())
    (tmp_path / "quantised" / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    server.repos["acme/quantised"] = tmp_path / "quantised"
    told = client.get("/api/v1/hub/models/acme/quantised").json()
    assert (told["measures"]["quantised"], told["here"]["lora"]["verdict"], told["estimate"]) == ("gptq", "no", None)
    server.gated.add(REPO)
    closed = client.get(f"/api/v1/hub/models/{REPO}").json()
    assert (closed["measures"], closed["measures_of"], closed["here"], closed["estimate"]) == (None, None, None, None)


def test_a_gated_model_that_the_catalogue_has_measured_measures_that(client: TestClient, server: HubServer) -> None:
    gated = "meta-llama/Llama-3.2-3B-Instruct"
    server.repos[gated] = STARTER_FOLDER
    assert client.get(f"/api/v1/hub/models/{gated}").json()["measures_of"] is None
    server.gated.add(gated)
    told = client.get(f"/api/v1/hub/models/{gated}").json()
    assert (told["measures_of"], told["measures"]["parameters"]) == ("llama-3.2-3b-instruct", 3_212_749_824)
    assert (told["here"], told["estimate"]) == (None, None)


@pytest.mark.parametrize("odd", [{"model_type": "x\ud800y"}, {"quantization_config": {"quant_method": "\ud800"}}], ids=ascii)
def test_odd_text_in_a_config_breaks_no_answer(client: TestClient, server: HubServer, tmp_path: Path, odd: dict[str, object]) -> None:
    shutil.copytree(STARTER_FOLDER, tmp_path / "odd")
    config = json.loads((STARTER_FOLDER / "config.json").read_text())
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config | odd))
    server.repos["acme/odd"] = tmp_path / "odd"
    measures = client.get("/api/v1/hub/models/acme/odd").json()["measures"]
    assert measures is None or measures["quantised"] == "no method named"
    assert client.post("/api/v1/downloads", json={"repo": "acme/odd"}).status_code == 201
    told = client.get("/api/v1/estimates", params={"base_model": "acme/odd"})
    assert told.status_code == (422 if measures is None else 200)


def test_an_estimate_of_a_model_on_its_way_is_that_of_the_look(client: TestClient) -> None:
    before = client.get("/api/v1/estimates", params={"base_model": REPO})
    assert before.json()["error"]["code"] == "unknown_model"
    client.post("/api/v1/downloads", json={"repo": REPO})
    told = client.get("/api/v1/estimates", params={"base_model": REPO}).json()
    assert told["devices"] == client.get(f"/api/v1/hub/models/{REPO}").json()["estimate"]["devices"]


def test_without_the_hub_a_search_says_so_and_the_rest_goes_on(client: TestClient, server: HubServer) -> None:
    server.busy = ["70"]
    busy = client.get("/api/v1/hub/models")
    assert (busy.status_code, busy.json()["error"]["code"]) == (503, "hub_busy")
    assert "70 s" in busy.json()["error"]["message"]
    server.shutdown()
    server.server_close()
    away = client.get("/api/v1/hub/models")
    assert (away.status_code, away.json()["error"]["code"]) == (503, "hub_unreachable")
    assert client.get("/api/v1/downloads").status_code == 200


def test_offline_nobody_is_asked_or_noted(client: TestClient, studio: Studio, server: HubServer) -> None:
    studio.hub.is_offline = True  # type: ignore[misc]
    refused = client.get("/api/v1/hub/models")
    assert (refused.status_code, refused.json()["error"]["code"], server.asked) == (503, "offline", [])
    with reading(studio.engine) as session:
        assert list(session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("outside%")))) == []


def test_a_download_is_begun_once_shown_called_off_and_forgotten(client: TestClient) -> None:
    made = client.post("/api/v1/downloads", json={"repo": REPO})
    assert (made.status_code, made.json()["status"], made.json()["revision"]) == (201, "queued", COMMIT)
    again = client.post("/api/v1/downloads", json={"repo": REPO})
    assert again.json()["id"] == made.json()["id"]
    address = f"/api/v1/downloads/{made.json()['id']}"
    assert client.get(address).json()["licence"] == "apache-2.0"
    assert client.delete(address).json()["error"]["code"] == "illegal_state"
    assert client.post(f"{address}/cancel").json()["status"] == "cancelled"
    assert client.post(f"{address}/cancel").status_code == 409
    assert client.delete(address).status_code == 204
    assert client.get("/api/v1/downloads").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize(("repo", "code"), [("acme/coded", "remote_code"), ("../x", "unknown_model"), ("acme/none", "unknown_model")])
def test_what_must_not_come_is_refused_before_anything_is_fetched(client: TestClient, repo: str, code: str) -> None:
    refused = client.post("/api/v1/downloads", json={"repo": repo})
    assert refused.status_code in {404, 422}
    assert refused.json()["error"]["code"] == code
    assert client.get("/api/v1/downloads").json()["data"] == []


def test_a_gated_model_wants_a_token_and_comes_with_it(client: TestClient, server: HubServer) -> None:
    server.gated.add(REPO)
    refused = client.post("/api/v1/downloads", json={"repo": REPO}).json()["error"]
    assert (refused["code"], "under Settings" in refused["message"]) == ("gated_model", True)
    assert client.put("/api/v1/connections/hub", json={"token": TOKEN}).json()["hint"] == "9f3c"
    assert client.post("/api/v1/downloads", json={"repo": REPO}).status_code == 201


def test_a_disk_that_is_too_small_is_said_in_numbers(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateways.fetched_bases.FetchedBases.free_bytes", lambda _: 100)
    refused = client.post("/api/v1/downloads", json={"repo": REPO})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "disk_full")
    assert "100 B are free where models lie" in refused.json()["error"]["message"]


def test_a_model_that_a_run_needs_stays(client: TestClient, studio: Studio) -> None:
    download_id = client.post("/api/v1/downloads", json={"repo": REPO}).json()["id"]
    by = owner(studio)
    shutil.copytree(STARTER_FOLDER, studio.bases.fetched.place(REPO, COMMIT))  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        session.execute(update(Download).values(status=RunStatus.SUCCEEDED))
    run = add_run(studio.engine, by, add_dataset(studio.engine, by), base_model=REPO, name="long one")
    refused = client.delete(f"/api/v1/downloads/{download_id}")
    assert (refused.status_code, "The run long one trains from acme/small" in refused.json()["error"]["message"]) == (409, True)
    assert client.post(f"/api/v1/runs/{run}/cancel").status_code == 200
    assert client.delete(f"/api/v1/downloads/{download_id}").status_code == 204
    assert not studio.fetched.has(REPO, COMMIT)


def test_a_stranger_finds_nothing(client: TestClient, studio: Studio) -> None:
    with unit_of_work(studio.engine) as session:
        project = Project(name="theirs")
        session.add(project)
        session.flush()
        theirs = Download(project_id=project.id, queue="cpu", repo=REPO)
        session.add(theirs)
        session.flush()
        address = f"/api/v1/downloads/{theirs.id}"
    assert [client.get(address).status_code, client.post(f"{address}/cancel").status_code, client.delete(address).status_code] == [404] * 3
    assert client.get("/api/v1/downloads").json()["data"] == []


def test_keys_go_in_and_never_come_out(client: TestClient) -> None:
    assert client.get("/api/v1/connections/hub").json()["stored"] is False
    answers = [client.put("/api/v1/connections/hub", json={"token": TOKEN})]
    wanted = {"name": "the large one", "url": "https://api.example.com/v1/", "model": "large", "key": KEY}
    made = client.post("/api/v1/connections/models", json=wanted)
    assert (made.status_code, made.json()["url"], made.json()["hint"]) == (201, "https://api.example.com/v1", "77aa")
    answers += [made, client.get("/api/v1/connections/models"), client.get("/api/v1/connections/hub")]
    answers += [client.post("/api/v1/connections/models", json=wanted | {"key": f"{KEY} with spaces"})]
    answers += [client.put("/api/v1/connections/hub", json={"token": f"{TOKEN} x"})]
    assert [answer.status_code for answer in answers[-2:]] == [422, 422]
    assert not [answer.text for answer in answers if "canary" in answer.text]
    assert client.delete(f"/api/v1/connections/models/{made.json()['id']}").status_code == 204
    assert client.delete("/api/v1/connections/hub").status_code == 204
    assert client.get("/api/v1/connections/hub").json()["hint"] == ""


def test_where_clouds_tell_their_secrets_no_model_answers(client: TestClient) -> None:
    refused = client.post("/api/v1/connections/models", json={"name": "x", "url": "http://169.254.169.254/v1", "model": "m"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unusable_address")
