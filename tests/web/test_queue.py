"""The queue on pages: moving runs, priorities, limits and holds without scripts, when runs start, and who stands still."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.db import QueueRow, Run, WorkerRow
from app.db.base import utc_now
from app.db.leases import queue_order
from app.db.session import reading, unit_of_work
from app.domain.diagnosis import DISK_FULL
from app.domain.runs import RunStatus
from app.services.studio import Studio
from app.web import words
from tests.web.test_board import section
from tests.web.walk import part
from tools.sample_project import Sample
from tools.sample_team import Team, fill_team


@pytest.fixture
def queue(studio: Studio) -> dict[str, str]:
    """Waiting runs by their names, beside the sample's one."""
    fill_team(studio, Team(running=1, waiting=3, done=0, lost_worker=False))
    with reading(studio.engine) as session:
        found = session.execute(select(Run.name, Run.id).where(Run.status == RunStatus.QUEUED))
        return {name: run_id for name, run_id in found}  # noqa: C416 - dict() of rows has no type


def order(studio: Studio) -> list[str]:
    with reading(studio.engine) as session:
        return list(session.scalars(select(Run.name).where(Run.status == RunStatus.QUEUED).order_by(*queue_order(Run))))


FIRST, SECOND, THIRD, FOURTH = "emails-qlora", "intents-next-0", "tone-next-1", "pii-next-2"


@pytest.mark.parametrize(
    ("button", "wanted"),
    [
        ("first", [THIRD, FIRST, SECOND, FOURTH]),
        ("sooner", [FIRST, THIRD, SECOND, FOURTH]),
        ("later", [FIRST, SECOND, FOURTH, THIRD]),
    ],
)
def test_buttons_move_a_run_and_lead_back_to_the_filtered_board(
    browser: TestClient, studio: Studio, queue: dict[str, str], button: str, wanted: list[str]
) -> None:
    page = unescape(browser.get("/board?group=waiting").text)
    assert 'action="/board/move?group=waiting"' in page
    assert f'<button name="{button}" value="{queue[THIRD]}"' in page
    answer = browser.post("/board/move?group=waiting", data={button: queue[THIRD]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board?group=waiting")
    assert order(studio) == wanted


def test_what_was_dragged_lands_there_and_is_told(browser: TestClient, studio: Studio, queue: dict[str, str]) -> None:
    page = browser.post("/board/move", data={"moved": queue[FOURTH], "before": queue[SECOND]}, headers=part("board_now")).text
    assert order(studio) == [FIRST, FOURTH, SECOND, THIRD]
    assert f"{FOURTH} stands at place 2 of 4 in the queue." in page
    assert page.index(f'id="waits-{queue[FOURTH]}"') < page.index(f'id="waits-{queue[SECOND]}"')
    browser.post("/board/move", data={"moved": queue[FOURTH], "after": queue[THIRD]})
    assert order(studio)[-1] == FOURTH


@pytest.mark.parametrize("fields", [{}, {"moved": "x"}, {"moved": "x", "before": "a", "after": "b"}, {"up": "x"}])
def test_a_move_that_says_nothing_is_refused(browser: TestClient, fields: dict[str, str]) -> None:
    assert browser.post("/board/move", data=fields).status_code == 422


def test_a_run_that_has_started_meanwhile_is_not_moved_and_the_board_stays(browser: TestClient, sample: Sample) -> None:
    answer = browser.post("/board/move", data={"first": sample.runs["running"]}, headers=part("board_now"))
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (409, "#notice")
    assert "Only a run that waits in the queue can be moved." in answer.text


def test_a_priority_is_set_on_the_board_and_on_the_runs_page(browser: TestClient, studio: Studio, queue: dict[str, str]) -> None:
    told = browser.post("/board/move", data={"high": queue[THIRD]}, headers=part("board_now")).text
    assert f"The priority of {THIRD} is high." in told
    assert order(studio)[0] == THIRD
    answer = browser.post(f"/runs/{queue[THIRD]}/queue", data={"priority": "low"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/runs/{queue[THIRD]}")
    assert order(studio)[-1] == THIRD
    assert '<option value="low" selected>' in browser.get(f"/runs/{queue[THIRD]}").text
    assert browser.post(f"/runs/{queue[THIRD]}/queue", data={"priority": "urgent"}).status_code == 422
    browser.post(f"/runs/{queue[THIRD]}/queue", data={"priority": "low", "first": "1"})
    assert order(studio)[0] == THIRD


def test_a_run_can_be_launched_with_a_priority(browser: TestClient, studio: Studio, sample: Sample) -> None:
    asked = {"name": "urgent", "dataset_id": sample.datasets["ready"], "priority": "high"}
    assert browser.post("/runs", data=asked).status_code == 303
    assert order(studio)[0] == "urgent"
    refused = browser.post("/runs", data=asked | {"priority": "nonsense"})
    assert refused.status_code == 422
    assert 'id="priority-error"' in refused.text
    assert "Priority" in browser.get("/runs/new?priority=nonsense").text


def test_what_takes_up_an_urgent_run_is_as_urgent_unless_it_is_changed(browser: TestClient, studio: Studio, sample: Sample) -> None:
    page = f"/runs/new?from={sample.runs['done']}"
    assert '<option value="high" selected>' not in browser.get(page).text
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["done"]).priority = 1
    assert '<option value="high" selected>' in browser.get(page).text


def test_a_queue_is_held_limited_and_released_without_scripts(browser: TestClient, studio: Studio) -> None:
    def now() -> str:
        return re.sub(r"<[^>]+>", "", section(browser.get("/board").text, "waiting"))

    assert "1 at work, no limit but the workers" in now()
    browser.post("/board/queue", data={"queue": "gpu", "slots": "2"})
    assert "1 of 2 slots taken" in now()
    answer = browser.post("/board/queue?owner=Lena", data={"queue": "gpu", "held": "1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board?owner=Lena")
    assert "The queue is held by owner" in now()
    assert "The queue is held by owner, for less than a minute" in now()
    browser.post("/board/queue", data={"queue": "gpu", "held": ""})
    browser.post("/board/queue", data={"queue": "gpu", "slots": ""})
    with reading(studio.engine) as session:
        row = session.get_one(QueueRow, "gpu")
        assert (row.held, row.slots) == (False, None)


def test_reading_files_is_on_the_board_only_when_somebody_decided_about_it(browser: TestClient) -> None:
    assert "Reading files" not in section(browser.get("/board").text, "waiting")
    browser.post("/board/queue", data={"queue": "cpu", "held": "1"})
    assert "Reading files is held by owner" in section(browser.get("/board").text, "waiting")


@pytest.mark.parametrize("fields", [{"slots": "0"}, {"slots": "many"}, {}])
def test_a_limit_is_a_number(browser: TestClient, fields: dict[str, str]) -> None:
    answer = browser.post("/board/queue", data={"queue": "gpu"} | fields)
    assert answer.status_code == 422
    assert "Give a whole number of slots" in answer.text


def test_pages_say_when_a_run_starts_or_why_nobody_knows(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        session.execute(update(Run).where(Run.id == sample.runs["running"]).values(base_model="org/new", step=1))
    for page in ("/board", f"/runs/{sample.runs['queued']}"):
        assert "unknown: no run of org/new has been timed yet" in browser.get(page).text
    with unit_of_work(studio.engine) as session:
        session.add(WorkerRow(host="bench", pid=9, queue="gpu", device="CPU", has_gpu=True))
    for page in ("/board", f"/runs/{sample.runs['queued']}", "/runs?status=waiting"):
        assert "within a minute</time>" in browser.get(page).text


def test_a_run_that_stands_still_says_so_beside_its_state(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).stalled_at = utc_now().timestamp() - 725
    for page in ("/board", "/runs", f"/runs/{sample.runs['running']}"):
        shown = browser.get(page).text
        assert "stalled</span>" in shown
        assert "No step for 12 min." in shown
    assert "stalled" not in browser.get("/runs?status=waiting").text


@pytest.mark.parametrize(
    ("minutes", "wanted"),
    [((0, 0.5, 3), "within a minute"), ((28, 35, 44), "in 28 to 44 min"), ((0, 5, 9), "within 9 min"), ((60, 60, 60), "in 60 min"),
     ((100, 150, 400), "in 2 to 7 h"), ((3000, 4000, 9000), "in 2 to 6 d")],
)  # fmt: skip
def test_a_start_is_told_no_more_exactly_than_it_is_known(minutes: tuple[float, float, float], wanted: str) -> None:
    now = datetime.now(UTC)
    low, most, high = (now + timedelta(minutes=each, seconds=1) for each in minutes)
    assert words.coming((low, most, high)).replace("\N{NO-BREAK SPACE}", " ").endswith(wanted)


def test_a_run_that_a_full_disk_has_paused_says_so(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["paused"]).error_code = DISK_FULL
    assert "A disk is full. Paused at step 40: it goes on when somebody resumes it." in section(browser.get("/board").text, "waiting")
