"""Multipart uploads, streamed straight to the store's disk: no second copy, no memory, and a wrong file is refused at its first bytes."""

from __future__ import annotations

import errno
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio
from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.domain.errors import Invalid, StudioError, TooLarge, Unavailable
from app.domain.ports import Brought
from app.domain.text import check_text
from app.domain.uploads import check_first_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

HEAD_BYTES = 4096
MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 120
MAX_FILES = 100
FORM_BYTES = 64 * 1024
"""What a form may weigh beside its file."""
DRAIN_SECONDS = 20.0
PIECE_BYTES = 1024 * 1024


@dataclass
class Upload:
    """Finished uploads: where their bytes lie, what they were called, and the form's other fields."""

    files: list[Brought]
    fields: dict[str, str] = field(default_factory=dict)


class _Arriving:
    """A file on its way to the disk; what its first bytes show is looked at as soon as they are here."""

    def __init__(self, folder: Path, filename: str) -> None:
        # Only ever shown: the bytes lie under a name of our own.
        self.filename = filename.replace("\\", "/").rsplit("/", 1)[-1] or "upload"
        check_text(self.filename, "filename")
        self._head, self._is_checked = b"", False
        self.is_whole = False
        with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as made:
            self.path = Path(made.name)
        self._file: BinaryIO = self.path.open("wb")

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._is_checked:
            self._head += data[:HEAD_BYTES]
            self._check(at_end=False)
        self._file.write(data)

    def finish(self) -> None:
        """Close it, and look at a head that was shorter than what one waits for."""
        self._check(at_end=True)
        self._file.close()
        self.is_whole = True

    def drop(self) -> None:
        """Leave nothing behind; what is still to be written may not find room, and need not."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _check(self, *, at_end: bool) -> None:
        if not self._is_checked and (at_end or len(self._head) >= HEAD_BYTES):
            check_first_bytes(self._head, self.filename)
            self._is_checked = True


class _Receiver:
    """Collects the parser's callbacks: file parts go to disk, the others are short fields."""

    def __init__(self, folder: Path, boundary: bytes, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self.size = self.parts = 0
        self.files: list[_Arriving] = []
        self.fields: dict[str, str] = {}
        self._header, self._value, self._disposition = b"", b"", b""
        self._name, self._in_file, self._text = "", False, b""
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_part_end": self._end,
            },
        )

    def _begin(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            message = f"The form has more than {MAX_PARTS} parts."
            raise Invalid(message)
        self._disposition, self._text, self._in_file = b"", b"", False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "file" and options.get(b"filename"):
            if len(self.files) == MAX_FILES:
                message = f"More than {MAX_FILES} files came at once. Put them into a zip, or send them in portions."
                raise Invalid(message, param="file")
            self._in_file = True
            self.files.append(_Arriving(self.folder, options[b"filename"].decode("utf-8", "replace")))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            self._text += data[start:end]
            if len(self._text) > MAX_FIELD_BYTES:
                message = f"The field {self._name[:60]!r} is longer than {MAX_FIELD_BYTES // 1024} KiB."
                raise Invalid(message, param=self._name[:60])
            return
        self.size += end - start
        if self.size > self.max_bytes:
            raise too_large(self.max_bytes)
        self.files[-1].write(data[start:end])

    def _end(self) -> None:
        if self._in_file:
            self.files[-1].finish()
        elif self._name:
            text = self._text.decode("utf-8", "replace")
            check_text(text, self._name)
            self.fields[self._name] = text

    def check_complete(self) -> None:
        """Raise Invalid unless whole files came."""
        if not self.files or not all(file.is_whole for file in self.files):
            message = "The form has no file: add a part named file with a filename."
            raise Invalid(message, param="file")

    def drop(self) -> None:
        """Leave nothing behind."""
        for file in self.files:
            file.drop()


def too_large(max_bytes: int) -> TooLarge:
    """Return the error for an upload beyond the limit."""
    return TooLarge(f"The file is larger than {max_bytes:,} bytes, the most this studio takes (HONE_MAX_UPLOAD_BYTES).", param="file")


async def receive_upload(body: AsyncIterator[bytes], headers: Mapping[str, str], folder: Path, max_bytes: int) -> Upload:
    """Write the form's `file` parts into `folder` as they arrive; whatever goes wrong leaves nothing there.

    Of a refused file the rest is taken for a while and dropped: a line closed in the sender's face hides the reason.
    """
    try:
        if int(headers.get("content-length") or 0) > max_bytes + FORM_BYTES:
            raise too_large(max_bytes)
        return await _receive(body, headers.get("content-type", ""), folder, max_bytes)
    except StudioError:
        with anyio.move_on_after(DRAIN_SECONDS):
            async for _ in body:
                pass
        raise


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather what arrives into pieces worth a thread's time; the first goes at once, since it may be refused."""
    gathered, wanted = bytearray(), 1
    async for chunk in body:
        gathered += chunk
        if len(gathered) >= wanted:
            yield bytes(gathered)
            gathered, wanted = bytearray(), PIECE_BYTES
    if gathered:
        yield bytes(gathered)


async def _receive(body: AsyncIterator[bytes], content_type: str, folder: Path, max_bytes: int) -> Upload:
    kind, options = parse_options_header(content_type.encode("latin-1"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        message = "Send the file as multipart/form-data with a part named file."
        raise Invalid(message, param="file")
    with _in_words():
        receiver = _Receiver(folder, options[b"boundary"], max_bytes)
        try:
            async for piece in _pieces(body):
                # The disk may be slow, and other people's pages wait for this loop.
                await to_thread.run_sync(receiver.parser.write, piece)
            receiver.parser.finalize()
            receiver.check_complete()
        except BaseException:
            receiver.drop()
            raise
    return Upload([Brought(file.filename, file.path) for file in receiver.files], receiver.fields)


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what went wrong with the form or the disk so that the sender can do something about it."""
    try:
        yield
    except FormParserError:
        message = "The upload broke off or is no valid multipart form."
        raise Invalid(message, param="file") from None
    except OSError as error:
        message = f"The file could not be stored ({error.strerror or error}). Nothing was kept; free some space and upload it again."
        code = "disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else None
        raise Unavailable(message, param="file", code=code) from None
