"""Texts are searched many at once for what can be in them, and only those in which it can are looked at one by one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from app.domain.placeholders import SUSPECT, placeholders
from app.domain.repairs import SUSPECT_CONTROL, control_tokens
from workers.curation.pii import SUSPECT as SUSPECT_SECRET
from workers.curation.pii import find_secrets

PIECES = [
    "{{name}}", "{first name}", "<NAME>", "<your name>", "[Your Name]", "[date]", "${x}", "%(x)s", "TODO", "todo", "tbd", "xxx",
    "Lorem Ipsum",
    "<|im_start|>", "<|eot_id|>", "[INST]", "<<SYS>>", "<start_of_turn>", "<s>", "</s>", "<bos>", "[TOOL_CALLS]", "<｜end▁of▁sentence｜>",
    "password: hunter22", "my PIN is 1234", "api_key=abcd1234efgh5678", "Bearer a1b2c3d4e5f6g7h8i9", "postgres://me:s3cret@host/db",
    "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "hf_" + "AbCd" * 9, "sk-" + "a1b2c3d4" * 4, "plain", " ", "\n", "é",
    "{", "}", "[", "]", "<", ">",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def is_suspect(text: str, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.array([text]), pattern)[0].as_py())


@given(TEXTS)
def test_whatever_is_found_in_a_text_has_made_it_suspect(text: str) -> None:
    assert not placeholders(text, is_answer=True) or is_suspect(text, SUSPECT)
    assert not control_tokens(text) or is_suspect(text, SUSPECT_CONTROL)
    assert not find_secrets(text) or is_suspect(text, SUSPECT_SECRET)


def test_most_of_these_pieces_are_found_at_all() -> None:
    found = [piece for piece in PIECES if placeholders(piece, is_answer=True) or control_tokens(piece) or find_secrets(piece)]
    assert len(found) > 25


def test_ordinary_text_is_not_suspect() -> None:
    ordinary = "Although it might rain, the ghost of the old house laughed and went through the wall (twice)."
    assert not any(is_suspect(ordinary, pattern) for pattern in (SUSPECT, SUSPECT_CONTROL, SUSPECT_SECRET))
