"""Samples: the same prompts at each checkpoint, answered as greedy decoding answers, and never at the cost of the run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from app.domain.datasets import Split, row_hash
from app.domain.events import AnyEvent, Notice, Sample, parse_event
from tests.waiting import PATIENCE_SECONDS
from tests.workers.training.conftest import Train
from tests.workers.training.test_evaluate import one_by_one
from tests.workers.training.tiny import CONTEXT, chat, curve, last
from workers.training import samples
from workers.training.control import Leave
from workers.training.evaluate import plain_text, stop_ids
from workers.training.generate import greedy_answers
from workers.training.masks import Masker
from workers.training.report import Reporter
from workers.training.rows import Row, Rows
from workers.training.samples import LEAST_TOKENS, SAMPLED_ROWS, Asked, Samples, choose_prompts
from workers.training.templates import chat_template
from workers.training.tokenizer import load_tokenizer

THINGS = ("sky", "grass", "snow", "coal", "sun", "blood")


@pytest.fixture(autouse=True)
def all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps this process waiting, answers have the time they take."""
    monkeypatch.setattr(samples, "MOST_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def model(base: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return loaded


@pytest.fixture
def masker(base: Path) -> Masker:
    tokenizer = load_tokenizer(base)
    return Masker(tokenizer, chat_template(tokenizer))


def made(split: Split, *, system: str | None = "Be brief.") -> list[Row]:
    talks = [chat(f"Which colour is the {thing}?", "red", system=system) for thing in THINGS]
    return [Row(talk, row_hash(talk), split, number) for number, talk in enumerate(talks, 1)]


def asked(masker: Masker, *own: str, held_out: bool = True, system: str | None = "Be brief.") -> Asked:
    rows = Rows(made(Split.TRAIN, system=system), made(Split.TEST, system=system) if held_out else [])
    return choose_prompts(rows, masker, own, context=CONTEXT)


def told(out: io.BytesIO) -> list[AnyEvent]:
    return [parse_event(line) for line in out.getvalue().splitlines()]


def take(model: PreTrainedModel, prompts: Asked) -> list[AnyEvent]:
    out = io.BytesIO()
    Samples(prompts, model, Reporter(out)).take(7, pause=lambda: None)
    return told(out)


def test_prompts_are_the_held_out_rows_of_the_lowest_hashes_and_ones_own(masker: Masker) -> None:
    found = asked(masker, "And the sea?").prompts
    lowest = sorted(made(Split.TEST), key=lambda row: row.hash)[:SAMPLED_ROWS]
    assert [prompt.row for prompt in found] == [*(row.number for row in lowest), None]
    assert {(prompt.origin, prompt.expected) for prompt in found} == {("held_out", "red"), ("own", None)}
    assert [turn.content for turn in found[-1].turns] == ["Be brief.", "And the sea?"]  # asked as the rows are


def test_where_no_row_is_held_out_the_first_training_rows_are_asked(masker: Masker) -> None:
    found = asked(masker, "And the sea?", held_out=False, system=None).prompts
    assert [(prompt.origin, prompt.row) for prompt in found[:-1]] == [("training", number) for number in range(1, SAMPLED_ROWS + 1)]
    assert [turn.role for turn in found[-1].turns] == ["user"]


def test_rows_that_leave_no_room_for_an_answer_are_not_asked(masker: Masker) -> None:
    prompts = asked(masker).prompts
    rows = Rows(made(Split.TRAIN), made(Split.TEST))
    shortest = min(len(prompt.ids) for prompt in prompts)
    found = choose_prompts(rows, masker, ("x" * CONTEXT,), context=shortest + 1).prompts
    assert {len(prompt.ids) for prompt in found} == {shortest}
    assert {prompt.most for prompt in found} == {1}


def test_answers_are_those_of_greedy_decoding(masker: Masker, model: PreTrainedModel) -> None:
    prompts = asked(masker, "And the sea?")
    events = [event for event in take(model, prompts) if isinstance(event, Sample)]
    stops = stop_ids(model, masker.tokenizer) | prompts.ends
    alone = [one_by_one(model, prompt.ids, prompt.most, stops) for prompt in prompts.prompts]
    assert [event.answer for event in events] == [plain_text(masker.tokenizer, ids).strip().replace("\0", "\ufffd") for ids in alone]
    assert [event.is_cut for event in events] == [len(ids) == prompt.most for ids, prompt in zip(alone, prompts.prompts, strict=True)]
    assert {len(ids) for ids in alone} & {LEAST_TOKENS}


def test_answers_end_when_their_time_is_over(masker: Masker, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MOST_SECONDS", -1.0)
    out = io.BytesIO()
    asking = Samples(asked(masker), model, Reporter(out))
    asking.take(0, pause=lambda: None)
    assert [event.is_cut for event in told(out) if isinstance(event, Sample)] == [True] * SAMPLED_ROWS
    [notice] = [event.message for event in told(out) if isinstance(event, Notice)]
    assert notice.startswith("Of the prompts for samples the first 2 of 4 will be asked from now on.")
    asking.take(1, pause=lambda: None)
    assert sum(isinstance(event, Sample) and event.step == 1 for event in told(out)) == 2


@pytest.mark.parametrize(("fits", "left"), [(2, 2), (1, 1), (0, 0)])
def test_fewer_are_asked_where_memory_runs_out(
    fits: int, left: int, masker: Masker, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(*given: Any) -> Any:
        if len(given[1]) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return greedy_answers(*given)

    monkeypatch.setattr(samples, "greedy_answers", answers)
    events = take(model, asked(masker))
    assert sum(isinstance(event, Sample) for event in events) == left
    assert "Memory does not hold them" in next(event.message for event in events if isinstance(event, Notice))


def test_samples_can_be_left_between_two_tokens(masker: Masker, model: PreTrainedModel) -> None:
    def pause() -> None:
        raise Leave("pause")

    with pytest.raises(Leave):
        Samples(asked(masker), model, Reporter(io.BytesIO())).take(0, pause=pause)


def test_later_samples_wait_until_training_took_much_longer(
    masker: Masker, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "FIRST_TAKEN", 1)
    asking = Samples(asked(masker), model, Reporter(io.BytesIO()))
    assert asking.are_due()
    asking.take(0, pause=lambda: None)
    assert not asking.are_due()
    monkeypatch.setattr(samples, "SHARE", 1e9)
    assert asking.are_due()


def test_a_run_answers_at_its_beginning_at_each_checkpoint_and_at_its_end(train_here: Train) -> None:
    _, events = train_here(max_steps=5, checkpoint_every_steps=2)
    found = [event for event in events if isinstance(event, Sample)]
    assert [(event.step, event.place) for event in found] == [(step, place) for step in (0, 2, 4, 5) for place in range(SAMPLED_ROWS)]
    assert len({(event.place, event.row, event.expected, str(event.prompt)) for event in found}) == SAMPLED_ROWS


def test_a_run_learns_the_same_whether_it_is_asked_or_not(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, with_samples = train_here(max_steps=6, checkpoint_every_steps=2, dropout=0.1)
    monkeypatch.setattr(samples, "SAMPLED_ROWS", 0)
    _, without = train_here(max_steps=6, checkpoint_every_steps=2, dropout=0.1, out="without")
    assert not any(isinstance(event, Sample) for event in without)
    assert curve(with_samples) == curve(without)
    assert len(curve(without)) == 6


def test_no_run_fails_for_its_samples(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError("no such layer")

    monkeypatch.setattr(samples, "greedy_answers", broken)
    code, events = train_here(max_steps=2)
    assert (code, last(events).status) == (0, "succeeded")
    assert "They could not be asked (IndexError)" in "".join(event.message for event in events if isinstance(event, Notice))
