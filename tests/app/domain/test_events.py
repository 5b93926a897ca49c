"""What a child says, as the studio reads it."""

from __future__ import annotations

import pytest

from app.domain.events import Finished, parse_event


@pytest.mark.parametrize(("said", "read"), [("a\0b", "a\ufffdb"), ("\0", "\ufffd"), ("\\\0", "\\\ufffd"), ("\\u0000", "\\u0000")])
def test_a_zero_byte_is_no_reason_to_lose_what_is_said(said: str, read: str) -> None:
    event = Finished(status="failed", reason=said, data={"rows": [said]})
    assert parse_event(event.model_dump_json()) == Finished(status="failed", reason=read, data={"rows": [read]})
