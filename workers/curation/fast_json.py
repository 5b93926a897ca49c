"""JSONL whose rows one program has written, read many at a time; what is not spelt as the first row is goes the careful way.

A program spells all of its rows alike: between the texts stand the same bytes. So blocks of lines are followed by compiled code that knows
these, and no object is made for a row. Whatever differs in a single byte, or is a row that one has to think about (an empty answer, no
question, an odd role), is left to the reader of single lines, so that the rows that come of it are the same, only sooner.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from app.domain.datasets import HELD_OUT_SHARE, MAX_LINE_BYTES
from workers.curation.layouts import ROLES, layout_of
from workers.curation.parquet import RowBlock, conversations
from workers.curation.source import BLOCK_BYTES, Line, physical_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from app.domain.datasets import DatasetFormat
    from workers.curation.layouts import Grammar, Layout
    from workers.curation.plain_rows import Plain

    PlainRows = Callable[[bytes, Grammar, int], Plain]

log = logging.getLogger("hone.ingest")
FAST_BLOCK_BYTES = 4 * 1024 * 1024
SMALLEST_BYTES = 16 * 1024 * 1024
"""Smaller files are read line by line in the time that the compiler takes where nothing of it is kept yet."""
MAX_GAPS = 0.01
"""Where rows for the careful way stand in more places than this share of all rows, their block goes whole: cutting it up costs more."""
HASH_CHARACTERS = 64


class Lines(NamedTuple):
    """Lines for the careful way: the number of the first, their bytes as they come, and whether these are certain to be UTF-8."""

    first: int
    blocks: Iterable[bytes]
    are_utf8: bool = False

    def numbered(self) -> Iterator[Line]:
        """Yield the lines, with the numbers they have in their file."""
        for line in physical_lines(self.blocks):
            yield Line(line.number + self.first - 1, line.content)


class Understood(NamedTuple):
    """Usable rows of a shape, ready to be written, and the names that stand in each."""

    shape: DatasetFormat
    names: tuple[str, ...]
    rows: RowBlock


class _Look(NamedTuple):
    """What was seen in a block of lines: whether it is UTF-8, and then the rows that are plain."""

    raw: bytes
    number: int
    plain: Plain | None


def begins_plainly(path: Path) -> bool:
    """Whether a file is worth reading many rows at a time, and is UTF-8 as far as one sees at a glance."""
    if path.stat().st_size < SMALLEST_BYTES:
        return False
    with path.open("rb") as file:
        first = file.read(BLOCK_BYTES).removeprefix(codecs.BOM_UTF8)
    return _is_utf8(first[: first.rfind(b"\n") + 1]) and _layout_of(first) is not None


def fast_rows(blocks: Iterator[bytes], size: int) -> Iterator[Lines | Understood]:
    """Yield what the lines of a file of so many bytes are, in their order: rows, and lines that are to be read one by one."""
    first = next((block for block in blocks if block), b"")
    layout = _layout_of(first) if size >= SMALLEST_BYTES else None
    read = _compiled(layout.grammar) if layout else None
    if layout is None or read is None:
        yield Lines(1, chain.from_iterable(_cut(block) for block in chain([first], blocks)))
        return
    line = 1
    look: Future[_Look] | None = None
    with ThreadPoolExecutor(1) as ahead:
        for piece in chain(_whole_lines(chain([first], blocks)), [b""]):
            # While rows are made of one block, the next is looked at.
            following = ahead.submit(_look, read, layout.grammar, piece) if isinstance(piece, bytes) and piece else None
            if look:
                yield from _made(layout, look.result(), line)
                line += look.result().number
            look = following
            if not isinstance(piece, bytes):
                yield _lines(line, piece)


def _compiled(grammar: Grammar) -> PlainRows | None:
    """Return the compiled code once it has read a line; none where it cannot be had: rows are then read one by one, as well but slower."""
    try:
        # The compiler takes a moment to be there, and only large files are worth it.
        from workers.curation.plain_rows import plain_rows

        plain_rows(b"\n", grammar, MAX_LINE_BYTES)
    except Exception:  # whatever the compiler, or a damaged folder of what it keeps, comes up with
        log.exception(
            "The compiled reader cannot be used, so rows are read one by one. What it kept lies in __pycache__ or NUMBA_CACHE_DIR."
        )
        return None
    return plain_rows


def _layout_of(block: bytes) -> Layout | None:
    return layout_of(block[: block.find(b"\n") + 1])


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes | Iterator[bytes]]:
    """Yield blocks that end where lines do; where a line has no end as far as one sees, the rest of the file."""
    rest = b""
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if not cut:
            yield chain.from_iterable(_cut(each) for each in chain([rest, block], blocks))
            return
        yield b"".join((rest, memoryview(block)[:cut]))
        rest = block[cut:]
    if rest:
        yield rest + b"\n"


def _lines(line: int, blocks: Iterator[bytes], *, are_utf8: bool = False) -> Lines:
    r"""Return lines from the midst of a file, behind the end of one.

    Without that end, physical_lines would take a lone \r for one, as in a file that begins without any other.
    """
    return Lines(line - 1, chain([b"\n"], blocks), are_utf8)


def _cut(raw: bytes) -> Iterator[bytes]:
    """Yield a block in pieces, of which few lines are held at once however short they are."""
    for at in range(0, len(raw), BLOCK_BYTES):
        yield raw[at : at + BLOCK_BYTES]


def _look(read: PlainRows, grammar: Grammar, raw: bytes) -> _Look:
    if not _is_utf8(raw):
        return _Look(raw, raw.count(b"\n"), None)
    plain = read(raw, grammar, MAX_LINE_BYTES)
    return _Look(raw, len(plain.line_ends), plain)


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, len(raw)], np.int32)), pa.py_buffer(raw)]).validate(
            full=True
        )
    except pa.ArrowInvalid:
        return False
    return True


def _made(layout: Layout, look: _Look, line: int) -> Iterator[Lines | Understood]:
    """Yield what the lines of a block are, of which the first has that number: rows, and between them the lines that are left over."""
    raw, number, plain = look
    gaps = np.flatnonzero(np.diff(plain.lines) != 1) + 1 if plain else ()
    if plain is None or not len(plain.lines) or len(gaps) > MAX_GAPS * number:
        yield _lines(line, _cut(raw), are_utf8=plain is not None)
        return
    at, rows, lines, starts = 0, _rows(plain, line), plain.lines, [0, *plain.line_ends.tolist()]
    for begin, end in pairwise([0, *map(int, gaps), len(lines)]):
        here = int(lines[begin])
        if here > at:
            yield _lines(line + at, _cut(raw[starts[at] : starts[here]]), are_utf8=True)
        yield Understood(layout.shape, layout.names, rows.between(begin, end))
        at = int(lines[end - 1]) + 1
    if at < number:
        yield _lines(line + at, _cut(raw[starts[at] :]), are_utf8=True)


def _rows(plain: Plain, line: int) -> RowBlock:
    sha256 = hashlib.sha256
    spelt = plain.spelt.data
    digests = b"".join([sha256(spelt[begin:end]).digest() for begin, end in pairwise(plain.spelt_bounds.tolist())])
    hashes = _strings(digests.hex().encode(), np.arange(0, 2 * len(digests) + 1, HASH_CHARACTERS, dtype=np.int32))
    shares = np.frombuffer(digests, ">u4").reshape(-1, 8)[:, 0] / 2**32
    roles = pa.array(ROLES).take(pa.array(plain.roles))
    messages = conversations(roles, _strings(plain.said, plain.turn_bounds), pa.array(plain.row_bounds))
    return RowBlock(pa.array(plain.lines + line, pa.int32()), messages, hashes, pa.array(shares < HELD_OUT_SHARE))


def _strings(content: Any, bounds: Any) -> Any:
    return pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(content)])
