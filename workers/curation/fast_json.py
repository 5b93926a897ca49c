"""JSONL whose rows one program has written, read many at a time; what is not spelt as the first row is goes the careful way.

A program spells all of its rows alike: between the texts stand the same bytes. So a block of lines is compared, as a whole, with what must
stand between the texts, and then the texts are just pieces of the block: no object is made for a row. Whatever differs in a single byte,
or is a row that one has to think about (an empty answer, no question, an odd role), is left to the reader of single lines, so that the
rows that come of it are the same, only sooner.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from app.domain.datasets import HELD_OUT_SHARE, MAX_LINE_BYTES
from workers.curation.layouts import PIECES, ROLES, ROW_END, WORD_BYTES, Scan, layouts_of
from workers.curation.parquet import RowBlock, conversations
from workers.curation.source import Line, physical_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from app.domain.datasets import DatasetFormat
    from workers.curation.layouts import Found, Layout, Mask, Places

BLOCK_BYTES = 4 * 1024 * 1024
GLANCE_BYTES = 256 * 1024
MAX_LEFT_SHARE = 0.1
"""With more than so many rows for the careful way, their block goes whole: cutting it up costs as much."""
NEWLINE, SPACE, QUOTE, BACKSLASH, LAST_ASCII = b"\n"[0], b" "[0], b'"'[0], b"\\"[0], 0x7F
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


def fast_rows(blocks: Iterator[bytes]) -> Iterator[Lines | Understood]:
    """Yield what the lines of a file are, in their order: rows, and lines that are to be read one by one."""
    first = next((block for block in blocks if block), b"")
    layout = _layout_of(first)
    if layout is None:
        yield Lines(1, chain([first], blocks))
        return
    line = 1
    look: Future[_Look] | None = None
    with ThreadPoolExecutor(1) as ahead:
        for piece in chain(_whole_lines(chain([first], blocks)), [b""]):
            # While rows are made of one block, the next is looked at.
            following = ahead.submit(_look, layout, piece) if isinstance(piece, bytes) and piece else None
            if look:
                yield from _made(layout, look.result(), line)
                line += len(look.result().ends)
            look = following
            if not isinstance(piece, bytes):
                yield _lines(line, piece)


def _lines(line: int, blocks: Iterator[bytes], *, are_utf8: bool = False) -> Lines:
    r"""Return lines from the midst of a file, behind the end of one.

    Without that end, physical_lines would take a lone \r for one, as in a file that begins without any other.
    """
    return Lines(line - 1, chain([b"\n"], blocks), are_utf8)


def _cut(raw: bytes) -> Iterator[bytes]:
    """Yield a block in pieces, of which few lines are held at once however short they are."""
    for at in range(0, len(raw), GLANCE_BYTES):
        yield raw[at : at + GLANCE_BYTES]


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes | Iterator[bytes]]:
    """Yield blocks that end where lines do; where a line has no end as far as one sees, the rest of the file."""
    rest, pieces = b"", _gathered(blocks)
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if not cut:
            yield chain([rest, piece], pieces)
            return
        yield rest + piece[:cut]
        rest = piece[cut:]
    if rest:
        yield rest + b"\n"


def begins_plainly(path: Path) -> bool:
    """Whether a file begins with a row of a known layout, and is UTF-8 as far as one sees at a glance."""
    with path.open("rb") as file:
        first = file.read(GLANCE_BYTES)
    return _is_utf8(first[: first.rfind(b"\n") + 1]) and _layout_of(first) is not None


def _gathered(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks joined to larger ones."""
    held, size = [], 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size >= BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _layout_of(block: bytes) -> Layout | None:
    """Return the layout of a block's first line; none where it does not end there."""
    line = block[: block.find(b"\n") + 1]
    return next((layout for layout in layouts_of(line) if len(layout.find(_scan(line).scan).lines)), None) if line else None


@dataclass(frozen=True)
class _Block:
    """What a look at every byte finds: quotes and ends of lines, backslashes, and lines that hold what no row should."""

    raw: bytes
    scan: Scan
    backslashes: Places
    odd_lines: Places


def _scan(raw: bytes) -> _Block:
    view = np.frombuffer(raw, np.uint8)
    low = np.flatnonzero(view < SPACE)
    is_end = view[low] == NEWLINE
    ends = low[is_end]
    starts = np.concatenate([[0], ends[:-1] + 1])
    backslashes, seen = np.empty(0, np.int64), view
    if b"\\" in raw:
        backslashes = np.flatnonzero(view == BACKSLASH)
        seen = view.copy()
        seen[_escaped(backslashes)] = SPACE
    quotes = np.flatnonzero(seen == QUOTE)
    firsts = np.searchsorted(quotes, np.concatenate([starts, [len(raw)]]))
    odd = np.searchsorted(ends, low[~is_end])
    if len(raw) > MAX_LINE_BYTES:
        odd = np.concatenate([odd, np.flatnonzero(ends - starts > MAX_LINE_BYTES)])
    words = np.ndarray(max(0, len(raw) - WORD_BYTES + 1), "<u8", raw, strides=(1,))
    return _Block(raw, Scan(view, words, starts, ends, quotes, firsts), backslashes, odd)


def _escaped(backslashes: Places) -> Places:
    """Return what stands behind each backslash that is not itself behind one."""
    begins_run = np.diff(backslashes, prepend=-2) != 1
    run_start = backslashes[begins_run][np.cumsum(begins_run) - 1]
    behind: Places = backslashes[(backslashes - run_start) % 2 == 0] + 1
    return behind


class _Look(NamedTuple):
    """What was seen in a block: where its lines end, and the rows that are understood, unless they are too few."""

    raw: bytes
    ends: Places
    is_utf8: bool = True
    block: _Block | None = None
    rows: tuple[Found, _Texts] | None = None


def _look(layout: Layout, raw: bytes) -> _Look:
    block = _scan(raw)
    if not _is_utf8(raw):
        return _Look(raw, block.scan.ends, is_utf8=False)
    found = layout.find(block.scan)
    if len(block.odd_lines):
        found = found.only(~np.isin(found.lines, block.odd_lines))
    texts = _texts(block, found)
    good = layout.usable(found, texts.blank) & ~_any_of(found, texts.bad) if len(found.lines) else np.empty(0, np.bool_)
    if not good.all():
        found = found.only(good)
        texts = _texts(block, found)
    left = len(block.scan.ends) - len(found.lines)
    return _Look(raw, block.scan.ends, block=block, rows=(found, texts) if left <= MAX_LEFT_SHARE * len(block.scan.ends) else None)


def _made(layout: Layout, look: _Look, line: int) -> Iterator[Lines | Understood]:
    """Yield what the lines of a block are, of which the first has that number."""
    if look.block is None or look.rows is None:
        yield _lines(line, _cut(look.raw), are_utf8=look.is_utf8)
    else:
        found, texts = look.rows
        yield from _in_order(look.block, line, found.lines, Understood(layout.shape, layout.names, _rows(layout, found, texts, line)))


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


def _any_of(found: Found, texts: Mask) -> Mask:
    """Return which rows have any of some texts."""
    rows: Mask = np.logical_or.reduceat(texts, found.firsts)
    return rows


def _in_order(block: _Block, line: int, lines: Places, understood: Understood) -> Iterator[Lines | Understood]:
    """Yield rows and, where lines between them were left over, those lines in their place."""
    at, starts = 0, block.scan.starts
    gaps = np.flatnonzero(np.diff(lines) != 1) + 1
    for begin, end in pairwise([0, *gaps.tolist(), len(lines)]):
        here = int(lines[begin])
        if here > at:
            yield _lines(line + at, _cut(block.raw[starts[at] : starts[here]]), are_utf8=True)
        yield understood._replace(rows=understood.rows.between(begin, end))
        at = int(lines[end - 1]) + 1
    if at < len(starts):
        yield _lines(line + at, _cut(block.raw[starts[at] :]), are_utf8=True)


@dataclass(frozen=True)
class _Texts:
    """The texts of a block as elements of one array: as they are spelt in JSON, and as they are said; and which are blank or bad."""

    elements: Any
    spelt: Places
    said: Places
    blank: Mask
    bad: Mask


def _texts(block: _Block, found: Found) -> _Texts:
    """Return the texts: pieces of the block, but for those with escapes, which are decoded and, if it must be, spelt anew."""
    number = len(found.starts)
    spelt, said = 2 * np.arange(number) + 1, 2 * np.arange(number) + 1
    blank, bad = found.starts == found.ends, np.zeros(number, np.bool_)
    extra: list[bytes] = []
    base = 2 * number + 1 + len(PIECES)
    escaped = _holding(found, block.backslashes)
    for at, raw, text in zip(escaped.tolist(), *_decoded(block.raw, found, escaped), strict=True):
        if text is None or "\0" in text:
            bad[at] = True
            continue
        blank[at] = text.isspace()
        said[at] = base + len(extra)
        extra.append(text.encode())
        if b"\\u" in raw or b"\\/" in raw:
            spelt[at] = base + len(extra)
            extra.append(orjson.dumps(text)[1:-1])
    _look_for_blank(block, found, blank)
    return _Texts(_elements(block.raw, found, extra), spelt, said, blank, bad)


def _holding(found: Found, places: Places) -> Places:
    """Return the texts in which any of some places lie."""
    if not len(places) or not len(found.starts):
        return np.empty(0, np.int64)
    texts = np.searchsorted(found.starts, places, side="right") - 1
    texts = texts[(texts >= 0) & (places < found.ends[texts])]
    each: Places = texts[np.diff(texts, prepend=-1) != 0]
    return each


def _decoded(raw: bytes, found: Found, texts: Places) -> tuple[list[bytes], list[str | None]]:
    """Return texts with their quotes, and what they say; nothing where that is no text."""
    quoted = [raw[start - 1 : end + 1] for start, end in zip(found.starts[texts].tolist(), found.ends[texts].tolist(), strict=True)]
    try:
        return quoted, orjson.loads(b"[" + b",".join(quoted) + b"]")
    except orjson.JSONDecodeError:
        return quoted, [_decoded_alone(each) for each in quoted]


def _decoded_alone(quoted: bytes) -> str | None:
    try:
        text = orjson.loads(quoted)
    except orjson.JSONDecodeError:
        return None
    return text if isinstance(text, str) else None


def _look_for_blank(block: _Block, found: Found, blank: Mask) -> None:
    """Find texts that are nothing but space; what begins with a plain character is none."""
    first = block.scan.view[found.starts]
    unsure = np.flatnonzero((first <= SPACE) | (first >= LAST_ASCII))
    for at, start, end in zip(unsure.tolist(), found.starts[unsure].tolist(), found.ends[unsure].tolist(), strict=True):
        blank[at] = blank[at] or block.raw[start:end].decode().isspace()


def _elements(raw: bytes, found: Found, extra: list[bytes]) -> Any:
    """Return an array over the block, of which every second element is a text, then `PIECES`, then others."""
    number = len(found.starts)
    bounds = np.empty(2 * number + 2, np.int64)
    bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, found.starts, found.ends, len(raw)
    behind = len(raw) + np.cumsum([len(piece) for piece in (*PIECES, *extra)])
    offsets = np.concatenate([bounds, behind]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(b"".join((raw, *PIECES, *extra)))]
    )


def _joined(texts: _Texts, of_text: Places, pieces: Places) -> tuple[Any, Places]:
    """Return pieces joined in one buffer, and where in it each ends."""
    places = np.where(pieces >= 0, of_text[np.maximum(pieces, 0)], 2 * len(of_text) - pieces)
    _, bounds, content = texts.elements.take(pa.array(places)).buffers()
    return content, np.frombuffer(bounds, np.int32)


def _rows(layout: Layout, found: Found, texts: _Texts, line: int) -> RowBlock:
    spelt, _ = _joined(texts, texts.spelt, layout.spelt(found, texts.blank))
    sha256 = hashlib.sha256
    digests = b"".join([sha256(row).digest() for row in spelt.to_pybytes().split(ROW_END)[:-1]])
    hashes = _strings(pa.py_buffer(digests.hex().encode()), np.arange(len(found.lines) + 1) * HASH_CHARACTERS)
    shares = np.frombuffer(digests, ">u4").reshape(-1, 8)[:, 0] / 2**32
    turns = layout.turns(found, texts.blank)
    content, bounds = _joined(texts, texts.said, turns.pieces)
    contents = _strings(content, _from_zero(bounds[turns.ends]))
    messages = conversations(
        pa.array(ROLES).take(pa.array(turns.roles)), contents, pa.array(_from_zero(np.cumsum(turns.counts)), pa.int32())
    )
    return RowBlock(pa.array(found.lines + line, pa.int32()), messages, hashes, pa.array(shares < HELD_OUT_SHARE))


def _from_zero(ends: Places) -> Places:
    return np.concatenate([[0], ends])


def _strings(content: Any, bounds: Places) -> Any:
    return pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds.astype(np.int32)), content])
