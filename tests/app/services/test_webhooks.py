"""Webhooks from a run's end to an endpoint: what is written with the end, what is sent, how often, and when that is given up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update
from standardwebhooks import Webhook as Judge

import app.db.runs
from app.db import Run, Webhook, WebhookDelivery
from app.db.base import database_clock, utc_now
from app.db.session import reading, unit_of_work
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.runs import MOVES, RunStatus
from app.domain.webhooks import DeliveryStatus, Ending, Reply
from app.gateways.outside import Outside
from app.gateways.secrets import SecretBox
from app.services.accounts import Identity
from app.services.deliveries import Deliveries
from app.services.webhooks import MOST, Webhooks
from app.web.courier import Courier
from tests.app.listening import Endpoint, endpoint
from tests.databases import add_dataset, add_run
from tests.waiting import PATIENCE_SECONDS

STUDIO = "http://127.0.0.1:8000/"


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with endpoint() as listening:
        yield listening


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    return SecretBox("k" * 44, tmp_path)


@pytest.fixture
def courier(engine: Engine, box: SecretBox) -> Courier:
    return Courier(engine, box, Outside(private_allowed=True))


@pytest.fixture
def added(engine: Engine, owner: Identity, box: SecretBox, told: Endpoint) -> tuple[str, str]:
    """An endpoint that hears of every end: its id and its secret."""
    return add(engine, owner, box, told.address)


def add(engine: Engine, by: Identity, box: SecretBox, url: str, *events: str) -> tuple[str, str]:
    with unit_of_work(engine) as session:
        webhook, secret = Webhooks(session, box, private_allowed=True).create(by, url=url, events=events or None, studio_address=STUDIO)
        return webhook.id, secret


def end(engine: Engine, by: Identity, status: RunStatus = RunStatus.CANCELLED, name: str = "emails") -> str:
    """Have a run come to an end, the way every run does: through `move_to`, in a unit of work."""
    before = next(state for state in (RunStatus.QUEUED, RunStatus.STOPPING, RunStatus.FINALIZING) if status in MOVES[state])
    run_id = add_run(engine, by, add_dataset(engine, by), name=name, status=before)
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).move_to(status)
    return run_id


def notices(engine: Engine) -> list[WebhookDelivery]:
    with reading(engine) as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def turn(courier: Courier) -> int:
    return asyncio.run(courier.turn())


def make_due(engine: Engine) -> None:
    with unit_of_work(engine) as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=database_clock() - 1.0))


@pytest.mark.parametrize("ending", list(Ending))
def test_each_end_is_told_once_signed_and_thin(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint, ending: Ending
) -> None:
    run_id = end(engine, owner, RunStatus(ending.removeprefix("run.")))
    assert turn(courier) == 1
    assert turn(courier) == 0
    [heard] = told.heard
    said = Judge(added[1]).verify(heard.body, heard.headers)
    assert said["type"] == ending
    url = f"http://127.0.0.1:8000/runs/{run_id}"
    assert said["data"] == {"id": run_id, "name": "emails", "status": ending.removeprefix("run."), "model": None, "url": url}
    assert len(heard.body) < 20_000


def test_states_that_are_no_end_are_not_told(engine: Engine, owner: Identity, added: tuple[str, str]) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    way = (RunStatus.PAUSED, RunStatus.QUEUED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.STARTING)
    with unit_of_work(engine) as session:
        for status in (*way, RunStatus.RUNNING, RunStatus.STOPPING, RunStatus.FINALIZING):
            session.get_one(Run, run_id).move_to(status)
    assert notices(engine) == []


def test_a_notice_stands_or_falls_with_its_end(engine: Engine, owner: Identity, added: tuple[str, str]) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with suppress(RuntimeError), unit_of_work(engine) as session:
        session.get_one(Run, run_id).move_to(RunStatus.FAILED, "Memory ran out.")
        session.flush()
        raise RuntimeError
    assert notices(engine) == []


def test_a_process_that_dies_between_commit_and_sending_loses_nothing(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    end(engine, owner)
    # Claimed, and then the sender was gone.
    assert len(courier._claim()) == 1
    assert turn(courier) == 0
    make_due(engine)
    assert turn(courier) == 1
    assert [heard.headers["webhook-id"] for heard in told.heard] == [notices(engine)[0].id]


def test_without_the_outbox_the_same_death_loses_the_notice(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The control: what is to be sent is only remembered by the process that ended the run, and that process is gone.
    remembered: list[object] = []
    monkeypatch.setattr(app.db.runs, "announce", lambda *notice: remembered.append(notice))
    end(engine, owner)
    assert len(remembered) == 1
    remembered.clear()
    make_due(engine)
    assert turn(courier) == 0
    assert told.heard == []


def test_two_senders_side_by_side_send_each_notice_once(
    engine: Engine, owner: Identity, box: SecretBox, added: tuple[str, str], told: Endpoint
) -> None:
    for number in range(6):
        end(engine, owner, name=f"run {number}")
    gate = threading.Barrier(2)

    def send() -> None:
        mine = Courier(engine, box, Outside(private_allowed=True))
        gate.wait()
        while asyncio.run(mine.turn()):
            pass

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [heard.headers["webhook-id"] for heard in told.heard]
    assert sorted(ids) == sorted(notice.id for notice in notices(engine))
    assert len(ids) == 6


def test_a_refused_notice_comes_again_later_under_the_same_id_and_with_a_fresh_signature(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.domain.webhooks.PAUSES", (3600.0,))  # the first is five seconds, which a busy machine may take to look
    told.answers = [500, 204]
    end(engine, owner)
    turn(courier)
    [notice] = notices(engine)
    assert (notice.status, notice.attempt, notice.response_status, notice.error) == ("waiting", 1, 500, "It answered 500.")
    assert turn(courier) == 0
    make_due(engine)
    turn(courier)
    first, second = told.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    Judge(added[1]).verify(second.body, second.headers)
    assert notices(engine)[0].status == DeliveryStatus.DELIVERED


def test_a_redirect_is_a_refusal(engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint) -> None:
    told.answers, told.location = [302], told.address
    end(engine, owner)
    turn(courier)
    assert len(told.heard) == 1
    assert "Redirects are not followed" in notices(engine)[0].error


def test_an_endpoint_that_takes_nothing_for_three_days_is_switched_off_with_the_reason(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    told.answers = [503] * 30
    end(engine, owner)
    for _ in range(10):
        make_due(engine)
        assert turn(courier) == 1
    end(engine, owner)
    with reading(engine) as session:
        webhook = session.get_one(Webhook, added[0])
        assert not webhook.enabled
        assert webhook.disabled_reason == "Nothing could be delivered for three days. It answered 503."
    assert [notice.status for notice in notices(engine)] == ["failed"]


def test_one_lost_notice_does_not_switch_off_an_endpoint_that_works(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    end(engine, owner)
    with unit_of_work(engine) as session:
        session.execute(update(WebhookDelivery).values(attempt=9))
        session.execute(update(Webhook).values(last_succeeded_at=utc_now() + timedelta(seconds=1)))
    told.answers = [500]
    turn(courier)
    with reading(engine) as session:
        assert session.get_one(Webhook, added[0]).enabled
    assert notices(engine)[0].status == DeliveryStatus.FAILED


def test_an_endpoint_that_is_gone_is_switched_off_at_once(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    told.answers = [410]
    for name in ("one", "two"):
        end(engine, owner, name=name)
    turn(courier)
    with reading(engine) as session:
        assert session.get_one(Webhook, added[0]).disabled_reason == "It answered 410."


def test_what_waits_for_an_endpoint_is_dropped_when_it_is_switched_off(
    engine: Engine, owner: Identity, box: SecretBox, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    end(engine, owner)
    with unit_of_work(engine) as session:
        Webhooks(session, box, private_allowed=True).set_enabled(owner, added[0], enabled=False)
    end(engine, owner)
    assert turn(courier) == 0
    with unit_of_work(engine) as session:
        Webhooks(session, box, private_allowed=True).set_enabled(owner, added[0], enabled=True)
    end(engine, owner, name="later")
    assert turn(courier) == 1
    assert [json.loads(heard.body)["data"]["name"] for heard in told.heard] == ["later"]


def test_only_what_was_asked_for_is_told(engine: Engine, owner: Identity, box: SecretBox, courier: Courier, told: Endpoint) -> None:
    add(engine, owner, box, told.address, Ending.FAILED)
    for status in (RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.STOPPED):
        end(engine, owner, status)
    assert turn(courier) == 1
    assert json.loads(told.heard[0].body)["type"] == "run.failed"


def test_a_trial_arrives_and_a_failed_one_is_not_repeated(
    engine: Engine, owner: Identity, box: SecretBox, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    told.answers = [204, 500]
    for _ in range(2):
        with unit_of_work(engine) as session:
            Webhooks(session, box, private_allowed=True).test(owner, added[0])
        turn(courier)
    assert [notice.status for notice in notices(engine)] == ["delivered", "failed"]
    with reading(engine) as session:
        assert session.get_one(Webhook, added[0]).enabled


def test_after_a_change_of_secret_both_sign_for_a_day(
    engine: Engine, owner: Identity, box: SecretBox, courier: Courier, added: tuple[str, str], told: Endpoint
) -> None:
    with unit_of_work(engine) as session:
        _, new = Webhooks(session, box, private_allowed=True).change_secret(owner, added[0])
    end(engine, owner)
    turn(courier)
    with unit_of_work(engine) as session:
        session.execute(update(Webhook).values(old_secret_until=database_clock() - 1.0))
    end(engine, owner)
    turn(courier)
    both, one = told.heard
    for secret in (new, added[1]):
        Judge(secret).verify(both.body, both.headers)
    Judge(new).verify(one.body, one.headers)
    assert " " not in one.headers["webhook-signature"]


def test_a_secret_whose_key_is_lost_is_told_and_nothing_is_sent_unsigned(
    engine: Engine, owner: Identity, added: tuple[str, str], told: Endpoint, tmp_path: Path
) -> None:
    end(engine, owner)
    turn(Courier(engine, SecretBox("o" * 44, tmp_path), Outside(private_allowed=True)))
    assert told.heard == []
    with reading(engine) as session:
        assert "locked with another key" in session.get_one(Webhook, added[0]).disabled_reason


def test_a_sender_that_was_overtaken_enters_nothing(engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str]) -> None:
    end(engine, owner)
    [slow] = courier._claim()
    make_due(engine)
    [quick] = courier._claim()
    courier._settle(quick, Reply(204))
    courier._settle(slow, Reply(500, "It answered 500."))
    assert [(notice.status, notice.attempt) for notice in notices(engine)] == [("delivered", 2)]


def test_old_notices_are_forgotten(engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str]) -> None:
    end(engine, owner)
    turn(courier)
    with unit_of_work(engine) as session:
        session.execute(update(WebhookDelivery).values(created_at=utc_now() - timedelta(days=31)))
    end(engine, owner)
    turn(courier)
    assert len(notices(engine)) == 1


def test_secrets_stand_nowhere_readable(engine: Engine, owner: Identity, added: tuple[str, str]) -> None:
    end(engine, owner)
    hidden = added[1].removeprefix("whsec_")
    with reading(engine) as session:
        for table in (Webhook.__table__, WebhookDelivery.__table__):
            assert hidden not in str(session.execute(select(table)).all())


def test_an_end_that_meets_a_deletion_ends_all_the_same(engine: Engine, owner: Identity, box: SecretBox, added: tuple[str, str]) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    begun, ended = threading.Event(), threading.Event()

    def end_slowly() -> None:
        with unit_of_work(engine) as session:
            session.get_one(Run, run_id).move_to(RunStatus.CANCELLED)
            session.flush()
            begun.set()
            ended.wait(0.3)

    thread = threading.Thread(target=end_slowly)
    thread.start()
    begun.wait()
    with unit_of_work(engine) as session:
        Webhooks(session, box, private_allowed=True).delete(owner, added[0])
    ended.set()
    thread.join()
    with reading(engine) as session:
        assert session.get_one(Run, run_id).status == RunStatus.CANCELLED
    assert notices(engine) == []


def test_a_sender_holds_no_notice_while_it_waits_for_another(
    engine: Engine, owner: Identity, courier: Courier, added: tuple[str, str]
) -> None:
    for name in ("one", "two"):
        end(engine, owner, name=name)
    first, second = notices(engine)
    sender = threading.Thread(target=courier._claim)

    def touch(notice: WebhookDelivery) -> None:
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id == notice.id).values(error="touched"))

    with unit_of_work(engine) as session:
        touch(second)
        sender.start()
        sender.join(0.5)
        touch(first)
    sender.join(PATIENCE_SECONDS)
    assert not sender.is_alive()
    assert [(notice.attempt, notice.error) for notice in notices(engine)] == [(1, "touched")] * 2


def test_a_stranger_finds_nothing(engine: Engine, owner: Identity, box: SecretBox, added: tuple[str, str]) -> None:
    stranger = Identity("u", "other", "p", "other")
    with reading(engine) as session:
        webhooks = Webhooks(session, box, private_allowed=True)
        assert webhooks.newest(stranger).items == []
        with pytest.raises(NotFound):
            webhooks.get(stranger, added[0])


def test_a_project_has_only_so_many(engine: Engine, owner: Identity, box: SecretBox, told: Endpoint) -> None:
    for _ in range(MOST):
        add(engine, owner, box, told.address)
    with pytest.raises(Conflict, match="at most"):
        add(engine, owner, box, told.address)


def test_no_event_and_private_addresses_are_refused(engine: Engine, owner: Identity, box: SecretBox) -> None:
    with unit_of_work(engine) as session:
        webhooks = Webhooks(session, box, private_allowed=False)
        with pytest.raises(Invalid, match="HONE_WEBHOOK_PRIVATE") as refused:
            webhooks.create(owner, url="https://10.0.0.1/", events=None, studio_address=STUDIO)
        assert refused.value.param == "url"
        with pytest.raises(Invalid, match="at least one"):
            webhooks.create(owner, url="https://example.com/", events=[], studio_address=STUDIO)


def test_deleting_takes_the_notices_along(engine: Engine, owner: Identity, box: SecretBox, added: tuple[str, str]) -> None:
    end(engine, owner)
    with unit_of_work(engine) as session:
        Webhooks(session, box, private_allowed=True).delete(owner, added[0])
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
        assert Deliveries(session, box).due(5) == []
