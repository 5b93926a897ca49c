"""The store on S3, or what speaks like it: blobs named by their content, read through a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from app.domain.errors import NotFound, StorageUnavailable
from app.domain.ports import Blob, Sealed
from app.gateways.findings import Findings
from app.gateways.storage import GONE, saying_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.gateways.rows import RowPages
    from app.gateways.storage import LocalStorage

log = structlog.get_logger()
PART_BYTES = 16 * 2**20
"""Larger files than two of these go up in parts, so that a cut line costs one part; several are under way at once."""
AT_ONCE = 4
Patience = tuple[int, dict[str, Any]]
PATIENT: Patience = (3, {"connect_timeout": 3, "read_timeout": 20, "retries": {"max_attempts": 1, "mode": "standard"}})
"""How often is asked, and for how long an answer is waited for: a store that is away is said to be away, in the end."""
BRIEF: Patience = (1, {"connect_timeout": 1, "read_timeout": 2, "retries": {"total_max_attempts": 1}})
"""The same for what is asked while others wait for a lock of the database: asked once, and over before they give up."""
IN_USE_SECONDS = 900.0
"""What was asked for so lately stays in the cache, since somebody may be about to open it."""
KEYS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there."


def connect(patience: Patience) -> Any:
    """Return S3 as a file system; keys and addresses are the usual AWS_* variables."""
    import fsspec

    tries, config = patience
    files = fsspec.filesystem("s3", config_kwargs=config, use_listings_cache=False, skip_instance_cache=True)
    files.retries = tries
    return files


class RemoteStorage:
    """Blobs under `address`/blobs/<first two hex digits>/<sha256>; what is read here lies in `cache`, up to `cache_bytes` of it."""

    def __init__(self, address: str, cache: LocalStorage, cache_bytes: int) -> None:
        self.address, self.cache, self.folder, self.cache_bytes = address.rstrip("/"), cache, cache.folder, cache_bytes
        self.files, self.brief = connect(PATIENT), connect(BRIEF)

    @property
    def incoming(self) -> Path:
        """Return the folder of this machine where files are written before they are sealed."""
        return self.cache.incoming

    def seal(self, source: Path) -> Sealed:
        """Flush, hash and upload a finished file: being there before its row is harmless, since its name is its content."""
        sealed = self.cache.seal(source)
        self._upload(sealed)
        self._make_room(coming=sealed.size_bytes)
        return sealed

    def put(self, sealed: Sealed) -> None:
        """Make sure that a sealed file is there: since it was sent, an equal one may have been dropped, and then it is to be sealed again.

        Nothing slow is done here, since the lock on the store is held.
        """
        if self._size_in_brief(sealed.sha256) != sealed.size_bytes:
            message = f"The store at {self.address} has lost a file that was just brought. Nothing was entered; try again."
            raise StorageUnavailable(message)
        if sealed.path.is_file():  # else it was moved by a unit of work that was rolled back and is done again
            self.cache.put(sealed)

    def path(self, sha256: str) -> Path:
        """Return where a blob lies on this machine, fetching it if need be; NotFound when the store has it no more."""
        try:
            found = self.cache.path(sha256)
        except NotFound:
            self._fetch(sha256)
            self._make_room()
            found = self.cache.path(sha256)
        _use(found)
        return found

    def remove(self, sha256: str) -> None:
        """Drop a blob, and what this machine has of it; the lock on the store is held."""
        self.cache.remove(sha256)
        with self._in_words(), suppress(FileNotFoundError):
            self.brief.rm_file(self._place(sha256))

    def rows(self, sha256: str) -> RowPages:
        """Open a dataset's Parquet file."""
        self.path(sha256)
        rows = self.cache.rows(sha256)
        _use(rows.pages)
        return rows

    def findings(self, sha256: str) -> Findings:
        """Open the file that says what was found in each row of a version."""
        return Findings(self.path(sha256))

    def adapter_folder(self, sha256: str) -> Path:
        """Return the unpacked adapter.zip of that content."""
        self.path(sha256)
        folder = self.cache.adapter_folder(sha256)
        _use(folder)
        return folder

    def measure(self, sha256: str) -> tuple[str, int] | None:
        """Return the SHA-256 and the size of what lies on S3 under that name; None when nothing does."""
        size = self._size(sha256)
        if size is None:
            return None
        with self._in_words(), self.files.open(self._place(sha256), "rb", block_size=PART_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), size

    def blobs(self) -> Iterator[Blob]:
        """Yield everything that lies in the store."""
        with self._in_words():
            found = self.files.find(f"{self.address}/blobs", detail=True)
        for name, facts in found.items():
            yield Blob(name.rpartition("/")[2], int(facts["size"]), facts["LastModified"].timestamp())

    def _place(self, sha256: str) -> str:
        return f"{self.address}/blobs/{sha256[:2]}/{sha256}"

    def _size(self, sha256: str) -> int | None:
        with self._in_words():
            try:
                return int(self.files.info(self._place(sha256))["size"])
            except FileNotFoundError:
                return None

    def _size_in_brief(self, sha256: str) -> int | None:
        """Return the size by a single question: `info` would list a folder of that name as well."""
        bucket, key, _ = self.brief.split_path(self._place(sha256))
        with self._in_words():
            try:
                return int(self.brief.call_s3("head_object", Bucket=bucket, Key=key)["ContentLength"])
            except FileNotFoundError:
                return None

    def _upload(self, sealed: Sealed) -> None:
        if self._size(sealed.sha256) == sealed.size_bytes:
            return
        with self._in_words():
            # Each part carries a checksum that the server compares.
            self.files.put_file(str(sealed.path), self._place(sealed.sha256), chunksize=PART_BYTES, max_concurrency=AT_ONCE)
        if self._size(sealed.sha256) != sealed.size_bytes:
            message = f"The store at {self.address} took a file and has not all of it. Nothing was entered; try again."
            raise StorageUnavailable(message)

    def _fetch(self, sha256: str) -> None:
        """Bring a blob into the cache, whole; who asks for it at the same time brings it too, and one of them stays."""
        descriptor, name = tempfile.mkstemp(dir=self.incoming, prefix="fetched-")
        os.close(descriptor)
        arrived = Path(name)
        try:
            self.export(sha256, arrived)
            sealed = self.cache.seal(arrived)
            if sealed.sha256 != sha256:
                log.error("a file of the store is damaged", sha256=sha256, found=sealed.sha256)
                message = "This file is damaged in the store. Restore it from a backup, or make it again."
                raise NotFound(message, code="file_damaged")
            self.cache.put(sealed)
        finally:
            arrived.unlink(missing_ok=True)

    def export(self, sha256: str, target: Path) -> None:
        """Copy a blob to a file of this machine, past the cache; NotFound when it is gone."""
        with self._in_words(target.parent):
            try:
                self.files.get_file(self._place(sha256), str(target), chunksize=PART_BYTES, max_concurrency=AT_ONCE)
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                raise NotFound(GONE, code="file_missing") from None

    def _make_room(self, *, coming: int = 0) -> None:
        """Drop what was not used for the longest time, until the cache is as small as it should be with what is coming."""
        entries = sorted(self.cache.entries(), key=lambda entry: entry.used)
        total = coming + sum(entry.size_bytes for entry in entries)
        for entry in entries:
            if total <= self.cache_bytes or time.time() - entry.used < IN_USE_SECONDS:
                return
            shutil.rmtree(entry.path, ignore_errors=True) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
            total -= entry.size_bytes

    @contextmanager
    def _in_words(self, folder: Path | None = None) -> Iterator[None]:
        """Say what is wrong with the store, and where, so that somebody can do something about it. No key is ever said.

        `folder` is where on this machine something is written, if not into the cache; its disk speaks for itself.
        """
        try:
            with saying_full(folder or self.folder):
                yield
        except troubles() as error:
            if isinstance(error, OSError) and error.filename:
                raise
            raise self._meaning(error) from error

    def _meaning(self, error: Exception) -> Exception:
        from botocore.exceptions import NoCredentialsError

        if isinstance(error, FileNotFoundError):
            return StorageUnavailable(f"There is no bucket for the store at {self.address}. Make it, or correct HONE_STORAGE_URL.")
        if isinstance(error, NoCredentialsError):
            return StorageUnavailable(f"The store at {self.address} asks for keys, and there are none. {KEYS}")
        if isinstance(error, PermissionError):
            return StorageUnavailable(f"The store at {self.address} refuses these keys. {KEYS}")
        log.warning("the store does not answer", store=self.address, error=f"{type(error).__name__}: {error}")
        return StorageUnavailable(f"The store at {self.address} does not answer ({type(error).__name__}). Try again in a moment.")


def troubles() -> tuple[type[Exception], ...]:
    """Return how a store that is away, or refuses us, shows itself; anything else is a fault of ours."""
    from botocore.exceptions import BotoCoreError, ClientError
    from s3fs.core import S3_RETRYABLE_ERRORS

    return (OSError, BotoCoreError, ClientError, *S3_RETRYABLE_ERRORS)


def code_of(error: Exception) -> str:
    """Return what S3 itself calls an error."""
    return str(getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", ""))


def _use(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.utime(path)  # not touch, which would make it
