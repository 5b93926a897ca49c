"""Identifiers: UUIDv7 strings, which sort by the time they were made (RFC 9562)."""

from uuid_utils import uuid7


def new_id() -> str:
    """Return a fresh identifier; later ones of the same process compare greater."""
    return str(uuid7())
