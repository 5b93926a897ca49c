"""Notices: which ends have one, how they are signed, when they come again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Judge
from standardwebhooks.webhooks import WebhookVerificationError

from app.domain.runs import ENDED
from app.domain.webhooks import OF_STATUS, TEST, Ending, Parcel, body_of, headers_of, make_secret, parse_events, pause_after

DAY = 86400.0


def parcel(*secrets: str) -> Parcel:
    body = body_of(Ending.SUCCEEDED, datetime.now(UTC), {"id": "r1", "name": "Überläufer", "url": "http://x/runs/r1"})
    return Parcel("018f", 1, Ending.SUCCEEDED, "https://example.com", body, secrets)


def headers_now(sent: Parcel) -> dict[str, str]:
    return headers_of(sent, int(datetime.now(UTC).timestamp()))


def test_every_state_that_ends_a_run_has_its_notice() -> None:
    assert OF_STATUS.keys() == ENDED
    assert set(OF_STATUS.values()) == set(Ending)


def test_another_library_accepts_our_signature() -> None:
    secret = make_secret()
    sent = parcel(secret)
    assert Judge(secret).verify(sent.body, headers_now(sent)) == json.loads(sent.body)


def test_another_library_refuses_a_body_that_was_changed() -> None:
    secret = make_secret()
    sent = parcel(secret)
    with pytest.raises(WebhookVerificationError):
        Judge(secret).verify(sent.body.replace("r1", "r2"), headers_now(sent))


def test_while_a_secret_changes_both_verify_and_a_third_does_not() -> None:
    new, old = make_secret(), make_secret()
    sent = parcel(new, old)
    for secret in (new, old):
        Judge(secret).verify(sent.body, headers_now(sent))
    with pytest.raises(WebhookVerificationError):
        Judge(make_secret()).verify(sent.body, headers_now(sent))


def test_a_secret_is_as_long_as_the_standard_wants_and_never_the_same() -> None:
    assert make_secret().startswith("whsec_")
    assert 24 <= len(make_secret().removeprefix("whsec_")) * 3 // 4 - 1 <= 64
    assert make_secret() != make_secret()


def test_a_notice_is_tried_for_three_days_and_then_given_up() -> None:
    pauses: list[float] = []
    while (pause := pause_after(len(pauses) + 1, Ending.FAILED)) is not None:
        pauses.append(pause)
    assert len(pauses) == 9
    assert pauses == sorted(pauses[:7]) + pauses[7:]
    assert 2.9 * DAY < sum(pauses) < 3.7 * DAY


def test_pauses_differ_so_that_not_everybody_comes_back_at_once() -> None:
    assert len({pause_after(3, Ending.FAILED) for _ in range(20)}) > 10


def test_a_persons_own_trial_is_tried_once() -> None:
    assert pause_after(1, TEST) is None


def test_events_are_kept_once_in_their_order_and_an_unknown_one_is_named() -> None:
    assert parse_events(["run.failed", "run.succeeded", "run.failed"]) == [Ending.SUCCEEDED, Ending.FAILED]
    with pytest.raises(ValueError, match=r"run\.paused"):
        parse_events(["run.paused"])
