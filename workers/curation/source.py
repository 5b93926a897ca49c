"""An uploaded file as a stream of UTF-8 blocks and physical lines, whatever its encoding and however long its lines."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.datasets import MAX_LINE_BYTES
from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A physical line without its end; `content` is None when it is longer than anybody should hold in memory."""

    number: int
    content: bytes | None


class Source:
    """The file to read; `done` counts the bytes taken so far."""

    def __init__(self, path: Path, encoding: str, block_bytes: int = BLOCK_BYTES) -> None:
        self.path, self.encoding, self._block_bytes = path, encoding, block_bytes
        self.size = path.stat().st_size
        self.done = 0

    def blocks(self) -> Iterator[bytes]:
        """Yield the content as UTF-8 without a byte order mark; a file that is UTF-8 passes unchanged, broken bytes included."""
        blocks = self._raw() if self.encoding == "utf-8" else self._recoded()
        first = next(blocks, b"").removeprefix(codecs.BOM_UTF8)
        yield first
        yield from blocks

    def _raw(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if hasattr(os, "posix_fadvise"):
                # The system then reads further ahead, so that the disk is not waited for while rows are made.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while block := file.read(self._block_bytes):
                self.done += len(block)
                yield block

    def _recoded(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass" if self.encoding.startswith("utf") else "strict")
        try:
            for block in self._raw():
                yield decoder.decode(block).encode("utf-8", "surrogatepass")
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            place = f"near byte {max(0, self.done - self._block_bytes) + error.start:,}"
            message = f"The file looks like {self.encoding} text, but {place} it is not. Save it as UTF-8 and upload it again."
            raise Invalid(message, param="file", code="wrong_encoding") from None


def physical_lines(blocks: Iterable[bytes]) -> Iterator[Line]:
    r"""Yield lines numbered from 1, ended by \n, \r\n, or a lone \r in files that know no other end."""
    number, rest, dropping = 0, b"", False
    for block in _with_unix_ends(blocks):
        *whole, tail = block.split(b"\n")
        for piece in whole:
            number += 1
            fits = not dropping and len(rest) + len(piece) <= MAX_LINE_BYTES
            yield Line(number, rest + piece if fits else None)
            rest, dropping = b"", False
        dropping = dropping or len(rest) + len(tail) > MAX_LINE_BYTES
        rest = b"" if dropping else rest + tail
    if rest or dropping:
        yield Line(number + 1, None if dropping else rest)


def _with_unix_ends(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Turn \r\n into \n, also where a block ends between the two; and lone \r when the first block shows no other line end."""
    lone, held, first = False, b"", True
    for block in blocks:
        joined = held + block
        if first and joined:
            lone, first = b"\r" in joined[:-1] and b"\n" not in joined, False
        held = b"\r" if joined.endswith(b"\r") else b""
        unix = joined[: len(joined) - len(held)].replace(b"\r\n", b"\n")
        yield unix.replace(b"\r", b"\n") if lone else unix
    if held:
        yield b"\n"
