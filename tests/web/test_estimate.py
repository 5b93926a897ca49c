"""What a run takes, on the new-run page: with htmx and without."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.db import Dataset, Download
from app.db.session import unit_of_work
from app.domain.goals import Answers
from app.domain.guide import Goal
from app.services.accounts import Accounts
from app.services.goals import Goals
from app.services.studio import Studio
from tests.web.devices import add_gpu
from tests.web.walk import part
from tools.sample_project import Sample


@pytest.fixture(params=[{}, part("run_form")], ids=["without htmx", "with htmx"])
def headers(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


def form(browser: TestClient, sample: Sample, headers: dict[str, str], **fields: str) -> str:
    return browser.get("/runs/new", params={"dataset_id": sample.datasets["ready"]} | fields, headers=headers).text


def figures(page: str) -> dict[str, str]:
    found = re.findall(r'id="estimate-(\w+)"><summary><span[^>]*>[^<]*</span><b>([^<]*)<', page)
    return dict(found)


def test_memory_time_cost_energy_and_tokens_open_to_their_arithmetic(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    page = form(browser, sample, headers, base_model="Qwen/Qwen3-0.6B")
    assert figures(page).keys() == {"memory", "time", "cost", "energy", "tokens"}
    card = page.partition('id="run-estimate"')[2].partition('<dl class="pairs">')[0]
    assert '<b title="Where this run would go">NVIDIA L4</b>' in card
    assert "of 24.0 GB" in card
    for words in ("weights × ", "TFLOP/s", "kWh × $0.17 = $", "g/kWh", "tokens = "):
        assert words in card, words
    assert 'role="img" aria-label="' in card


def test_the_figures_move_with_the_settings(browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    one = figures(form(browser, sample, headers, base_model="Qwen/Qwen3-0.6B", epochs="100"))
    other = figures(form(browser, sample, headers, base_model="Qwen/Qwen3-0.6B", epochs="100", rank="256", max_length="64"))
    assert all(one[name] != other[name] for name in ("memory", "time", "cost", "energy", "tokens"))


def test_each_preset_says_what_it_takes(browser: TestClient, sample: Sample, headers: dict[str, str]) -> None:
    cards = form(browser, sample, headers).partition("How thorough?")[2].partition("</fieldset>")[0]
    assert len(re.findall(r'<span class="mono">[^<]+ s</span> · [\d.]+ [MG]B · \$[\d.]+</span>', cards)) == 3


def test_devices_stand_side_by_side(browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    offers = form(browser, sample, headers).partition('id="run-offers"')[2].partition("</section>")[0]
    places = [offers.index(name) for name in ("NVIDIA L4", "24 GB card at Vast.ai", "24 GB card at AWS")]
    assert places == sorted(places)
    assert offers.count("cheapest to rent") == 1
    assert "6 more to rent" in offers
    assert "of that what is done within a week, and of that the cheapest." in offers
    assert offers.count("for 1.9\u00a0h around it</p>") == offers.count("h to set up)") == 9
    assert ">of it $0.55 for 1.9\u00a0h around it</p>" in offers


def test_what_does_not_fit_is_told_beside_the_button_with_what_helps(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    add_gpu(studio, "NVIDIA GeForce RTX 3070", 8e9)
    page = form(browser, sample, headers, base_model="Qwen/Qwen3-4B", batch_size="1", max_length="256")
    warning = page.partition('id="run-memory"')[2].partition("</div>")[0]
    assert "NVIDIA GeForce RTX 3070 has not enough memory" in warning
    link = re.search(r'href="(/runs/new\?[^"]*tuning=qlora[^"]*)" hx-get', warning)
    assert link
    assert "Start training" in page
    head = page.partition('id="run-card"')[2].partition("</header>")[0]
    assert "Does not fit here" in head
    assert "Ready to start" not in head
    mended = browser.get(link[1].replace("&amp;", "&"), headers=headers).text
    assert 'id="run-memory" role="status"' not in mended
    assert "Fits" in mended.partition('id="run-estimate"')[2][:400]
    assert "Ready to start" in mended


def test_a_base_that_fits_nowhere_here_is_told_where_it_does(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    add_gpu(studio, "NVIDIA GeForce RTX 3070", 2e9)
    page = form(browser, sample, headers, base_model="Qwen/Qwen3-14B")
    assert "No change of one setting makes it fit." in page
    assert re.search(r"or rent: [^<]+ holds it for \$", page)


def test_several_cards_say_that_hone_trains_on_one_device(browser: TestClient, sample: Sample, headers: dict[str, str]) -> None:
    offers = form(browser, sample, headers, base_model="google/gemma-3-27b-it").partition('id="run-offers"')[2]
    assert len(re.findall(r"\d × [^<]+ at ", offers)) == offers.count("Hone trains on one device") > 0
    assert "Hone trains on one device" not in form(browser, sample, headers)


def test_an_unknown_base_is_not_guessed_at(browser: TestClient, sample: Sample, headers: dict[str, str]) -> None:
    page = form(browser, sample, headers, base_model="somebody/something")
    assert "What somebody/something takes is not known" in page
    assert 'href="/models/hub/look?repo=somebody%2Fsomething"' in page
    assert figures(page) == {}
    assert "Start training" in page


def test_a_base_that_is_on_its_way_here_is_priced_as_the_look_at_it_saw(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    measured = studio.catalog.get("qwen3-0.6b").architecture
    assert measured
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        facts = {"files": [], "measures": measured.model_dump(mode="json")}
        session.add(Download(project_id=by.project_id, queue="cpu", repo="somebody/something", revision="a" * 40, facts=facts))
    page = form(browser, sample, headers, base_model="somebody/something")
    assert figures(page) == figures(form(browser, sample, headers, base_model="Qwen/Qwen3-0.6B"))
    assert {"memory", "time", "cost"} <= set(figures(page))


def test_without_a_device_a_card_to_rent_stands_for_one_and_says_so(browser: TestClient, sample: Sample, headers: dict[str, str]) -> None:
    page = form(browser, sample, headers)
    assert "24 GB card at Vast.ai</b>" in page
    assert "No worker has told of a device for this run" in page
    assert "Nobody has counted this dataset" in page


def test_lengths_that_were_counted_are_taken(browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]) -> None:
    before = figures(form(browser, sample, headers))["tokens"]
    bins = {"bins": [[0, 40, 0], [40, 41, 683]], "min": 40, "median": 40, "p95": 40, "max": 40, "sum": 40 * 683}
    with unit_of_work(studio.engine) as session:
        version = session.get_one(Dataset, sample.datasets["ready"]).version
        assert version is not None
        version.findings = {"rows": 683, "tokens": {"row": bins, "answer": bins | {"sum": 10 * 683}}}
    page = form(browser, sample, headers)
    assert "as they were counted when the dataset was looked at" in page
    assert figures(page)["tokens"] != before


def test_few_examples_are_told_at_the_launch(browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]) -> None:
    assert 'id="run-few"' not in form(browser, sample, headers)
    with unit_of_work(studio.engine) as session:
        version = session.get_one(Dataset, sample.datasets["ready"]).version
        assert version is not None
        version.rows = 42
    page = form(browser, sample, headers)
    assert "A consistent style: With 42 examples, try few-shot prompting first" in page.partition('id="run-few"')[2]
    assert "Start training" in page


def test_the_goal_of_the_project_says_how_many_are_enough(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    with unit_of_work(studio.engine) as session:
        Goals(session).save(Accounts(session).ensure_owner(), Answers(what=Goal.DOMAIN))
    assert "Knowledge of a domain: 683 of 1,000 to 5,000" in form(browser, sample, headers).partition('id="run-few"')[2]
