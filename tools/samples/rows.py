"""A row of a sample: a conversation of three messages."""

from __future__ import annotations

Row = dict[str, list[dict[str, str]]]


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
