"""Secrets kept in the database, encrypted: the key stands in HONE_SECRET_KEY, or in a file of the home that only its owner reads."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import tempfile
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.domain.errors import StudioError
from app.domain.ports import Locked

KEY_FILE = "secret.key"


class SecretBox:
    """Locks and unlocks texts. With several keys the first one locks, and all unlock: so a key can be changed.

    `makes_key`: whoever only unlocks makes no key where there is none; it would not be the right one.
    """

    def __init__(self, given: str | None, home: Path, *, makes_key: bool = True) -> None:
        self._given, self._file, self._makes_key = given, home / KEY_FILE, makes_key

    def lock(self, text: str) -> Locked:
        """Encrypt a text."""
        key_id, key = next(iter(self._keys.items()))
        return Locked(key.encrypt(text.encode()).decode(), key_id)

    def unlock(self, locked: Locked) -> str:
        """Decrypt a text; StudioError when its key is not among ours."""
        key = self._keys.get(locked.key_id)
        try:
            if key is not None:
                return key.decrypt(locked.text).decode()
        except InvalidToken:
            pass
        message = f"A stored secret cannot be read: it was locked with another key ({locked.key_id}) than this studio has."
        raise StudioError(message, code="secret_unreadable")

    @cached_property
    def _keys(self) -> dict[str, Fernet]:
        if not (self._given or self._makes_key or self._file.exists()):
            return {}
        written = [part.strip() for part in self._given.split(",") if part.strip()] if self._given else [self._of_file()]
        return {hashlib.sha256(part.encode()).hexdigest()[:16]: _fernet(part) for part in written}

    def _of_file(self) -> str:
        """Read the key of this home, or make it: whole at once, and never over another's."""
        if not self._file.exists():
            # A file of this kind can be read by its owner alone from the start.
            descriptor, made = tempfile.mkstemp(dir=self._file.parent, prefix=KEY_FILE)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(made, self._file)
            except FileExistsError:
                pass
            finally:
                Path(made).unlink()
        return self._file.read_text(encoding="ascii").strip()


def _fernet(written: str) -> Fernet:
    # Keys are random already; this only brings one to the length that is wanted.
    derived = HKDF(SHA256(), 32, salt=None, info=b"hone secrets").derive(written.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
