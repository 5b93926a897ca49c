"""Who a studio takes for its owner, which names it answers to, and where it keeps its files."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(("url", "folder"), [
    (None, "/h/artifacts"), ("", "/h/artifacts"), ("file:///a%20b/c", "/a b/c"), ("file://localhost/a", "/a"),
    ("s3://bucket/x", "/h/cache"),
])  # fmt: skip
def test_the_store_has_a_folder_here(url: str | None, folder: str) -> None:
    assert Settings(home=Path("/h"), storage_url=url).store == Path(folder)


@pytest.mark.parametrize("url", ["/a/folder", "file:folder", "file://elsewhere/a", "s3://", "s3://key:a-secret@bucket/x", "gs://bucket"])
def test_a_store_that_is_not_offered_is_refused_without_saying_what_was_given(url: str) -> None:
    with pytest.raises(ValidationError, match="use file:///path or s3://bucket/prefix, without keys") as told:
        Settings(storage_url=url)
    assert "a-secret" not in str(told.value)
