"""A run's page: what it answers at its checkpoints, and the memory it takes."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.db import Run, metrics
from app.db.metrics import Point
from app.db.run_samples import enter_samples
from app.db.session import unit_of_work
from app.domain.datasets import Message
from app.domain.events import Sample as RunSample
from app.services.studio import Studio
from app.web.runs_view import Memory, facts_of
from tests.web.walk import part
from tools.sample_project import Sample

IN_WORDS = re.compile(r'<output for="sample"[^>]*>([^<]+)</output>')


def answers(page: str) -> list[str]:
    """What was answered at the checkpoint, marks and all."""
    return [found.strip() for found in re.findall(r'class="answer now">.*?<p class="said">(.*?)</p>', page, re.DOTALL)]


def test_the_newest_answers_are_shown_with_marks_where_they_are_wrong(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['running']}").text
    assert IN_WORDS.findall(page) == ["step 223"]
    assert page.count("as expected") == 2
    assert answers(page)[2].endswith('&#34;<ins title="not in the expected answer">normal</ins>&#34;}')
    assert "<ins" not in answers(page)[0]
    assert page.count("My invoice is a document of the month") == 1  # the base's answer stands beside it


def test_each_checkpoint_has_an_address_and_links_to_its_neighbours(browser: TestClient, sample: Sample) -> None:
    here = f"/runs/{sample.runs['running']}"
    second = browser.get(f"{here}?sample=1").text
    assert IN_WORDS.findall(second) == ["step 74"]
    assert f'href="{here}?sample=0#samples-title"' in second
    assert f'href="{here}?sample=2#samples-title"' in second
    assert answers(browser.get(f"{here}?sample=0").text) == []  # the base alone
    assert IN_WORDS.findall(browser.get(f"{here}?sample=99").text) == ["step 223"]


def test_who_looks_at_an_earlier_checkpoint_stays_there_when_others_come(browser: TestClient, studio: Studio, sample: Sample) -> None:
    here = f"/runs/{sample.runs['running']}"
    chosen = browser.get(f"{here}?sample=1", headers=part("run_samples")).text
    [again] = re.findall(r'id="refetch-run-now" href="([^"]+)"', chosen)
    with unit_of_work(studio.engine) as session:
        told = RunSample(step=230, place=0, origin="held_out", row=17, prompt=[Message(role="user", content="x")], answer="later")
        enter_samples(session, sample.runs["running"], [told])
    assert IN_WORDS.findall(browser.get(again, headers=part("run_now")).text) == ["step 74"]
    assert IN_WORDS.findall(browser.get(here, headers=part("run_now")).text) == ["step 230"]


def test_without_samples_nothing_is_said_of_them(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['queued']}").text
    assert '<div id="run-samples"></div>' in page
    assert "What it answers" not in page


def test_rows_that_it_learns_from_are_called_so(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        told = RunSample(step=0, place=0, origin="training", row=3, prompt=[Message(role="user", content="<b>x")], answer="<i>y")
        enter_samples(session, sample.runs["queued"], [told])
    page = browser.get(f"/runs/{sample.runs['queued']}").text
    assert "No row is held out, so these are rows that it learns from." in page
    assert "&lt;b&gt;x" in page
    assert "&lt;i&gt;y" in page


def test_the_page_says_what_memory_a_run_takes_of_what_there_is(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['running']}").text
    assert "616 MB of this machine&#39;s 8.2 GB, 684 MB at most" in page
    assert '<path class="in-use" d="M' in page
    assert 'class="limit"' not in page  # far away
    assert 'id="memory-title"' not in browser.get(f"/runs/{sample.runs['queued']}").text


def test_the_limit_is_drawn_once_a_run_comes_near_it(browser: TestClient, studio: Studio, sample: Sample) -> None:
    run_id = sample.runs["running"]
    with unit_of_work(studio.engine) as session:
        metrics.append(session, run_id, 1, [Point(223, "memory/peak_bytes", 23.1e9)])
        run = session.get_one(Run, run_id)
        run.facts = run.facts | {"device": "cuda", "memory_total_bytes": 24e9}
    page = browser.get(f"/runs/{run_id}").text
    assert "616 MB of the GPU&#39;s 24.0 GB, 23.1 GB at most" in page
    assert 'class="limit"' in page
    assert "limit 24.0 GB" in page


def test_a_peak_is_a_line_that_rises_in_steps() -> None:
    peak = [Point(1, "peak", 5e9), Point(4, "peak", 6e9)]
    drawn = Memory([Point(1, "x", 4e9), Point(8, "x", 4e9)], peak, None, is_gpu=False).drawing(8)
    [line] = [curve.path for curve in drawn.curves if curve.css == "peak"]
    heights = [float(place.split()[1]) for place in line.removeprefix("M").split(" L")]
    assert heights[0] == heights[1] > heights[2] == heights[3]
    assert drawn.unit == "GB"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"layout": "shared_prefix", "shared_share": 0.8529}, "Rows that begin alike are computed once: 6.8 times fewer tokens"),
        ({"layout": "shared_prefix", "shared_share": 0.0}, "Rows side by side, nothing padded; hardly any begin alike"),
        ({"layout": "padded", "shared_share": 0.0}, "Each row padded to a common length"),
    ],
)
def test_the_layout_is_told_in_words_with_its_reason(facts: dict[str, object], words: str) -> None:
    told = facts_of(facts | {"layout_reason": "it was seen to be exact"})
    assert told == {"Layout": words, "Layout reason": "it was seen to be exact"}
    assert facts_of({"threads": 2}) == {"Threads": "2"}
