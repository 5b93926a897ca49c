"""The board's pages: what stands where, filters in the address, a fixed number of questions to the database, and the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, update

from app.db import Project, Run, WorkerRow
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.services.board import BoardFilter, Group
from app.services.run_filter import RunFilter
from app.services.studio import Studio
from app.web.board_view import address, read_filter
from tests.web.walk import MOST_BYTES, part, weight_of
from tools.sample_project import Sample
from tools.sample_team import Team, fill_team

FORM = {"HX-Source": "form#board-filter"}
HOSTILE = ["'", '"><script>alert(1)</script>', "%", "_", "\\", "\0", "\u202e", "a" * 5000, "../..", "{{ 7 * 7 }}", "' OR '1'='1", "🦆", " "]


def section(page: str, group: str) -> str:
    """Give what stands in one group."""
    return page.partition(f'id="{group}-title"')[2].partition("</section>")[0]


def silence(studio: Studio, seconds: float) -> None:
    """Let every worker have been heard of some seconds ago."""
    with unit_of_work(studio.engine) as session:
        session.execute(update(WorkerRow).values(updated_at=utc_now().timestamp() - seconds))


@contextmanager
def statements(studio: Studio) -> Iterator[list[str]]:
    """Count what the database is asked for a page; the courier of webhooks asks beside it whenever it likes."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "webhook" not in statement:
            asked.append(statement)

    event.listen(studio.engine, "before_cursor_execute", note)
    yield asked
    event.remove(studio.engine, "before_cursor_execute", note)


def test_runs_stand_in_their_groups_with_why_they_wait(browser: TestClient) -> None:
    page = browser.get("/board").text
    assert "emails-long" in section(page, "running")
    waiting = section(page, "waiting")
    assert waiting.index("emails-qlora") < waiting.index("emails-slow")
    assert "It is next, once a worker has done with emails-long (about" in waiting
    assert "Paused at step 40: it goes on when somebody resumes it." in waiting
    done = section(page, "done")
    assert all(name in done for name in ("emails-balanced", "emails-wide", "typo"))
    assert "The machine's memory ran out." in unescape(done)


def test_a_run_tells_how_far_it_is_and_what_it_took(browser: TestClient, studio: Studio) -> None:
    fill_team(studio, Team(running=1, waiting=0, done=1, lost_worker=False))
    page = browser.get("/board?q=summaries+OR").text
    assert "summaries" not in section(page, "running")
    row = section(browser.get("/board?owner=Lena").text, "running")
    assert "17 / 362 <b>4 %</b>" in row
    assert re.search(r"\d+ min( \d+ s)? left", row)
    assert "s so far" in row
    assert "in 2 attempts: from taking it to giving it back" in row
    assert re.search(r"<span title=\"When its worker last wrote of it\">\d+ s ago</span>", row)
    ended = section(browser.get("/board?owner=Lena").text, "done")
    assert '<svg class="spark"' in ended
    assert "Held-out loss from" in ended


def test_a_run_from_before_hours_were_kept_has_none_and_says_so(browser: TestClient) -> None:
    assert "Not known: it ran before hours were kept" in section(browser.get("/board").text, "done")


@pytest.mark.parametrize(
    "wanted",
    [
        BoardFilter(),
        BoardFilter(group=Group.DONE, days=30),
        BoardFilter(runs=RunFilter(q="a b&c=d", owner="Lena", base_model="org/name", tag=("x y",)), on="NVIDIA L4", days=0),
    ],
)
def test_an_address_carries_every_filter_there_and_back(wanted: BoardFilter) -> None:
    from urllib.parse import parse_qsl, urlsplit

    assert read_filter(dict(parse_qsl(urlsplit(address(wanted)).query))) == wanted


def test_what_means_nothing_filters_nothing() -> None:
    asked = {"group": "everything", "days": "12", "q": " ", "owner": "\n", "tag": "", "on": "\0"}
    assert read_filter(asked) == BoardFilter()
    assert read_filter({"days": "²"}) == read_filter({"days": "-1"}) == BoardFilter()


@pytest.mark.parametrize("name", ["q", "owner", "base_model", "tag", "on", "group", "days"])
def test_hostile_filters_are_words_like_any_other(browser: TestClient, name: str) -> None:
    for value in HOSTILE:
        answer = browser.get(f"/board?{urlencode({name: value})}")
        assert answer.status_code == 200, value
        assert "<script>alert" not in answer.text
        assert len(answer.text) < 60_000


def test_filters_are_counted_taken_away_and_cleared(browser: TestClient, studio: Studio) -> None:
    fill_team(studio)
    page = unescape(browser.get("/board?owner=Lena&tag=nightly&days=30").text)
    assert "Lena (" in page
    assert "nightly (" in page
    chips = dict(re.findall(r'<a class="chip" href="([^"]+)"[^>]*>([^<]+)', page))
    assert chips == {
        "/board?tag=nightly&days=30": "owner: Lena",
        "/board?owner=Lena&days=30": "tag: nightly",
        "/board?owner=Lena&tag=nightly": "ended in: last 30 days",
    }
    assert '<a class="small" href="/board">Clear all</a>' in page
    tabs = {name: int(number) for name, number in re.findall(r">(All|Running|Waiting|Done) <span class=\"count\">(\d+)<", page)}
    assert tabs["All"] == tabs["Running"] + tabs["Waiting"] + tabs["Done"] > 0


def test_filters_that_nothing_fits_say_so_and_how_to_go_on(browser: TestClient) -> None:
    page = browser.get("/board?owner=Zoe").text
    assert "No run fits these filters" in page
    assert 'href="/board">Clear all filters' in page
    assert 'value="Zoe" selected>Zoe (0)' in page
    assert "No run fits" not in browser.get("/board").text


def test_a_group_alone_shows_its_runs_and_the_workers(browser: TestClient) -> None:
    page = browser.get("/board?group=waiting").text
    assert "emails-qlora" in page
    assert 'id="running-title"' not in page
    assert page.count('id="board-workers"') == 1


def test_a_form_sends_its_empty_fields_and_the_address_stays_short(browser: TestClient) -> None:
    answer = browser.get("/board?q=&owner=Lena&base_model=&on=&days=7")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board?owner=Lena")
    part_of = browser.get("/board?q=&owner=Lena&days=7", headers=part("board_now") | FORM)
    assert (part_of.status_code, part_of.headers["HX-Replace-Url"]) == (200, "/board?owner=Lena")


def test_the_form_renews_its_counts_and_a_doorbell_leaves_them_alone(browser: TestClient) -> None:
    asked = browser.get("/board?owner=Lena", headers=part("board_now") | FORM).text
    rung = browser.get("/board?owner=Lena", headers=part("board_now") | {"HX-Source": "a#refetch-board-now"}).text
    for block in ("board-choices", "board-chips", "live-slot"):
        assert f'id="{block}"' in asked
        assert f'id="{block}"' not in rung
    assert 'hx-get="/board?owner=Lena"' in asked
    assert 'id="board-totals" hx-swap-oob' in rung
    assert rung.count('id="board-workers"') == asked.count('id="board-workers"') == 1


def test_an_older_page_shows_ended_runs_alone_and_keeps_the_filters(
    browser: TestClient, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.routes.board.DONE_ROWS", 1)
    older = unescape(browser.get("/board?q=emails").text).split('href="/board?q=emails&after=')[1].split('"')[0]
    page = unescape(browser.get(f"/board?q=emails&after={older}").text)
    done = section(page, "done")
    assert any(sample.runs[name] in done for name in ("done", "failed"))
    assert all(sample.runs[name] not in page for name in ("running", "queued", "paused"))
    assert 'href="/board?q=emails">Back to the newest' in page
    assert 'id="live-slot"' not in page


def test_what_does_not_fit_is_counted(browser: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.routes.board.WAITING_ROWS", 3)
    fill_team(studio, Team(running=0, waiting=6, done=0))
    page = browser.get("/board").text
    assert "5 more runs behind these." in section(page, "waiting")
    assert "more run" not in section(browser.get("/board?group=waiting").text, "waiting")


def test_a_full_board_weighs_no_more_than_any_page_may(browser: TestClient, studio: Studio, root: Path) -> None:
    fill_team(studio, Team(running=24, waiting=30, done=70))
    for asked in ("/board", "/board?group=done&days=0", "/board?group=waiting"):
        assert weight_of(browser.get(asked).text, root) <= MOST_BYTES, asked


def test_the_database_is_asked_no_more_for_many_runs_than_for_few(browser: TestClient, studio: Studio) -> None:
    numbers = []
    fill_team(studio, Team(running=2, waiting=2, done=2))
    for wall in ("/board", "/board?wall=1"):
        with statements(studio) as few:
            browser.get(wall)
        numbers.append(len(few))
    fill_team(studio, Team(running=12, waiting=14, done=30))
    for wall, before in zip(("/board", "/board?wall=1"), numbers, strict=True):
        with statements(studio) as many:
            page = browser.get(wall).text
        assert "replies" in page
        assert len(many) == before <= 42


def test_how_the_queue_stands_is_asked_once_for_a_board(browser: TestClient, studio: Studio) -> None:
    with statements(studio) as asked:
        browser.get("/board")
    assert sum("count(" in statement and "GROUP BY runs.status" in statement and "runs.queue" in statement for statement in asked) == 1


def test_who_used_what_is_told_with_what_is_not_known(browser: TestClient, studio: Studio) -> None:
    fill_team(studio, Team(running=2, waiting=0, done=8))
    use = section(browser.get("/board").text, "use")
    assert [name for name in re.findall(r"<td>(\w+)</td>", use) if name != "owner"] != []
    assert "Together" in use
    assert "runs from before they were kept are not in here" in use


def test_a_device_tells_whose_its_memory_is_and_how_much_exactly(browser: TestClient, studio: Studio) -> None:
    fill_team(studio, Team(running=4, waiting=0, done=0))
    for address_ in ("/board", "/workers"):
        page = unescape(browser.get(address_).text)
        assert "15.0 GB this run, 5.4 GB others, 4.3 GB free" in page
        assert "this run: 15,032,385,536 bytes; others: 5,368,709,120 bytes" in page
        assert "9.7 GB used by all, 6.4 GB free" in page
        assert '<rect class="others" x="60.9" width="21.7"' in page
        assert "97 % in use" in page
        assert "lost: no sign of life for 12 min" in page


def test_a_worker_that_tells_of_no_devices_is_shown_as_before(browser: TestClient, studio: Studio) -> None:
    for facts in ({}, {"slots": 1, "devices": "?"}):
        with unit_of_work(studio.engine) as session:
            session.execute(update(WorkerRow).values(facts=facts))
        silence(studio, 1)
        page = browser.get("/workers").text
        assert "CPU, 2 threads" in page
        assert 'class="memory"' not in page


def test_silence_grows_into_words(browser: TestClient, studio: Studio) -> None:
    silence(studio, 30)
    assert re.search(r"silent for [345]\d s", browser.get("/board").text)
    silence(studio, 670)
    page = browser.get("/board").text
    assert "lost: no sign of life for 11 min" in page
    assert "0 workers alive" in page
    silence(studio, 90_000)
    assert "No worker is alive" in browser.get("/board").text


def test_a_run_of_another_project_is_not_named(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        session.execute(update(Run).where(Run.id == sample.runs["running"]).values(project_id=other.id))
    silence(studio, 1)
    page = browser.get("/workers").text
    assert "a run of another project" in page
    assert sample.runs["running"] not in page


def test_the_wall_shows_runs_first_and_folds_what_does_not_fit(browser: TestClient, studio: Studio) -> None:
    silence(studio, 1)
    fill_team(studio, Team(running=30, waiting=20, done=3))
    page = browser.get("/board?wall=1").text
    assert page.index("wall-running") < page.index("wall-waiting") < page.index("wall-workers")
    assert page.count("<progress") == 6
    assert re.findall(r"and (\d+) more", page) == ["25", "18", "28"]
    assert "<b>31</b> running" in page
    assert "1 lost" in page
    assert 'hx-get="/board?wall=1"' in page
    assert 'id="leave" href="/board"' in page


def test_the_wall_with_nothing_on_it_says_so(empty: TestClient) -> None:
    page = empty.get("/board?wall=1").text
    assert "Nothing runs just now." in page
    assert "Nothing waits." in page
    assert "No worker is alive: runs wait." in page
    assert 'http-equiv="refresh"' in page


def test_a_filtered_board_goes_on_the_wall_as_it_is(browser: TestClient) -> None:
    assert 'href="/board?owner=Lena&amp;wall=1"' in browser.get("/board?owner=Lena").text
    page = browser.get("/board?owner=Lena&wall=1").text
    assert "Only owner: Lena" in page
    assert 'id="leave" href="/board?owner=Lena"' in page
