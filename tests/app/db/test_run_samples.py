"""A run's samples: prompts are kept once, a step that is taken again is answered anew, and they go with the run."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, func, select

from app.db import SampleAnswer, SamplePrompt
from app.db.run_samples import enter_samples, read_samples, sampled_steps
from app.db.session import reading, unit_of_work
from app.domain.datasets import Message
from app.domain.events import Sample, parse_event
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.removal import Removal
from tests.databases import add_dataset, add_run

PROMPT = [Message(role="system", content="Be brief."), Message(role="user", content="Which colour is the sky?")]


def sample(step: int, answer: str, place: int = 0) -> Sample:
    told = Sample(step=step, place=place, origin="held_out", row=7, prompt=PROMPT, expected="blue", answer=answer)
    event = parse_event(told.model_dump_json())
    assert event == told
    return told


def test_each_step_has_its_answers_beside_the_bases(engine: Engine, owner: Identity) -> None:
    run = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        enter_samples(session, run, [sample(0, "sky sky"), sample(0, "x", place=1), sample(20, "green"), sample(40, "blue")])
    with unit_of_work(engine) as session:  # a worker was lost after step 20, and its steps are taken again
        enter_samples(session, run, [sample(40, "blue.")])
    with reading(engine) as session:
        assert sampled_steps(session, run) == [0, 20, 40]
        first, second = read_samples(session, run, 40)
        assert (first.prompt.row, first.prompt.expected, first.prompt.prompt) == (7, "blue", [turn.model_dump() for turn in PROMPT])
        assert (first.base and first.base.answer, first.answer and first.answer.answer) == ("sky sky", "blue.")
        assert (second.base and second.base.answer, second.answer) == ("x", None)


def test_they_go_with_the_run(engine: Engine, owner: Identity, tmp_path: Path) -> None:
    dataset = add_dataset(engine, owner)
    gone, stays = (add_run(engine, owner, dataset, status="succeeded") for _ in range(2))
    with unit_of_work(engine) as session:
        for run in (gone, stays):
            enter_samples(session, run, [sample(0, "a"), sample(5, "b")])
    with unit_of_work(engine) as session:
        Removal(session, LocalStorage(tmp_path / "store"), tmp_path / "runs", lambda _: False).delete(owner, gone)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(SampleAnswer)) == 2
        assert session.scalars(select(SamplePrompt.run_id)).all() == [stays]
