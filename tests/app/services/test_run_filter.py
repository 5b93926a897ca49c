"""Finding runs, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from app.db import Dataset, Project, Run, User
from app.db.session import reading, unit_of_work
from app.domain.errors import Invalid
from app.services.accounts import Identity
from app.services.paging import newest_first
from app.services.run_filter import RunFilter, state_counts, tag_counts
from tests.databases import add_dataset, add_run


def found(engine: Engine, by: Identity, **parts: object) -> list[str]:
    """Return the names of the runs a filter lets through, newest first."""
    with reading(engine) as session:
        query = RunFilter(**parts).mine(session, by)  # type: ignore[arg-type]
        return [run.name for run in newest_first(session, query, Run.id, limit=100, after=None).items]


@pytest.fixture
def dataset(engine: Engine, owner: Identity) -> str:
    return add_dataset(engine, owner)


def test_no_filter_hides_nothing_but_other_projects_runs(engine: Engine, owner: Identity, dataset: str) -> None:
    add_run(engine, owner, dataset, name="mine")
    with unit_of_work(engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = Identity(owner.user_id, owner.user_name, other.id, "other")
    add_run(engine, stranger, add_dataset(engine, stranger), name="theirs", tags=["theirs"])
    assert found(engine, owner) == ["mine"]
    assert found(engine, owner, q="theirs") == []
    assert found(engine, owner, tag=("theirs",)) == []


def test_states_add_up_and_three_words_stand_for_groups(engine: Engine, owner: Identity, dataset: str) -> None:
    for status in ("queued", "paused", "running", "stopping", "succeeded", "failed"):
        add_run(engine, owner, dataset, name=status, status=status)
    assert found(engine, owner, status=("active",)) == ["stopping", "running"]
    assert found(engine, owner, status=("waiting",)) == ["paused", "queued"]
    assert found(engine, owner, status=("done",)) == ["failed", "succeeded"]
    assert found(engine, owner, status=("failed", "active")) == ["failed", "stopping", "running"]
    with pytest.raises(Invalid) as caught:
        found(engine, owner, status=("finished",))
    assert caught.value.param == "status"


def test_several_tags_must_all_be_there_and_a_part_of_one_is_none(engine: Engine, owner: Identity, dataset: str) -> None:
    add_run(engine, owner, dataset, name="both", tags=["nightly", "größe 9"])
    add_run(engine, owner, dataset, name="one", tags=["nightly"])
    add_run(engine, owner, dataset, name="none")
    assert found(engine, owner, tag=("nightly",)) == ["one", "both"]
    assert found(engine, owner, tag=("nightly", "größe 9")) == ["both"]
    assert found(engine, owner, tag=("night",)) == []
    assert found(engine, owner, tag=('nightly"]',)) == []


@pytest.mark.parametrize("words", ["ÄRGER", "ärger", "bis montag", "montag bis", "Größe", "emails", "hone-star", "E-MAILS ärger"])
def test_words_are_looked_for_in_everything_one_knows_a_run_by(engine: Engine, owner: Identity, dataset: str, words: str) -> None:
    add_run(engine, owner, dataset, name="Ärger emails", notes="Nur bis Montag.", tags=["größe 9"])
    assert found(engine, owner, q=words) == ["Ärger emails"]
    assert found(engine, owner, q=words + " elsewhere") == []


@pytest.mark.parametrize("words", ["100%", "a_b", "%", "/", "\\", "'; --"])
def test_signs_of_a_search_language_mean_themselves(engine: Engine, owner: Identity, dataset: str, words: str) -> None:
    add_run(engine, owner, dataset, name="plain axb 1000")
    assert found(engine, owner, q=words) == []
    add_run(engine, owner, dataset, name=f"with {words} in it")
    assert found(engine, owner, q=words) == [f"with {words} in it"]


def test_the_beginning_of_an_id_finds_a_run_and_two_digits_do_not(engine: Engine, owner: Identity, dataset: str) -> None:
    run = add_run(engine, owner, dataset, name="it")
    assert found(engine, owner, q=run[:20].upper()) == ["it"]
    assert found(engine, owner, q=run[:2]) == []


def test_owner_base_and_dataset_narrow_a_list(engine: Engine, owner: Identity, dataset: str) -> None:
    with unit_of_work(engine) as session:
        ines = User(name="Ines", role="member")
        session.add(ines)
        session.flush()
        person = Identity(ines.id, "Ines", owner.project_id, owner.project_name)
    other = add_dataset(engine, owner)
    add_run(engine, owner, dataset, name="a", base_model="org/base")
    add_run(engine, person, other, name="b")
    with unit_of_work(engine) as session:
        held_out = session.get_one(Dataset, other).version_id
    add_run(engine, person, dataset, name="c", eval_version_id=held_out)
    assert found(engine, owner, owner="Ines") == ["c", "b"]
    assert found(engine, owner, base_model="org/base") == ["a"]
    assert found(engine, owner, dataset_id=other) == ["c", "b"]
    assert found(engine, owner, dataset_id=dataset, owner="Ines", q="c") == ["c"]


def test_counts_follow_a_filter(engine: Engine, owner: Identity, dataset: str) -> None:
    add_run(engine, owner, dataset, name="x", tags=["b", "a"], status="failed")
    add_run(engine, owner, dataset, name="x", tags=["b"])
    add_run(engine, owner, dataset, name="y", tags=["c"])
    with reading(engine) as session:
        assert tag_counts(session, RunFilter(q="x").mine(session, owner)) == [("b", 2), ("a", 1)]
        assert state_counts(session, RunFilter(q="x").mine(session, owner)) == {"failed": 1, "queued": 1}


def test_a_filter_knows_its_parts_and_can_lose_one() -> None:
    wanted = RunFilter(status=("done",), q="x")
    assert wanted.parts == ["status", "q"]
    assert wanted.without("status") == RunFilter(q="x")
