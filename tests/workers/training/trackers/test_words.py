from __future__ import annotations

import pytest

from workers.training.trackers.words import in_words, without_secrets


def caused(outer: str, inner: Exception) -> Exception:
    """Return an error that a library raised because of another."""
    error = RuntimeError(outer)
    error.__cause__ = inner
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused("Max retries exceeded", ConnectionRefusedError(111, "Connection refused")), "the connection was refused"),
        (caused("run init failed", TimeoutError()), "it does not answer"),
        (RuntimeError("API request failed with error code 403 != 200"), "it does not accept the key"),
        (OSError("[Errno -2] Name or service not known"), "its name leads to no address"),
        (RuntimeError("response 503"), "it has an error of its own"),
        (ValueError("no such experiment.\nmore"), "no such experiment"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_libraries_raise_is_told_plainly(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_keys_and_signed_addresses_are_never_told() -> None:
    told = without_secrets("https://ann:pw@host/x?key=abc123 abc123 7", {"WANDB_API_KEY": "abc123", "STEPS": "7", "EMPTY_TOKEN": ""})
    assert told == "https://…@host/x?key=… … 7"
