"""A question that may hang is asked by one thread, and again when that could not even begin."""

from __future__ import annotations

import threading

import pytest

from app.services.probe import Probe
from tests.waiting import PATIENCE_SECONDS


def test_where_no_thread_could_be_started_the_next_one_asks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(lambda: 42)

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            probe.start()
    assert probe.start().result(PATIENCE_SECONDS) == 42
