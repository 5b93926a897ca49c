"""Who a studio takes for its owner, and which names it answers to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.config import Settings

SOMEBODY_ELSE = [{"host": "0.0.0.0"}, {"allowed_hosts": "hone.example.com"}, {"trusted_proxies": "127.0.0.1"}]  # noqa: S104


def test_whoever_sits_at_the_machine_is_the_owner() -> None:
    assert Settings().local_owner
    assert Settings(host="::1", allowed_hosts=" , ").local_owner


@pytest.mark.parametrize("given", SOMEBODY_ELSE, ids=str)
def test_nobody_is_the_owner_unasked_where_others_can_come_in(given: dict[str, str]) -> None:
    assert not Settings(**given).local_owner  # type: ignore[arg-type]


def test_only_known_names_are_answered_to() -> None:
    own = ["127.0.0.1", "localhost", "[::1]"]
    assert Settings().trusted_hosts == own
    assert Settings(allowed_hosts="a.example, b.example").trusted_hosts == ["a.example", "b.example", *own]
    assert Settings(host="0.0.0.0").trusted_hosts == ["*"]  # noqa: S104 - what is bound everywhere goes by any name
    # `hone up` itself asks by 127.0.0.1 whether the studio is ready.
    assert Settings(host="0.0.0.0", allowed_hosts="a.example").trusted_hosts == ["a.example", *own]  # noqa: S104


@pytest.mark.parametrize("listed", ["*", "nginx", "127.0.0.1,proxy.example", "127.0.0.1/8"])
def test_a_proxy_is_named_by_its_address(listed: str) -> None:
    with pytest.raises(ValidationError, match="is no address"):
        Settings(trusted_proxies=listed)


def test_proxies_may_be_a_network() -> None:
    assert Settings(trusted_proxies="172.16.0.0/12, ::1").forwarders == ["172.16.0.0/12", "::1"]
