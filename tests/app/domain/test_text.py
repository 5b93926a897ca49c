"""Text that no database keeps or no encoding writes."""

from __future__ import annotations

import pytest

from app.domain.errors import Invalid
from app.domain.text import check_text


@pytest.mark.parametrize(("text", "why"), [("a\0b", "NUL"), ("a\ud800", "lone surrogate"), ("\udfff", "lone surrogate")])
def test_what_cannot_be_kept_is_refused_by_its_field(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=f"^notes: .*{why}") as refused:
        check_text(text, "notes")
    assert refused.value.param == "notes"


def test_a_field_s_own_name_can_always_be_written() -> None:
    with pytest.raises(Invalid) as refused:
        check_text("\0", "a\0\ud800b")
    assert refused.value.message.encode() == "a\ufffdb: holds a NUL character, which cannot be kept.".encode()


def test_whole_characters_are_kept() -> None:
    check_text("Grüße \U0001f600 \ud7ff\ue000", "notes")
