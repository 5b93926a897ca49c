"""Hone under a sub-path: nothing on any page, and no answer, leads outside of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import OWN_PATHS, Settings
from app.db.session import unit_of_work
from app.services.accounts import Accounts
from app.web.root import UnderRoot
from tests.web.conftest import LOOPBACK
from tests.web.walk import all_pages, part
from tools.sample_project import Sample

ROOT = "/hone"
ATTRIBUTES = r"""(?:href|src|action|formaction|hx-(?:get|post|put|patch|delete)|hx-sse:connect|hx-push-url|data-own-address)"""
WRITTEN = re.compile(rf"""\b({ATTRIBUTES}=(["'])(?:(?!\2).)+)""")
OTHERS = r"\{\{ (?:model\.licence\.url|model\.address|endpoint) \}\}"
"""What holds an address outside, whole: a licence's text, a collection, the Hub."""
WITH_ROOT = re.compile(
    r"""[\w:-]+=["'](\{% if [\w.]+\.startswith\('/'\) %\}\{\{ root \}\}|\{\{ root \}\}|\{\{ asset\(|#|https://|true$|false$|"""
    rf"{OTHERS})"
)
DRAWN = re.compile(rf"""\s{ATTRIBUTES}="([^"]*)""")


class Stripping:
    """A proxy that takes the prefix off, and knows nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on under its shorter path."""
        if scope["type"] == "http":
            assert scope["path"].startswith(f"{ROOT}/"), f"{scope['path']} is outside of the studio"
            scope = {**scope, "path": scope["path"].removeprefix(ROOT)}
        await self.app(scope, receive, send)


@pytest.fixture
def under(make_app: Callable[..., FastAPI]) -> FastAPI:
    """A studio under a sub-path."""
    return make_app(root_path=ROOT)


@pytest.fixture(params=["stripped", "passed on", "told by the server"])
def guest(request: pytest.FixtureRequest, under: FastAPI) -> Iterator[TestClient]:
    """A browser behind each kind of proxy."""
    told = ROOT if request.param == "told by the server" else ""
    served = Stripping(under) if request.param == "stripped" else under
    with TestClient(served, LOOPBACK, root_path=told, follow_redirects=False) as client:
        yield client


def bare_addresses(template: str) -> list[str]:
    """Return the attributes of a template whose address is written without its root."""
    return [found for found, _ in WRITTEN.findall(template) if not WITH_ROOT.match(found)]


def test_every_address_in_a_template_is_written_with_its_root(root: Path) -> None:
    for template in (root / "templates").rglob("*.html"):
        assert bare_addresses(template.read_text(encoding="utf-8")) == [], template


@pytest.mark.parametrize(
    "planted", ['<a href="/runs">', '<a href="{{ here }}/log">', "<form action='/runs'>", '<a hx-get="/runs" href="#x">']
)
def test_an_address_written_without_its_root_is_found(planted: str) -> None:
    assert len(bare_addresses(planted)) == 1


def test_every_script_asks_with_the_root(root: Path) -> None:
    for script in (root / "static" / "js").glob("*.js"):
        assert not re.search(r"""(?<!endsWith\()["'`]/[a-z]""", script.read_text(encoding="utf-8")), script


def leading_outside(text: str) -> list[str]:
    """Return the addresses on a page that leave the sub-path, or enter it twice."""
    found = [unescape(address) for address in DRAWN.findall(text)]
    return [address for address in found if not re.match(rf"{ROOT}(?!{ROOT})/|{ROOT}$|#|https://|true$", address)]


def test_no_page_leads_outside(guest: TestClient, sample: Sample) -> None:
    for address in [*all_pages(sample), "/docs", "/signin", "/nowhere"]:
        text = guest.get(ROOT + address).text
        assert text.startswith("<!doctype html>"), address
        assert leading_outside(text) == [], address
        assert f'data-root="{ROOT}"' in text


def test_no_fragment_leads_outside(guest: TestClient, under: FastAPI, sample: Sample) -> None:
    for address, template in all_pages(sample).items():
        for block in under.state.web.pages.environment.get_template(template).blocks:
            answer = guest.get(ROOT + address, headers=part(block))
            assert answer.status_code == 200, (address, block)
            assert leading_outside(answer.text) == [], (address, block)


def test_every_file_a_page_names_is_there(guest: TestClient) -> None:
    for name in re.findall(rf'"({ROOT}/static/(?!vendor)[^"#]+)', guest.get(f"{ROOT}/runs").text):
        assert guest.get(name).status_code == 200, name


def test_whoever_acts_stays_inside(guest: TestClient, sample: Sample) -> None:
    run = f"{ROOT}/runs/{sample.runs['running']}"
    assert guest.post(f"{run}/pause").headers["location"] == run
    sent_on = guest.post(f"{ROOT}/datasets/{sample.datasets['ready']}/delete", headers=part("dataset_now"))
    assert sent_on.headers["HX-Redirect"] == f"{ROOT}/datasets" if sent_on.status_code == 204 else sent_on.status_code == 409
    assert guest.get(f"{ROOT}/runs/").headers["location"] == f"{LOOPBACK}{ROOT}/runs"


def test_an_address_elsewhere_stays_as_it_is() -> None:
    edge = UnderRoot(FastAPI(), ROOT)
    assert edge.before("/runs?after=1", "studio.example") == "/hone/runs?after=1"
    assert edge.before("http://studio.example/runs", "studio.example") == "http://studio.example/hone/runs"
    for address in ("https://elsewhere.example/runs", "//elsewhere.example/runs", "#notice", "true"):
        assert edge.before(address, "studio.example") == address


@pytest.mark.parametrize("headers", [{}, part("runs_table") | {"HX-Current-URL": f"http://studio.example{ROOT}/runs?after=7"}])
def test_a_stranger_signs_in_and_comes_back_to_the_page(make_app: Callable[..., FastAPI], headers: dict[str, str]) -> None:
    app = make_app(root_path=ROOT, host="0.0.0.0")  # noqa: S104
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "somebody")
    with TestClient(app, "http://studio.example", follow_redirects=False) as stranger:
        refused = stranger.get(f"{ROOT}/runs?after=7", headers=headers).headers
        assert (refused.get("location") or refused["HX-Redirect"]) == f"{ROOT}/signin?next=/runs%3Fafter%3D7"
        came = stranger.post(f"{ROOT}/signin", data={"key": key, "next": "/runs?after=7"})
        assert came.headers["location"] == f"{ROOT}/runs?after=7"
        assert came.headers["set-cookie"].startswith("hone_session.hone=")
        assert stranger.get(f"{ROOT}/runs").status_code == 200
        assert stranger.get(f"{ROOT}/api/v1/runs").status_code == 200


def test_the_api_says_where_it_is(guest: TestClient) -> None:
    described = guest.get(f"{ROOT}/openapi.json").json()
    assert [server["url"] for server in described["servers"]] == [ROOT]
    assert guest.get(f"{ROOT}/api/v1/runs").json()["error"]["code"]
    assert guest.get(f"{ROOT}/livez").json() == {"status": "ok"}


def test_a_studio_at_the_top_says_nothing_of_servers(browser: TestClient) -> None:
    assert "servers" not in browser.get("/openapi.json").json()


@pytest.mark.parametrize("root", ["hone", "/hone/", "/", "//hone", "/ho ne", "/hone?x", "/../x", "/runs", "/api/x"])
def test_a_root_that_is_no_plain_path_is_refused(root: str) -> None:
    with pytest.raises(ValidationError, match="root_path"):
        Settings(root_path=root)


def test_every_address_of_ours_is_known_as_such(app: FastAPI) -> None:
    firsts = {str(route.path).split("/")[1] for route in iter_route_contexts(app.routes)}
    assert firsts - {""} <= OWN_PATHS
