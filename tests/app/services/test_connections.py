"""Keys for what is outside: kept encrypted, shown by their end, read by nobody of another project, and for no address one may not name."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, func, select, update

from app.db import AuditEntry, Connection, Project, User
from app.db.session import reading, unit_of_work
from app.domain.connections import OutsideModel
from app.domain.errors import Invalid, NotFound, StudioError
from app.gateways.secrets import SecretBox
from app.services.accounts import Identity
from app.services.connections import Connections

TOKEN = "hf_canary_of_a_token_9f3c"
LARGE = {"name": "the large one", "url": "https://api.example.com/v1/", "model": "large-2026", "key": "sk-canary-of-a-key-77aa"}


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return SecretBox("k" * 44, tmp_path)


def test_a_token_is_replaced_shown_by_its_end_and_forgotten(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        connections = Connections(session, box)
        connections.set_hub_token(owner, "hf_the_one_of_before_1111")
        stored = connections.set_hub_token(owner, f" {TOKEN}\n")
        assert (stored.hint, connections.hub_token(owner.project_id)) == ("9f3c", TOKEN)
    with unit_of_work(engine) as session:
        assert [row.hint for row in session.scalars(select(Connection))] == ["9f3c"]
        Connections(session, box).remove_hub_token(owner)
        assert Connections(session, box).hub_token(owner.project_id) is None
        actions = list(session.scalars(select(AuditEntry.action)))
    assert actions == ["connection.hub_token_set", "connection.hub_token_set", "connection.hub_token_removed"]


def test_of_many_who_store_a_token_at_once_one_entry_is_left(engine: Engine, owner: Identity, box: SecretBox) -> None:
    gate = threading.Barrier(4)

    def store() -> None:
        gate.wait()
        with unit_of_work(engine) as session:
            Connections(session, box).set_hub_token(owner, TOKEN)

    threads = [threading.Thread(target=store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(Connection)) == 1


def test_forgetting_the_token_forgets_every_one_that_was_entered(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        session.add_all(Connection(project_id=owner.project_id, kind="hub", name="Hub", secret="x", secret_key_id="y") for _ in range(2))
        session.flush()
        Connections(session, box).remove_hub_token(owner)
        assert session.scalar(select(func.count()).select_from(Connection)) == 0


def test_neither_the_database_nor_the_audit_holds_a_key(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        Connections(session, box).set_hub_token(owner, TOKEN)
        Connections(session, box).add_outside(owner, OutsideModel.model_validate(LARGE))
    with reading(engine) as session:
        written = [str(row.__dict__) for table in (Connection, AuditEntry) for row in session.scalars(select(table))]
    assert len(written) == 4
    assert not [row for row in written if "canary" in row]


def test_another_project_has_no_part_in_it(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = Identity(owner.user_id, "stranger", other.id, "other")
        connections = Connections(session, box)
        connections.set_hub_token(owner, TOKEN)
        made = connections.add_outside(owner, OutsideModel.model_validate(LARGE))
        assert (connections.hub(stranger), connections.hub_token(other.id), list(connections.outside(stranger))) == (None, None, [])
        with pytest.raises(NotFound):
            connections.remove(stranger, made.id)


def test_an_outside_model_is_kept_as_it_is_asked(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        connections = Connections(session, box)
        made = connections.add_outside(owner, OutsideModel.model_validate(LARGE))
        assert (made.url, made.hint, connections.secret_of(made)) == ("https://api.example.com/v1", "77aa", LARGE["key"])
        without = connections.add_outside(owner, OutsideModel(name="here", url="http://10.0.0.4:8000/v1/chat/completions", model="m"))
        assert (without.url, connections.secret_of(without), without.private_allowed) == ("http://10.0.0.4:8000/v1", None, True)
        connections.remove(owner, made.id)
        assert list(connections.outside(owner)) == [without]


@pytest.mark.parametrize("url", ["http://169.254.169.254/v1", "https://[fd00:ec2::254]/v1", "http://0.0.0.0/v1", "http://100.64.0.1/v1"])
def test_where_clouds_tell_their_secrets_nobody_is_asked(engine: Engine, owner: Identity, box: SecretBox, url: str) -> None:
    with unit_of_work(engine) as session, pytest.raises(Invalid) as refused:
        Connections(session, box, private_allowed=True).add_outside(owner, OutsideModel(name="x", url=url, model="m"))
    assert (refused.value.param, refused.value.code) == ("url", "unusable_address")


def test_only_an_owner_names_addresses_of_this_network_unless_all_may(engine: Engine, owner: Identity, box: SecretBox) -> None:
    wanted = OutsideModel(name="x", url="http://192.168.1.4:8000/v1", model="m")
    with unit_of_work(engine) as session:
        session.execute(update(User).where(User.id == owner.user_id).values(role="member"))
        with pytest.raises(Invalid, match="HONE_FETCH_PRIVATE=true"):
            Connections(session, box).add_outside(owner, wanted)
        assert Connections(session, box, private_allowed=True).add_outside(owner, wanted).private_allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://xn--/v1",
        "https://a..com/v1",
        f"https://{'a' * 64}.com/v1",
        "https://a.com/v1?key=x",
        "https://a.com/v1#x",
        "https://a.com:99999/v1",
    ],
)
def test_an_address_that_could_not_be_asked_later_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValidationError, match="address"):
        OutsideModel.model_validate(LARGE | {"url": url})


@pytest.mark.parametrize("field", ["name", "url", "model"])
def test_no_field_holds_what_a_database_cannot_keep(field: str) -> None:
    with pytest.raises(ValidationError, match="NUL"):
        OutsideModel.model_validate(LARGE | {field: f"{LARGE[field]}\0x"})


@pytest.mark.parametrize("key", ["", "with a space", "läng", "x" * 501, "a\x00b"])
def test_what_is_no_key_is_refused_without_being_repeated(engine: Engine, owner: Identity, box: SecretBox, key: str) -> None:
    with unit_of_work(engine) as session, pytest.raises(Invalid) as refused:
        Connections(session, box).set_hub_token(owner, key)
    assert not key or key not in refused.value.message


def test_a_key_that_makes_no_sense_is_not_in_the_complaint() -> None:
    with pytest.raises(ValidationError) as refused:
        OutsideModel.model_validate(LARGE | {"key": "canary with spaces"})
    assert "canary" not in str(refused.value)


def test_without_the_studio_s_key_it_stays_locked(engine: Engine, owner: Identity, box: SecretBox, tmp_path: Path) -> None:
    with unit_of_work(engine) as session:
        Connections(session, box).set_hub_token(owner, TOKEN)
        with pytest.raises(StudioError) as closed:
            Connections(session, SecretBox("o" * 44, tmp_path)).hub_token(owner.project_id)
    assert closed.value.code == "secret_unreadable"
