"""A row that is written: a system prompt, a question and the answer to learn, as OpenAI's chat format has it."""

from __future__ import annotations

from typing import Any

Row = dict[str, list[dict[str, str]]]
Words = dict[str, Any]
"""The tables of one file of words."""


def row(system: str, user: str, assistant: str) -> Row:
    """Return a conversation."""
    return {"messages": [{"role": role, "content": text} for role, text in zip(ROLES, (system, user, assistant), strict=True)]}


ROLES = ("system", "user", "assistant")


def asked(made: Row) -> str:
    """Return what the user says."""
    return made["messages"][1]["content"]


def answered(made: Row) -> str:
    """Return what the assistant says."""
    return made["messages"][2]["content"]
