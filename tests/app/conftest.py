"""Fixtures of the application's tests."""

from tests.databases import engine, migrated_sqlite, owner, postgresql_url, sqlite_engine

__all__ = ["engine", "migrated_sqlite", "owner", "postgresql_url", "sqlite_engine"]
