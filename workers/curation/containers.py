"""What an upload is packed in: gzip, Zstandard, bzip2, xz, LZ4 and zip are unpacked into one scratch file, within bounds.

A small file can unpack to one that fills the disk, so bytes are counted as they come out. Names inside an archive are shown and tell
what is in a file, but nothing is ever written under them.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.domain.errors import Invalid, StudioError, UnsupportedType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_RATIO = 100
FREE_BYTES = 10 * 1024 * 1024
"""So much may come out of anything, however small it was."""
OF_ALL_FILES = frozenset({"bomb", "too_large"})
"""Codes of what is counted over all files of an import, so that it ends with them."""
MAX_MEMBERS = 1_000
PIECE_BYTES = 256 * 1024
HEAD_BYTES = 512
SUFFIXES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4")
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error, ValueError, OSError)
OF_ROWS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".parquet", ".arrow", ".feather", ".ipc", ".xlsx")
"""Beside members of such names, others in an archive describe the rows: a read-me, a licence, a picture."""
HIDDEN = re.compile(r"(?:^|/)(?:__MACOSX/|\.[^./][^/]*|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
MAX_NAMES_TOLD = 5


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as it was uploaded, and what it was called."""

    path: Path
    filename: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file that rows are read from, unpacked: where it lies, its name, and the place of its upload among the others."""

    path: Path
    name: str
    file: int = 0
    member: str | None = None
    weight: int = 0
    """How many bytes of the upload it makes up, packed as they are."""
    unread: StudioError | None = None
    """Why it could not be unpacked, while others of its archive can be."""


def _by_arrow(file: IO[bytes], packing: str) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file), packing)


PACKINGS: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"\x28\xb5\x2f\xfd", partial(_by_arrow, packing="zstd")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"\x04\x22\x4d\x18", partial(_by_arrow, packing="lz4")),
)
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class Unpacking:
    """Unpacks the files of an import, one at a time, into `scratch`."""

    def __init__(self, scratch: Path, max_bytes: int) -> None:
        self.scratch, self.max_bytes = scratch, max_bytes
        self.notes: list[str] = []
        self._packed = self._out = 0

    def parts(self, file: UploadedFile, place: int = 0) -> Iterator[Part]:
        """Yield what rows of an upload are to be read from; a part's file is there until the next is asked for."""
        size = file.path.stat().st_size
        self._packed += size
        kind = _kind(file.path)
        try:
            if kind is zipfile.ZipFile and not is_workbook(file.path, file.filename):
                yield from self._members(file, place)
            elif kind is None or kind is zipfile.ZipFile:
                yield Part(file.path, file.filename, place, weight=size)
            else:
                self._unpack(file, kind)
                yield Part(self.scratch, without_suffix(file.filename), place, weight=size)
        finally:
            self.scratch.unlink(missing_ok=True)

    def names(self, file: UploadedFile) -> list[str]:
        """Return the names that `parts` will give, without unpacking anything."""
        if _kind(file.path) is not zipfile.ZipFile or is_workbook(file.path, file.filename):
            return [without_suffix(file.filename)]
        with _in_words(file.filename), zipfile.ZipFile(file.path) as archive:
            return [member.filename for member in self._chosen(archive, file.filename)[0]]

    def _unpack(self, file: UploadedFile, opened: Callable[[IO[bytes]], Any]) -> None:
        with _in_words(file.filename), file.path.open("rb") as packed, opened(packed) as stream:
            self._copy(stream, file.filename)
        _refuse_packed_again(self.scratch, file.filename)

    def _members(self, file: UploadedFile, place: int) -> Iterator[Part]:
        with _in_words(file.filename), zipfile.ZipFile(file.path) as archive:
            members, others = self._chosen(archive, file.filename)
        if others:
            shown = ", ".join(member.filename[-80:] for member in others[:MAX_NAMES_TOLD]) + (" …" if len(others) > MAX_NAMES_TOLD else "")
            self.notes.append(f"{file.filename[-80:]} also holds files that are no rows, and were not read: {shown}.")
        for member in members:
            why = self._unpack_member(file, member)
            yield Part(self.scratch, member.filename, place, member.filename, member.compress_size, why)

    def _unpack_member(self, file: UploadedFile, member: zipfile.ZipInfo) -> StudioError | None:
        """Return why a member cannot be read, if so; what is counted over all files is raised."""
        name = f"{member.filename[-80:]} in {file.filename[-80:]}"
        try:
            with _in_words(name), zipfile.ZipFile(file.path) as archive, archive.open(member) as stream:
                self._copy(stream, name)
            _refuse_packed_again(self.scratch, member.filename)
        except StudioError as error:
            if error.code in OF_ALL_FILES:
                raise
            return error
        return None

    def _chosen(self, archive: zipfile.ZipFile, filename: str) -> tuple[list[zipfile.ZipInfo], list[zipfile.ZipInfo]]:
        """Return the members to read, and those that only come with them."""
        given = archive.infolist()
        if len(given) > MAX_MEMBERS:
            raise Invalid(
                f"{filename[-80:]} holds {len(given):,} files; up to {MAX_MEMBERS:,} can be read at once.",
                param="file",
                code="too_many_files",
            )
        there_are = [member for member in given if not member.is_dir() and not HIDDEN.search(member.filename)]
        for member in there_are:
            _refuse_member(member, filename)
        of_rows = [member for member in there_are if member.filename.casefold().endswith(OF_ROWS)]
        if not there_are:
            raise Invalid(f"{filename[-80:]} is a zip archive without files.", param="file", code="no_rows")
        return (of_rows, [member for member in there_are if member not in of_rows]) if of_rows else (there_are, [])

    def _copy(self, stream: Any, name: str) -> None:
        with self.scratch.open("wb") as scratch:
            while piece := stream.read(PIECE_BYTES):
                self._out += len(piece)
                if self._out > self.max_bytes:
                    message = f"{name[-160:]} unpacks to more than {self.max_bytes:,} bytes, the most this studio takes."
                    raise Invalid(f"{message} Split it.", param="file", code="too_large")
                if self._out > FREE_BYTES and self._out > MAX_RATIO * self._packed:
                    message = f"{name[-160:]} unpacks to more than {MAX_RATIO} times its size, as files do that are made to fill a disk."
                    raise Invalid(f"{message} Unpack it yourself and upload what is inside.", param="file", code="bomb")
                scratch.write(piece)


def without_suffix(filename: str) -> str:
    """Return the name that a packed file's content had."""
    return next((filename[: -len(suffix)] for suffix in SUFFIXES if filename.casefold().endswith(suffix)), filename)


def is_workbook(path: Path, name: str) -> bool:
    """Whether a zip archive is an Excel workbook; other documents that are zip archives are refused."""
    with _in_words(name), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if "xl/workbook.xml" in names:
        return True
    document = {"word/document.xml": "a Word document", "ppt/presentation.xml": "a PowerPoint file", "content.xml": "an OpenDocument file"}
    found = next((what for name, what in document.items() if name in names), None)
    if found:
        raise UnsupportedType(
            f"{name[-80:]} is {found}. Save what is in it as CSV or text, and upload that.", param="file", code="unsupported_type"
        )
    return False


def _kind(path: Path) -> Callable[[IO[bytes]], Any] | None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(ZIP_MARKS):
        return zipfile.ZipFile
    return next((opened for mark, opened in PACKINGS if head.startswith(mark) and _is_really(mark, head)), None)


def _is_really(mark: bytes, head: bytes) -> bool:
    """Tell bzip2 from a text that begins with the same letters."""
    return mark != b"BZh" or re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head) is not None


def _refuse_member(member: zipfile.ZipInfo, filename: str) -> None:
    if member.flag_bits & 1:
        raise Invalid(f"{filename[-80:]} is locked with a password. Unpack it and upload what is inside.", param="file", code="encrypted")
    if stat.S_ISLNK(member.external_attr >> 16):
        message = f"{filename[-80:]} holds a link ({member.filename[-80:]}) in place of a file. Pack the file itself."
        raise Invalid(message, param="file", code="unsafe_archive")


def _refuse_packed_again(path: Path, name: str) -> None:
    if (kind := _kind(path)) and not (kind is zipfile.ZipFile and is_workbook(path, name)):
        message = f"{name[-80:]} is packed twice: there is an archive inside an archive. Unpack the outer one and upload what is inside."
        raise Invalid(message, param="file", code="nested_archive")


def is_the_disk(error: Exception) -> bool:
    """Whether the disk failed, and not the file: a file that names a place before its beginning is but a damaged one."""
    return isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Say what is wrong with a packed file so that its owner can do something about it."""
    try:
        yield
    except RuntimeError as error:  # how zipfile tells of a password, and of packings it does not know
        message = f"{name[-165:]} is packed in a way that cannot be read here ({error}). Unpack it and upload what is inside."
        raise Invalid(message, param="file", code="unknown_packing") from None
    except DAMAGED as error:
        if is_the_disk(error):
            raise
        message = f"{name[-165:]} is damaged: it cannot be unpacked to its end. Pack or download it again."
        raise Invalid(message, param="file", code="damaged") from None
