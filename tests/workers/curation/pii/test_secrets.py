"""Keys, tokens and passwords; none of these opens anything."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workers.curation.pii.secrets import SUSPECT, entropy, find_secrets

LETTERS = "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA"


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_secrets(text)]


KEYS = [
    "AKIAIOSFODNN7EXAMPLE",
    f"ghp_{LETTERS}abcd",
    f"github_pat_{LETTERS}_{LETTERS}",
    f"sk-proj-{LETTERS}",
    f"sk-ant-api03-{LETTERS}",
    "hf_abcdefGHIJklmnopQRSTuvwxyzABCDefgh",
    f"xoxb-123456789012-{LETTERS}",
    f"sk_live_{LETTERS}",
    f"AIza{LETTERS}abc",
    f"hone_{LETTERS}",
    f"glpat-{LETTERS}",
    f"npm_{LETTERS}abcd",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{LETTERS}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{LETTERS}\n{LETTERS}\n-----END RSA PRIVATE KEY-----",
]
CALLED = [
    ("password: hunter2!", "hunter2!"),
    ("my password is Tr0ub4dor&3, sorry", "Tr0ub4dor&3"),
    ("pwd=correct.Horse7", "correct.Horse7"),
    ("The PIN is 4821.", "4821"),
    ("cvv 123", "123"),
    ("postgres://me:s3cr3tpw@db.example.org/x", "s3cr3tpw"),
    ('api_key = "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"', "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"),
    (f"Authorization: Bearer {LETTERS}", LETTERS),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_known_maker_is_found(key: str) -> None:
    assert found(f"use {key} for it") == [key]


@pytest.mark.parametrize(("text", "secret"), CALLED)
def test_what_a_text_calls_a_secret_is_found(text: str, secret: str) -> None:
    assert [each.rstrip("!") for each in found(text)] == [secret.rstrip("!")]


@pytest.mark.parametrize(
    "text",
    [
        "my password is wrong",
        "the password is reset by mail",
        "password: ********",
        "password: your_database_password",
        "password: ${DB_PASSWORD}",
        'token = os.environ["TOKEN"]',
        "api_key: <your key here>",
        "secret: {{secret}}",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "the key is under the mat",
        "a token of my appreciation",
        "pin the note to the board",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ski-mask-and-gloves-for-the-holiday",
    ],
)
def test_what_is_no_secret_is_left(text: str) -> None:
    assert found(text) == []


def test_entropy_is_none_for_one_letter_and_more_for_many() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2


def test_a_whole_column_can_be_searched_for_what_may_hold_one() -> None:
    texts = [*KEYS, *(text for text, _ in CALLED), "I might sing in the morning.", "Where is my parcel?", "https://example.org/a:b"]
    assert pc.match_substring_regex(pa.array(texts), SUSPECT).to_pylist() == [True] * (len(texts) - 3) + [False] * 3
