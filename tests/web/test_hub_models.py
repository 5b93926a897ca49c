"""Searching the Hub on a page, looking at a model, and downloads with and without scripts; a stand-in answers for the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.config import PROJECT_ROOT
from app.db import AuditEntry, Download
from app.db.session import reading, unit_of_work
from app.domain.runs import RunStatus
from app.domain.specs import STARTER
from app.services.studio import Studio
from tests.hub_server import COMMIT, HubServer, hub
from tests.web.conftest import LOOPBACK
from tests.web.devices import add_gpu
from tests.web.walk import part

REPO = "acme/small"
BOTH = pytest.mark.parametrize("fragment", [False, True], ids=["without htmx", "with htmx"])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded" / "config.json").write_text('{"model_type": "x", "auto_map": {"AutoModel": "a.B"}}')
    (tmp_path / "coded" / "model.safetensors").write_text("x")
    with hub({REPO: PROJECT_ROOT / "models" / STARTER, "lab/coded": tmp_path / "coded"}) as started:
        for repo in started.repos:
            started.models[repo] = {"tags": ["safetensors", "license:apache-2.0"], "downloads": 1200, "safetensors": {"total": 3_000_000}}
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield started


@pytest.fixture
def browser(server: HubServer, make_app: Callable[..., FastAPI]) -> TestClient:
    app = make_app()
    assert app.state.studio.hub.endpoint == server.address
    return TestClient(app, base_url=LOOPBACK, follow_redirects=False)


@pytest.fixture
def studio(browser: TestClient) -> Studio:
    found: Studio = browser.app.state.studio  # type: ignore[attr-defined]
    return found


def test_the_page_asks_nobody_until_somebody_searches(browser: TestClient, server: HubServer, studio: Studio) -> None:
    page = browser.get("/models/hub")
    assert (page.status_code, "Nothing was asked yet" in page.text, server.asked) == (200, True, [])
    with reading(studio.engine) as session:
        assert not list(session.scalars(select(AuditEntry).where(AuditEntry.action.like("outside%"))))


@BOTH
def test_a_search_lists_models_with_what_decides(browser: TestClient, server: HubServer, fragment: bool) -> None:  # noqa: FBT001 - two ways
    server.gated.add("lab/coded")
    answer = browser.get("/models/hub?q=&size=&task=&licence=&sort=downloads", headers=part("hub-results") if fragment else {})
    assert answer.status_code == 200
    for words in ("3 million", "apache-2.0", "1,200", "gated", "/models/hub/look?repo=acme%2Fsmall"):
        assert words in answer.text, words
    assert ("<h1>" in answer.text) is not fragment


@BOTH
def test_a_hub_that_is_away_is_told_in_words_and_the_rest_is_there(browser: TestClient, server: HubServer, fragment: bool) -> None:  # noqa: FBT001 - two ways
    server.busy = ["55"]
    busy = browser.get("/models/hub?q=small", headers=part("hub-results") if fragment else {})
    assert (busy.status_code, "Try again in 55 s" in busy.text) == (200, True)
    server.shutdown()
    server.server_close()
    away = browser.get("/models/hub?q=small")
    assert "cannot be asked just now" in away.text
    assert "work without the Hub" in away.text
    assert browser.get("/models").status_code == 200


def test_an_offline_studio_says_what_works(browser: TestClient, server: HubServer, studio: Studio) -> None:
    studio.hub.is_offline = True  # type: ignore[misc]
    page = browser.get("/models/hub?q=small").text
    assert "This studio is offline (HF_HUB_OFFLINE is set)" in page
    assert server.asked == []


def test_a_model_is_looked_at_before_it_is_fetched(browser: TestClient, server: HubServer) -> None:
    page = browser.get(f"/models/hub/look?repo={REPO}")
    assert page.status_code == 200
    for words in ("model.<wbr>safetensors", COMMIT[:12], "Download ", "What the scan found"):
        assert words in page.text, words
    bad = browser.get("/models/hub/look?repo=lab/coded").text
    assert "wants to run code of its own" in bad
    assert 'action="/models/hub/download"' not in bad
    server.gated.add(REPO)
    assert "Ask for access at" in browser.get(f"/models/hub/look?repo={REPO}").text


def test_a_model_is_measured_before_it_is_fetched(browser: TestClient, server: HubServer, studio: Studio) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    page = browser.get(f"/models/hub/look?repo={REPO}").text
    for words in (
        "all of them: 7,212,288; the Hub counts 3,000,000", "QLoRA can hold 100 % so", "NVIDIA L4 has 24.0 GB",
        "Where it could run", "A sample run stands for yours: 1,000 examples are seen 6 times", "Memory at each precision",
    ):  # fmt: skip
        assert words in page, words
    assert 'href="/precision?params=7212288"' in page
    server.models[REPO]["safetensors"] = {"total": 7_212_288}
    assert "the Hub counts as many" in browser.get(f"/models/hub/look?repo={REPO}").text
    assert browser.get("/precision?params=7212288").status_code == 200


def test_what_nobody_here_can_measure_is_said_and_what_is_stopped_is_not_priced(browser: TestClient, server: HubServer) -> None:
    coded = browser.get("/models/hub/look?repo=lab/coded").text
    assert "says nothing that it could be measured by, so nobody here can say whether it trains here" in coded
    assert "as the Hub counts them" in coded
    server.gated.add(REPO)
    closed = browser.get(f"/models/hub/look?repo={REPO}").text
    assert "Its config.json could not be read, so nobody here can say" in closed
    for page in (coded, closed):
        assert "Fits here" not in page
        assert "Where it could run" not in page


def test_a_gated_model_that_the_catalogue_has_measured_measures_that(browser: TestClient, server: HubServer) -> None:
    gated = "meta-llama/Llama-3.2-3B-Instruct"
    server.repos[gated] = server.repos[REPO]
    server.gated.add(gated)
    page = browser.get(f"/models/hub/look?repo={gated}").text
    assert 'measures what the catalogue says. Whether it trains here stands on <a href="/models/llama-3.2-3b-instruct">' in page
    assert "all of them: 3,212,749,824" in page
    assert "nobody here can say" not in page


def test_a_model_that_answers_alone_is_no_base_and_has_no_price(browser: TestClient, server: HubServer, tmp_path: Path) -> None:
    shutil.copytree(server.repos[REPO], tmp_path / "quantised")
    config = json.loads((server.repos[REPO] / "config.json").read_text())
    (tmp_path / "quantised" / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    server.repos["lab/quantised"] = tmp_path / "quantised"
    page = browser.get("/models/hub/look?repo=lab/quantised").text
    for words in ("Not for training", "it is stored quantised already", "Take the model that it was made from."):
        assert words in page, words
    assert "Where it could run" not in page


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "it is stored quantised already; LoRA unpacks it"),
        (
            {"model_type": "mixtral", "hidden_size": 1024, "intermediate_size": 350, "num_attention_heads": 8, "num_key_value_heads": 8,
             "head_dim": 128, "num_local_experts": 1, "num_experts_per_tok": 1},
            "of its layers&#39; matrices QLoRA can hold 79 % so",
        ),
    ],
    ids=["unpacked", "0.4 % too little"],
)  # fmt: skip
def test_that_four_bits_are_not_possible_says_why(
    browser: TestClient, server: HubServer, tmp_path: Path, said: dict[str, object], words: str
) -> None:
    shutil.copytree(server.repos[REPO], tmp_path / "other")
    config = json.loads((server.repos[REPO] / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | said))
    server.repos["lab/other"] = tmp_path / "other"
    page = browser.get("/models/hub/look?repo=lab/other").text
    assert "not possible" in page
    assert words in page


@pytest.mark.parametrize("repo", ["acme/none", "no name", "<script>alert(1)</script>"])
def test_what_the_hub_does_not_know_is_said(browser: TestClient, repo: str) -> None:
    page = browser.get("/models/hub/look", params={"repo": repo})
    assert page.status_code in {404, 422}
    assert 'role="alert"' in page.text
    assert "<script>alert" not in page.text


@BOTH
def test_a_download_is_begun_called_off_and_deleted(browser: TestClient, studio: Studio, fragment: bool) -> None:  # noqa: FBT001 - two ways
    headers = part("downloads") if fragment else {}
    begun = browser.post("/models/hub/download", data={"repo": REPO, "revision": COMMIT}, headers=headers)
    where = begun.headers["HX-Redirect"] if fragment else begun.headers["Location"]
    assert where == "/models/hub#downloads"
    page = browser.get("/models/hub").text
    assert "Waiting" in page
    assert "<progress" in page
    with reading(studio.engine) as session:
        [download] = session.scalars(select(Download))
    look = f"/models/hub/look?repo={REPO}"
    assert "It is on its way here, at this very commit" in browser.get(look).text
    assert 'action="/models/hub/download"' not in browser.get(look).text
    address = f"/models/hub/downloads/{download.id}"
    for action, words in {"cancel": "Cancelled", "delete": "Nothing was fetched yet"}.items():
        answer = browser.post(f"{address}/{action}", headers=headers)
        assert answer.status_code == (200 if fragment else 303)
        assert words in (answer.text if fragment else browser.get("/models/hub").text), action
    assert 'action="/models/hub/download"' in browser.get(look).text


def test_what_forbids_a_download_stands_on_the_model_s_page(
    browser: TestClient, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = browser.post("/models/hub/download", data={"repo": "lab/coded"})
    assert (refused.status_code, "wants to run code of its own" in refused.text) == (422, True)
    monkeypatch.setattr("app.gateways.fetched_bases.FetchedBases.free_bytes", lambda _: 1000)
    full = browser.post("/models/hub/download", data={"repo": REPO})
    assert (full.status_code, "are free where models lie" in full.text) == (503, True)
    server.busy = ["55"]
    assert "Try again in 55 s" in browser.post("/models/hub/download", data={"repo": REPO}).text


def test_one_that_broke_off_says_why_and_can_go_on(browser: TestClient, studio: Studio) -> None:
    browser.post("/models/hub/download", data={"repo": REPO})
    with unit_of_work(studio.engine) as session:
        session.execute(update(Download).values(status=RunStatus.FAILED, reason="The connection broke <b>often</b>."))
    page = browser.get("/models/hub").text
    assert "The connection broke &lt;b&gt;often&lt;/b&gt;." in page
    assert "Broke off" in page
    assert "Go on" in page
    assert "Waiting" not in page


@pytest.mark.parametrize("address", ["/models/hub", f"/models/hub/look?repo={REPO}"])
def test_a_stranger_is_sent_to_sign_in(stranger: TestClient, address: str) -> None:
    assert stranger.get(address).headers["Location"].startswith("/signin")


def test_refetching_the_downloads_does_not_ask_the_hub(browser: TestClient, server: HubServer) -> None:
    answer = browser.get("/models/hub?q=small", headers=part("downloads"))
    assert (answer.status_code, server.asked) == (200, [])
