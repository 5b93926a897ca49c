"""Which store a studio keeps its files in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.gateways.storage import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path

    from app.gateways.remote_storage import RemoteStorage

    Store = LocalStorage | RemoteStorage


def make_store(address: str, folder: Path, cache_bytes: int) -> Store:
    """Return the store at an address; opens no connection. `folder`: the store itself, or what is read here of a remote one."""
    local = LocalStorage(folder)
    if address.startswith("file:"):
        return local
    from app.gateways.remote_storage import RemoteStorage  # it loads the libraries of S3

    return RemoteStorage(address, local, cache_bytes)
