"""Secrets in the database: unreadable without the key, and the key can be changed."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from app.domain.errors import StudioError
from app.gateways.secrets import SecretBox

KEY, OTHER = "k" * 44, "o" * 44


def test_what_was_locked_opens_again_and_is_not_readable(tmp_path: Path) -> None:
    locked = SecretBox(KEY, tmp_path).lock("whsec_hidden")
    assert "hidden" not in locked.text
    assert SecretBox(KEY, tmp_path).unlock(locked) == "whsec_hidden"


def test_another_key_opens_nothing_and_says_so(tmp_path: Path) -> None:
    locked = SecretBox(KEY, tmp_path).lock("hidden")
    with pytest.raises(StudioError, match="another key") as caught:
        SecretBox(OTHER, tmp_path).unlock(locked)
    assert "hidden" not in str(caught.value)


def test_a_text_that_was_tampered_with_does_not_open(tmp_path: Path) -> None:
    box = SecretBox(KEY, tmp_path)
    locked = box.lock("hidden")
    with pytest.raises(StudioError, match="cannot be read"):
        box.unlock(type(locked)(locked.text[:-6] + "AAAAAA", locked.key_id))


def test_with_two_keys_the_first_locks_and_both_open(tmp_path: Path) -> None:
    older = SecretBox(KEY, tmp_path).lock("one")
    both = SecretBox(f"{OTHER}, {KEY}", tmp_path)
    assert both.unlock(older) == "one"
    assert SecretBox(OTHER, tmp_path).unlock(both.lock("two")) == "two"


def test_without_a_setting_the_home_gets_a_key_only_its_owner_reads(tmp_path: Path) -> None:
    locked = SecretBox(None, tmp_path).lock("hidden")
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    assert SecretBox(None, tmp_path).unlock(locked) == "hidden"


def test_nothing_is_written_before_there_is_a_secret(tmp_path: Path) -> None:
    SecretBox(None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_begin_together_agree_on_one_key(tmp_path: Path) -> None:
    made: list[str] = []
    gate = threading.Barrier(8)

    def begin() -> None:
        gate.wait()
        made.append(SecretBox(None, tmp_path).lock("x").key_id)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
