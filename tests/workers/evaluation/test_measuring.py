"""A measurement from its rows to its sums, against a model that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.baselines import AskedModel, Plan, Way
from app.domain.datasets import Split
from app.domain.errors import Invalid, Unavailable
from app.domain.metrics import Metric, Shape
from tests.workers.evaluation.openai_server import OpenAi, openai_server, trouble
from tests.workers.evaluation.rows import row, write_rows
from workers.evaluation import measuring
from workers.evaluation.measuring import Address, BaselineSpec, Measuring

AT_ONCE = 4
"""So many questions an outside model is to get."""


@pytest.fixture
def model() -> Iterator[OpenAi]:
    with openai_server() as told:
        yield told


def rows_file(folder: Path, tests: int = 6) -> Path:
    """Write rows whose answer is the last word of their question."""
    words = ["tea", "kettle", "spoon"]
    rows = [row(f"Order {n} of one {words[n % 3]}", words[n % 3]) for n in range(30)]
    return write_rows(
        folder / f"rows-{tests}", [*rows, *(row(f"Order 9{n} of a {words[n % 3]}", words[n % 3], Split.TEST) for n in range(tests))]
    )


def spec_of(folder: Path, model: OpenAi, methods: tuple[Way, ...] = tuple(Way), token: int = 1, **changes: Any) -> BaselineSpec:
    plan = Plan(dataset="orders", models=(AskedModel(name="small", place={}),), methods=methods, k=2, rows=50, max_tokens=8)
    address = Address(url=model.address, model="small", place={"base_dir": "/models/small"})
    given: dict[str, Any] = {
        "rows": rows_file(folder), "plan": plan, "addresses": [address], "answers": folder / f"answers-t{token}.jsonl",
        "results": folder / "results.json", "patience_seconds": 0.0,
    }  # fmt: skip
    return BaselineSpec(**given | changes)


def beside(
    folder: Path, model: OpenAi, outside: OpenAi, *, tests: int, methods: tuple[Way, ...] = (Way.ZERO_SHOT,), **changes: Any
) -> BaselineSpec:
    """Return what asks an outside model beside the studio's own."""
    models = AskedModel(name="small", place={}), AskedModel(name="large", connection_id="c")
    plan = Plan(dataset="orders", models=models, methods=methods, k=2, rows=50, max_tokens=8)
    own = Address(url=model.address, model="small", place={"base_dir": "/models/small"})
    addresses = [own, Address(url=outside.address, model="large-2026", private_allowed=True)]
    given: dict[str, Any] = {"rows": rows_file(folder, tests), "plan": plan, "addresses": addresses}
    return spec_of(folder, model, **given | changes)


def measure(spec: BaselineSpec, waits: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    asking = Measuring(spec, spec.askers([None] * len(spec.addresses)))
    asking.ask_all(lambda *_: None, waits)
    asking.write_results()
    made: dict[str, Any] = json.loads(spec.results.read_bytes())
    return made


def last_word(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"].split()[-1]


def test_every_row_is_asked_in_every_way_and_summed_up(tmp_path: Path, model: OpenAi) -> None:
    model.answer = lambda messages: last_word(messages) if len(messages) > 1 else "no idea"
    made = measure(spec_of(tmp_path, model))
    results, rows = made["results"], made["answers"]["rows"]
    assert (results["shape"], results["labels"], results["rows"], results["training_rows"]) == (Shape.LABELS, 3, 6, 30)
    values = {each["way"]: each["scores"][Metric.LABEL][0] for each in results["measured"]}
    assert values == {"zero_shot": 0.0, "few_shot": 1.0, "retrieval": 1.0}
    assert len(model.asked) == 18
    assert {each["expected"] for each in rows} == {"tea", "kettle", "spoon"}
    assert [said["text"] for said in rows[0]["said"]] == ["no idea", rows[0]["expected"], rows[0]["expected"]]
    assert len(rows[0]["said"][1]["examples"]) == 2


def test_an_attempt_goes_on_where_an_earlier_one_was_lost(tmp_path: Path, model: OpenAi) -> None:
    def answer(messages: list[dict[str, str]]) -> str:
        if len(model.asked) == 4:
            model.troubles = [trouble(401)]
        return last_word(messages)

    model.answer = answer
    first = spec_of(tmp_path, model, (Way.ZERO_SHOT,))
    with pytest.raises(Unavailable):
        measure(first)
    # It died while it wrote.
    with first.answers.open("a") as file:
        file.write('{"model": 0, "way": "zero_')
    model.answer = lambda _: "something else"
    made = measure(spec_of(tmp_path, model, (Way.ZERO_SHOT,), 2, earlier=[first.answers]))
    assert len(model.asked) == 5 + 2
    assert made["results"]["measured"][0]["scores"][Metric.LABEL][0] == pytest.approx(4 / 6)


def test_each_answer_is_progress_and_those_of_earlier_attempts_count(tmp_path: Path, model: OpenAi) -> None:
    model.answer = last_word
    told: list[tuple[int, int]] = []
    spec = spec_of(tmp_path, model, (Way.ZERO_SHOT, Way.FEW_SHOT))
    Measuring(spec, spec.askers([None])).ask_all(lambda done, total, _: told.append((done, total)), lambda _: None)
    # Once for each and once at the end; by the time it is told the next may be there too.
    assert (len(told), told, told[-1]) == (13, sorted(told), (12, 12))
    again = spec_of(tmp_path, model, (Way.ZERO_SHOT, Way.FEW_SHOT), 2, earlier=[spec.answers])
    told.clear()
    Measuring(again, again.askers([None])).ask_all(lambda done, total, _: told.append((done, total)), lambda _: None)
    assert (told, len(model.asked)) == ([(12, 12)], 12)


def test_an_outside_model_is_asked_several_questions_at_once_and_the_own_one_at_a_time(tmp_path: Path, model: OpenAi) -> None:
    """Four outside questions are answered when all four are there; of the own model's there is never more than one."""
    at_once: list[int] = []
    with openai_server() as outside:
        outside.together, outside.answer = threading.Barrier(AT_ONCE), last_word
        under_way = threading.Semaphore(1)

        def answer(messages: list[dict[str, str]]) -> str:
            at_once.append(under_way.acquire(blocking=False))
            said = last_word(messages)
            under_way.release()
            return said

        model.answer = answer
        spec = beside(tmp_path, model, outside, tests=8)
        made = measure(spec)
    assert (len(model.asked), len(outside.asked)) == (8, 8)
    assert all(at_once)
    # Whoever was answered first, the answers stand in the order of the rows, each with its own.
    for each in made["answers"]["rows"]:
        assert [said["text"] for said in each["said"]] == [each["expected"]] * 2
        assert each["prompt"].endswith(each["expected"])
    rows = [each["row"] for each in made["answers"]["rows"]]
    assert rows == [question.number for question in Measuring(spec, spec.askers([None, None])).material.asked]


def test_models_of_this_studio_are_asked_one_after_another(tmp_path: Path, model: OpenAi) -> None:
    """The inference server keeps one of them loaded: each gets four rows in all ways before the other does."""
    under_way = threading.Semaphore(1)
    at_once: list[bool] = []

    def answer(messages: list[dict[str, str]]) -> str:
        at_once.append(under_way.acquire(blocking=False))
        said = last_word(messages)
        under_way.release()
        return said

    model.answer, names = answer, ("small", "tuned")
    models = tuple(AskedModel(name=name, place={}) for name in names)
    addresses = [Address(url=model.address, model=name, place={"base_dir": f"/models/{name}"}) for name in names]
    plan = Plan(dataset="orders", models=models, methods=(Way.ZERO_SHOT, Way.FEW_SHOT), k=2, rows=50, max_tokens=8)
    measure(spec_of(tmp_path, model, plan=plan, addresses=addresses))
    assert [each["model"] for each in model.asked] == ["small"] * 8 + ["tuned"] * 8 + ["small"] * 4 + ["tuned"] * 4
    assert all(at_once)


def test_what_all_questions_are_told_at_once_is_waited_for_once(tmp_path: Path, model: OpenAi) -> None:
    """Four times two seconds would be more than its patience."""
    with openai_server() as outside:
        outside.answer, outside.together = last_word, threading.Barrier(AT_ONCE)
        outside.troubles = [trouble(429, Retry_After="2")] * AT_ONCE
        measure(beside(tmp_path, model, outside, tests=8, patience_seconds=7.0))
        assert len(outside.asked) == AT_ONCE + 8


def test_a_wrong_key_ends_it_with_no_more_than_was_under_way(tmp_path: Path, model: OpenAi) -> None:
    model.answer = last_word
    with openai_server() as outside:
        outside.key, outside.together = "another", threading.Barrier(AT_ONCE)
        with pytest.raises(Invalid, match="refuses the key"):
            # A turn has twelve questions for it: three for each that asks.
            measure(beside(tmp_path, model, outside, tests=16, methods=tuple(Way)))
        for lane in [each for each in threading.enumerate() if each.name == "lane"]:
            lane.join(60)
        # Nobody took another question after that.
        assert len(outside.asked) == AT_ONCE


def test_while_a_run_has_the_gpu_it_waits_and_says_for_what(tmp_path: Path, model: OpenAi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SIGN_SECONDS", 0.05)
    model.answer, heard = last_word, list[str]()
    model.troubles = [trouble(503, "The GPU is training mails.", code="yielded", Retry_After="1")]
    for _ in range(3):
        model.troubles.append(trouble(503, "The GPU is training mails.", code="yielded", Retry_After="0"))
    made = measure(spec_of(tmp_path, model, (Way.ZERO_SHOT,)), heard.append)
    assert made["results"]["measured"][0]["scores"][Metric.LABEL][0] == 1.0
    assert set(heard) == {"The GPU is training mails."}


def test_a_prompt_that_is_too_long_gets_fewer_examples_and_the_result_says_so(tmp_path: Path, model: OpenAi) -> None:
    model.longest = 50
    [few] = measure(spec_of(tmp_path, model, (Way.FEW_SHOT,)))["results"]["measured"]
    assert (few["shortened"], few["examples"], few["refused"]) == (6, 1.0, 0)


def test_a_question_that_does_not_fit_at_all_counts_as_wrong(tmp_path: Path, model: OpenAi) -> None:
    model.answer = last_word
    model.longest = 17  # one row says "spoon", which is a letter more than "tea", and so on
    found = spec_of(tmp_path, model, (Way.ZERO_SHOT,))
    [zero] = measure(found)["results"]["measured"]
    assert zero["refused"] == 4
    assert zero["scores"][Metric.LABEL][0] == pytest.approx(2 / 6)


def test_a_model_that_refuses_everything_ends_it(tmp_path: Path, model: OpenAi) -> None:
    model.troubles = [trouble(400, "No such thing.")] * 9
    with pytest.raises(Invalid, match=r"No such thing\.") as refused:
        measure(spec_of(tmp_path, model, (Way.ZERO_SHOT,)))
    assert refused.value.code == "model_refuses"
    assert len(model.asked) == 4


def test_a_row_that_is_refused_in_every_way_before_another_is_answered_ends_nothing(tmp_path: Path, model: OpenAi) -> None:
    """Three questions of the first row are held until the second row was refused in all ways, and the third is asked."""
    texts = ["Order 1 of tea", f"Order 2 {'of this and that ' * 200}", "Order 3 of tea", "Order 4 of tea"]
    asked = [row(text, "tea", Split.TEST, hash=str(place) * 64) for place, text in enumerate(texts)]
    rows = write_rows(tmp_path / "rows", [*asked, *(row(f"Some {n} tea", "tea") for n in range(12))])
    third_asked = threading.Event()

    def answer(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"] == texts[2]:
            third_asked.set()
        third_asked.wait(60)
        return "tea"

    model.answer, model.longest = answer, 1_000
    outside = Address(url=model.address, model="large-2026", private_allowed=True)
    plan = Plan(dataset="orders", models=(AskedModel(name="large", connection_id="c"),), methods=tuple(Way), k=2, rows=4, max_tokens=8)
    try:
        made = measure(spec_of(tmp_path, model, rows=rows, plan=plan, addresses=[outside]))
    finally:
        third_asked.set()
    assert [each["refused"] for each in made["results"]["measured"]] == [1, 1, 1]


def test_one_refusal_among_answers_is_counted(tmp_path: Path, model: OpenAi) -> None:
    model.answer = last_word
    model.troubles = [trouble(400, "I will not say that.")]
    made = measure(spec_of(tmp_path, model, (Way.ZERO_SHOT,)))
    assert made["results"]["measured"][0]["refused"] == 1
    assert "I will not say that." in made["answers"]["rows"][0]["said"][0]["refused"]


def test_a_model_that_goes_away_ends_it_and_what_was_answered_stays(tmp_path: Path, model: OpenAi) -> None:
    def answer(_: object) -> str:
        if len(model.asked) == 3:
            model.troubles = [trouble(503)] * 9
        return "tea"

    model.answer = answer
    spec = spec_of(tmp_path, model, (Way.ZERO_SHOT,))
    with pytest.raises(Unavailable):
        measure(spec)
    assert len(spec.answers.read_text().splitlines()) == 3


@pytest.mark.parametrize(("methods", "notes"), [((Way.ZERO_SHOT,), 0), ((Way.ZERO_SHOT, Way.RETRIEVAL), 1)])
def test_of_examples_it_speaks_only_where_some_are_shown(tmp_path: Path, model: OpenAi, methods: tuple[Way, ...], notes: int) -> None:
    rows = [row("Order 1 of a kettle, please", "kettle", Split.TEST), row("Order 1 of a kettle, please!", "kettle")]
    made = measure(spec_of(tmp_path, model, methods, rows=write_rows(tmp_path / "twins", rows)))
    assert len(made["results"]["notes"]) == notes


def test_answers_are_compared_by_what_the_plan_wants(tmp_path: Path, model: OpenAi) -> None:
    spec = spec_of(tmp_path, model, (Way.ZERO_SHOT,))
    texts = [row(f"Hide the name: mail {n}", f"The order {n} of [NAME] came late, and the kettle was broken") for n in range(12)]
    tested = [row("Hide it: mail 99", "The order 99 of [NAME] came late, and the kettle was broken", Split.TEST)]
    rows = write_rows(tmp_path / "masked", [*texts, *tested])
    model.answer = lambda _: "The order 99 of Ann came late, and the kettle was broken"
    made = measure(spec.model_copy(update={"rows": rows, "plan": spec.plan.model_copy(update={"metric": Metric.EXACT, "max_tokens": 64})}))
    [zero] = made["results"]["measured"]
    assert (made["results"]["metric"], next(iter(zero["scores"])), zero["scores"][Metric.EXACT][0]) == ("exact", "exact", 0.0)
    assert zero["scores"][Metric.SIMILARITY][0] > 0.8


def test_long_texts_are_cut_before_they_are_kept(tmp_path: Path, model: OpenAi) -> None:
    model.answer = lambda _: "x" * 5_000
    made = measure(spec_of(tmp_path, model, (Way.ZERO_SHOT,)))
    assert len(made["answers"]["rows"][0]["said"][0]["text"]) == 2_000
