from __future__ import annotations

from sqlalchemy import Engine

from app.db.session import reading, unit_of_work
from app.services.accounts import Accounts, Identity
from app.services.search import FOUND, MAX_WORDS, NEWEST, Findings, Search, words_of
from tests.databases import add_dataset, add_run


def found(engine: Engine, by: Identity, text: str) -> Findings:
    with reading(engine) as session:
        return Search(session).find(by, words_of(text))


def names(engine: Engine, by: Identity, text: str) -> list[str]:
    return [run.name for run in found(engine, by, text).runs.items]


def test_every_word_must_be_there_in_any_order_and_case(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    for name in ("Parcels long", "parcels short", "letters long"):
        add_run(engine, owner, dataset, name=name)
    assert names(engine, owner, "LONG parc") == ["Parcels long"]
    assert names(engine, owner, "nothing-like-it") == []


def test_what_is_called_so_comes_before_what_only_has_to_do_with_it(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    add_run(engine, owner, dataset, name="e-mails-balanced")
    add_run(engine, owner, dataset, name="typo")
    assert names(engine, owner, "e-mails") == ["e-mails-balanced", "typo"]


def test_notes_tags_and_the_beginning_of_an_id_find_a_run(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    run_id = add_run(engine, owner, dataset, name="one", notes="for the demo on Friday", tags=["candidate"])
    add_run(engine, owner, dataset, name="two")
    for text in ("friday", "candid", run_id):
        assert names(engine, owner, text) == ["one"]


def test_the_signs_of_patterns_stand_for_themselves(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    add_run(engine, owner, dataset, name="100% sure")
    add_run(engine, owner, dataset, name="100 unsure")
    assert names(engine, owner, "100%") == ["100% sure"]
    assert names(engine, owner, "_") == []
    assert names(engine, owner, "' OR 1=1 --") == []


def test_models_and_datasets_are_found_by_name(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    assert [one.id for one in found(engine, owner, "mails").datasets.items] == [dataset]
    assert [one.id for one in found(engine, owner, dataset[:20]).datasets.items] == [dataset]
    add_run(engine, owner, dataset, name="run", model="ft:hone-starter:default:run:1")
    assert found(engine, owner, "ft:").models.items == []  # without an adapter nothing answers


def test_no_search_returns_more_than_it_shows(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    for n in range(FOUND + 2):
        add_run(engine, owner, dataset, name=f"same {n}")
    runs = found(engine, owner, "same").runs
    assert (len(runs.items), runs.has_more, runs.items[0].name) == (FOUND, True, f"same {FOUND + 1}")
    assert len(found(engine, owner, "").runs.items) == NEWEST


def test_nobody_finds_what_is_another_projects(engine: Engine, owner: Identity) -> None:
    add_run(engine, owner, add_dataset(engine, owner), name="secret")
    stranger = Identity(user_id=owner.user_id, user_name="x", project_id="another", project_name="another")
    everything = found(engine, stranger, "secret")
    assert not everything.runs.items
    assert not everything.datasets.items


def test_deleted_datasets_are_not_found(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    with unit_of_work(engine) as session:
        assert Accounts(session).owner()
        from app.db import Dataset
        from app.db.base import utc_now

        session.get_one(Dataset, dataset).deleted_at = utc_now()
    assert found(engine, owner, "mails").datasets.items == []


def test_words_are_printable_and_few() -> None:
    assert words_of("a\0b\tc\ud800d") == ["a", "b", "c", "d"]
    assert len(words_of("word " * 50)) == MAX_WORDS
    assert len(words_of("x" * 5000)[0]) <= 100
