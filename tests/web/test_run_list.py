"""Finding runs and deleting them, with scripts and without."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.db import Run, User
from app.db.session import reading, unit_of_work
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample

NAMES = {
    "done": "emails-balanced",
    "failed": "emails-wide",
    "paused": "emails-slow",
    "running": "emails-long",
    "queued": "emails-qlora",
    "cancelled": "typo",
}


def listed(page: str) -> set[str]:
    """Return which runs a page lists."""
    return {name for name, called in NAMES.items() if re.search(rf'">{called}</a>', page)}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/runs", set(NAMES)),
        ("/runs?status=waiting", {"paused", "queued"}),
        ("/runs?status=failed&status=active", {"failed", "running"}),
        ("/runs?tag=nightly&tag=rank", {"failed"}),
        ("/runs?q=WIDE", {"failed"}),
        ("/runs?q=larger+rank", {"done"}),
        ("/runs?owner=owner&status=succeeded&q=&base_model=", {"done"}),
        ("/runs?base_model=elsewhere", set()),
    ],
)
def test_filters_stand_in_the_address(browser: TestClient, address: str, shown: set[str]) -> None:
    assert listed(browser.get(address).text) == shown


def test_chips_say_how_many_there_would_be_and_keep_the_other_filters(browser: TestClient) -> None:
    page = browser.get("/runs?tag=nightly&q=emails").text
    assert 'href="/runs?status=failed&amp;tag=nightly&amp;q=emails"' in page
    assert re.search(r'href="/runs\?tag=nightly&amp;q=emails" aria-current="true"[^>]*>All <span class="num">3</span>', page)
    assert re.search(r'href="/runs\?q=emails" aria-current="true"[^>]*>nightly', page)
    assert "Waiting" not in page.split('aria-label="By state"')[1].split("</nav>")[0]


def test_a_chosen_state_is_left_by_its_chip(browser: TestClient) -> None:
    page = browser.get("/runs?status=failed&status=waiting").text
    assert re.search(r'href="/runs\?status=waiting" aria-current="true"[^>]*>Failed', page)


def test_a_paused_run_says_what_it_waits_for(browser: TestClient) -> None:
    assert "Paused at step 40: it goes on when somebody resumes it." in browser.get("/runs").text


def test_an_empty_list_says_which_filter_hides_what(browser: TestClient) -> None:
    page = browser.get("/runs?q=nobody&tag=nightly&status=failed").text
    assert "No run is like that" in page
    told = re.findall(r'<li><span>(.*?)</span><span class="num">(.*?)</span><a class="btn" href="(.*?)"', page)
    assert told == [
        ("without the state Failed", "0 runs", "/runs?tag=nightly&amp;q=nobody"),
        ("without the tag nightly", "0 runs", "/runs?status=failed&amp;q=nobody"),
        ("without the words “nobody”", "1 run", "/runs?status=failed&amp;tag=nightly"),
    ]


def test_a_project_without_runs_has_nothing_to_filter(empty: TestClient) -> None:
    page = empty.get("/runs").text
    assert "No runs yet" in page
    assert "run-filters" not in page


def test_typing_fetches_the_table_with_its_chips_and_shortens_the_address(browser: TestClient) -> None:
    headers = part("runs_table") | {"HX-Source": "form#run-filters"}
    answer = browser.get("/runs", params={"q": "wide", "owner": "", "status": "failed"}, headers=headers)
    assert answer.headers["HX-Replace-Url"] == "/runs?status=failed&q=wide"
    assert "<!doctype" not in answer.text
    assert 'id="runs-chips" class="chip-lines" hx-swap-oob="outerMorph"' in answer.text
    # The doorbell now asks for what is shown.
    assert 'id="runs-refetch" hx-swap-oob="outerMorph"' in answer.text
    assert 'hx-get="/runs?status=failed&amp;q=wide" hx-target="#runs-table"' in answer.text


def test_pages_keep_their_filters(browser: TestClient, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.routes.run_list.PAGE_ROWS", 1)
    page = browser.get("/runs?tag=nightly&sizes=1").text
    assert listed(page) == {"running"}
    older = re.search(r'href="(/runs\?[^"]*after=[^"]*)">Older runs', page)
    assert older
    second = browser.get(older.group(1).replace("&amp;", "&")).text
    assert listed(second) == {"failed"}
    assert 'href="/runs?tag=nightly&amp;sizes=1">Back to the newest' in second


def test_a_person_is_chosen_once_there_are_two(browser: TestClient, studio: Studio, sample: Sample) -> None:
    assert "run-owner" not in browser.get("/runs").text
    with unit_of_work(studio.engine) as session:
        ines = User(name="Ines", role="member")
        session.add(ines)
        session.flush()
        session.get_one(Run, sample.runs["paused"]).created_by = ines.id
    assert "<option>Ines</option>" in browser.get("/runs").text
    assert listed(browser.get("/runs?owner=Ines").text) == {"paused"}


def test_sizes_are_shown_when_asked_for(browser: TestClient) -> None:
    assert "On disk" not in browser.get("/runs").text
    page = browser.get("/runs?sizes=1").text
    assert "10.5 MB" in page
    assert 'href="/runs">Hide sizes' in page


@pytest.mark.parametrize("address", ["/runs?status=finished", f"/runs?q={'x' * 201}", "/runs?tag=%00"])
def test_an_address_that_makes_no_sense_is_refused_in_words(browser: TestClient, address: str) -> None:
    assert browser.get(address).status_code == 422


def test_before_anything_is_deleted_it_says_what_would_be_gone(browser: TestClient, studio: Studio, sample: Sample) -> None:
    page = browser.get("/runs/delete", params={"ids": [sample.runs["done"], sample.runs["running"]]}).text
    assert "Delete 1 run?" in page
    assert "10.5 MB: what was made 1.5 MB, checkpoints 9.0 MB, log and settings 18.2 kB" in page
    assert sample.model in page
    assert "It has not ended: it is running. Stop or cancel it first." in page
    assert f'name="ids" value="{sample.runs["running"]}"' not in page
    with reading(studio.engine) as session:
        assert session.get(Run, sample.runs["done"])


def test_one_run_is_deleted_from_its_page(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/delete?ids={sample.runs['done']}"
    assert f'href="{address}"' in browser.get(f"/runs/{sample.runs['done']}").text
    assert "/runs/delete" not in browser.get(f"/runs/{sample.runs['running']}").text
    assert "Delete “emails-balanced”?" in browser.get(address).text
    said = browser.post("/runs/delete", data={"ids": sample.runs["done"]}).text
    assert "1 run deleted" in said
    assert "What was kept" not in said
    assert browser.get(f"/runs/{sample.runs['done']}").status_code == 404
    assert "Cloned from" not in browser.get(f"/runs/{sample.runs['failed']}").text


def test_of_many_the_protected_stay_and_it_says_why(browser: TestClient, studio: Studio, sample: Sample) -> None:
    ids = [sample.runs[name] for name in ("failed", "cancelled", "paused")]
    page = browser.post("/runs/delete", data={"ids": ids}).text
    assert "2 runs deleted" in page
    assert "It has not ended: it is paused." in page
    assert listed(browser.get("/runs").text) == {"done", "paused", "running", "queued"}


def test_runs_that_are_gone_already_are_no_error(browser: TestClient) -> None:
    assert "These runs are not there any more." in browser.get("/runs/delete?ids=gone").text
    assert browser.post("/runs/delete", data={"ids": "gone"}).headers["Location"] == "/runs"


def test_another_site_deletes_nothing(browser: TestClient, studio: Studio, sample: Sample) -> None:
    answer = browser.post("/runs/delete", data={"ids": sample.runs["done"]}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    with reading(studio.engine) as session:
        assert session.get(Run, sample.runs["done"])
