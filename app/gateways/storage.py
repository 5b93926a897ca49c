"""The store: blobs in a local folder, named by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import NotFound, StorageFull
from app.domain.figures import in_bytes
from app.domain.ports import Blob, Sealed
from app.gateways.findings import Findings
from app.gateways.rows import RowPages

GONE = "This file is not in the store any more. Restore the store from a backup, or make it again."


@dataclass(frozen=True)
class Entry:
    """Something that lies in the folder: where, how large it is, and when it was last asked for."""

    path: Path
    size_bytes: int
    used: float


class LocalStorage:
    """Blobs under `folder`/blobs/<first two hex digits>/<sha256>."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def incoming(self) -> Path:
        """Return the folder (of the same file system) where files are written before they are put."""
        folder = self.folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def seal(self, source: Path) -> Sealed:
        """Flush and hash a finished file; slow for large ones, so done before any lock is held."""
        with saying_full(self.folder), source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        return Sealed(source, sha256, source.stat().st_size)

    def put(self, sealed: Sealed) -> None:
        """Move a sealed file in and make it last; a twin of the same content is replaced by it."""
        target = self._place(sealed.sha256)
        with saying_full(self.folder):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            sealed.path.replace(target)
        except FileNotFoundError:
            # Moved already, by a unit of work that was rolled back and is done again.
            if not target.is_file():
                raise
        # Without this the name could be gone after a power cut, though its row is there.
        for folder in (target.parent, target.parent.parent):
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)

    def _place(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256[:2] / sha256

    def _unpacked(self, sha256: str) -> Path:
        return self.folder / "adapters" / sha256

    def _pages(self, sha256: str) -> Path:
        return self.folder / "pages" / sha256

    def path(self, sha256: str) -> Path:
        """Return where a blob lies; NotFound when somebody took it away."""
        place = self._place(sha256)
        if not place.is_file():
            raise NotFound(GONE, code="file_missing")
        return place

    def remove(self, sha256: str) -> None:
        """Drop a blob, and what was made of it."""
        self._place(sha256).unlink(missing_ok=True)
        self._pages(sha256).unlink(missing_ok=True)
        shutil.rmtree(self._unpacked(sha256), ignore_errors=True)

    def rows(self, sha256: str) -> RowPages:
        """Open a dataset's Parquet file."""
        return RowPages(self.path(sha256), self._pages(sha256))

    def findings(self, sha256: str) -> Findings:
        """Open the file that says what was found in each row of a version."""
        return Findings(self.path(sha256))

    def adapter_folder(self, sha256: str) -> Path:
        """Return the unpacked adapter.zip of that content, unpacking it at first use."""
        target = self._unpacked(sha256)
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(dir=target.parent))
            try:
                with saying_full(self.folder), zipfile.ZipFile(self.path(sha256)) as archive:
                    archive.extractall(part)
                with suppress(OSError):  # another process was quicker
                    part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return target

    def export(self, sha256: str, target: Path) -> None:
        """Copy a blob to somewhere else; NotFound when it is gone."""
        try:
            shutil.copyfile(self._place(sha256), target)
        except FileNotFoundError:
            raise NotFound(GONE, code="file_missing") from None

    def measure(self, sha256: str) -> tuple[str, int] | None:
        """Return the SHA-256 and the size of what lies under that name; None when nothing does."""
        try:
            with self._place(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None

    def blobs(self) -> Iterator[Blob]:
        """Yield everything that lies in the store."""
        for path in (self.folder / "blobs").glob("??/*"):
            with suppress(FileNotFoundError):  # removed in this moment
                facts = path.stat()
                yield Blob(path.name, facts.st_size, facts.st_mtime)

    def entries(self) -> Iterator[Entry]:
        """Yield blobs and what was made of them, to choose from what is not needed here."""
        for path in [*(self.folder / "blobs").glob("??/*"), *(self.folder / "adapters").glob("*"), *(self.folder / "pages").glob("*")]:
            with suppress(FileNotFoundError):
                files = [*path.iterdir()] if path.is_dir() else [path]
                yield Entry(path, sum(file.stat().st_size for file in files), path.stat().st_mtime)


@contextmanager
def saying_full(folder: Path) -> Iterator[None]:
    """Say in words that a disk is full, and which."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        free = shutil.disk_usage(folder).free
        message = f"The disk of {folder} is full ({in_bytes(free)} are free). Nothing was kept; free some space there and try again."
        raise StorageFull(message) from error
