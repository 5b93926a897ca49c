"""Lines that are spelt as a grammar has them, followed byte by byte by code that is compiled when it is first wanted.

Each text is copied twice: as it is said, and into the canonical spelling of its row, from which the row's hash is made. A line of which
anything is in doubt (an empty answer, no question, half a character) is not taken, nor is one that is spelt in any other way.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from workers.curation.layouts import ADDED, ASSISTANT, END, NEXT, NOBODY, ROLES, SYSTEM, USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workers.curation.layouts import Bytes, Grammar

    Offsets = NDArray[np.int32]

F = TypeVar("F", bound="Callable[..., Any]")
OPENINGS = [f'[["{role}","' for role in ROLES] + [f'"],["{role}","' for role in ROLES]
PARTS = [part.encode() for part in (*OPENINGS, "\\n\\n", '"]]')]
"""What stands around texts in a row's canonical spelling: what begins its first turn and a later one, joins two texts, and ends the row."""
PART_BYTES = np.frombuffer(b"".join(PARTS), np.uint8)
PART_BOUNDS = np.fromiter(accumulate(map(len, PARTS), initial=0), np.int64)
LATER, JOINT, ROW_ENDS = len(ROLES), 2 * len(ROLES), 2 * len(ROLES) + 1
LONGER = 16
"""By no more bytes is a row's canonical spelling longer than any other."""
QUOTE, BACKSLASH, SLASH, NEWLINE, SPACE, U = b'"\\/\n u'
ESCAPES = np.zeros(256, np.uint8)
"""What a letter stands for behind a backslash."""
ESCAPES[[*b'"\\/bfnrt']] = [*b'"\\/\b\f\n\r\t']
LETTERS = np.zeros(256, np.uint8)
"""The letter with which a character is escaped in the canonical spelling."""
LETTERS[[*b'"\\\b\f\n\r\t']] = [*b'"\\bfnrt']
HEX = np.full(256, -1)
HEX[[*b"0123456789abcdef"]] = range(16)
HEX[[*b"ABCDEF"]] = range(10, 16)
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
SPACES = np.array([chr(each).isspace() for each in range(0x3001)])
"""Which characters are space; beyond the table none is."""
ONE_BYTE, TWO_BYTES, THREE_BYTES = 0x80, 0x800, 0x10000
"""Below these, UTF-8 has so many bytes for a character."""
LEADS_TWO, LEADS_THREE, LEADS_FOUR = 0xC0, 0xE0, 0xF0
FIRST_HALF, SECOND_HALF, WHOLE_AGAIN = 0xD800, 0xDC00, 0xE000
"""Between these are halves of pairs, which are no characters alone."""
WORD_BYTES = 8
ONES, HIGHEST_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, BACKSLASHES, ALL_SPACES = ONES * np.uint64(QUOTE), ONES * np.uint64(BACKSLASH), ONES * np.uint64(SPACE)
"""Words of eight equal bytes: with them all bytes of a word are looked at together."""
REFUSED = -1


class Plain(NamedTuple):
    """Where lines end, and the rows among them: which lines they are and their turns; and who says these and what.

    What is said stands in one piece, as do the canonical spellings of rows; bounds say where in it each begins and ends.
    """

    line_ends: Offsets
    lines: Offsets
    row_bounds: Offsets
    spelt_bounds: Offsets
    turn_bounds: Offsets
    roles: NDArray[np.int8]
    said: Bytes
    spelt: Bytes


class Texts(NamedTuple):
    """The texts of one row: where they begin and end, who says them, and whether there are escapes in them."""

    starts: Offsets
    ends: Offsets
    speakers: Offsets
    escaped: NDArray[np.bool_]


class At(NamedTuple):
    """How far one has come with turns, with what is said, and with what is spelt."""

    turn: int
    said: int
    spelt: int


def plain_rows(raw: bytes, grammar: Grammar, longest: int) -> Plain:
    """Return the rows of a block of UTF-8 lines, the last of which ends too; lines of more than `longest` bytes are none."""
    content = np.frombuffer(raw, np.uint8)
    lines, texts = int(np.count_nonzero(content == NEWLINE)), int(np.count_nonzero(content == QUOTE)) // 2 + 1
    room = Plain(
        line_ends=np.empty(lines, np.int32),
        lines=np.empty(lines, np.int32),
        row_bounds=np.zeros(lines + 1, np.int32),
        spelt_bounds=np.zeros(lines + 1, np.int32),
        turn_bounds=np.zeros(texts + 1, np.int32),
        roles=np.empty(texts, np.int8),
        said=np.empty(len(raw), np.uint8),
        spelt=np.empty(len(raw) + LONGER * lines, np.uint8),
    )
    starts, ends, speakers = (np.empty(texts, np.int32) for _ in range(3))
    of_row = Texts(starts, ends, speakers, np.empty(texts, np.bool_))
    rows, at = _read(content, grammar, longest, of_row, room)
    return room._replace(
        lines=room.lines[:rows],
        row_bounds=room.row_bounds[: rows + 1],
        spelt_bounds=room.spelt_bounds[: rows + 1],
        turn_bounds=room.turn_bounds[: at.turn + 1],
        roles=room.roles[: at.turn],
        said=room.said[: at.said],
        spelt=room.spelt[: at.spelt],
    )


def _compiled(function: F) -> F:
    """Have a function compiled, once for all processes, and run beside other threads."""
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no folder in which it could be kept
        made = numba.njit(nogil=True)(function)
    return cast("F", made)


def _primitive(function: Callable[..., Any]) -> Any:
    """Have a function say how the processor does it; the compiler gives it types, and adds its first argument itself."""
    return intrinsic(function)


@_primitive
def _copy(_: Any, out: Any, at: Any, source: Any, begin: Any, size: Any) -> Any:  # noqa: ARG001 - types, and these are always the same
    """Copy bytes as one piece; slices would be copied byte by byte."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = [context.make_array(signature.args[place])(context, builder, given[place]).data for place in (0, 2)]
        to, by = (builder.gep(array, [given[place]]) for array, place in zip(arrays, (1, 3), strict=True))
        cgutils.raw_memcpy(builder, to, by, given[4], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp, types.intp), code


@_primitive
def _word(_: Any, source: Any, at: Any) -> Any:
    """Return eight bytes as one number."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, given[0]).data
        place = builder.bitcast(builder.gep(array, [given[1]]), context.get_value_type(types.uint64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(source, at), code


@_primitive
def _zeros_below(_: Any, word: Any) -> Any:
    """Return how many bits of a number are zero before the first that is not."""

    def code(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], cgutils.true_bit)

    return types.intp(word), code


@_compiled
def _plain_end(raw: Bytes, at: int) -> int:
    """Return where the next byte stands that is no plain character: a quote, a backslash, or below a space."""
    while at + WORD_BYTES <= len(raw):
        word = _word(raw, at)
        quotes, backslashes = word ^ QUOTES, word ^ BACKSLASHES
        odd = ((quotes - ONES) & ~quotes | (backslashes - ONES) & ~backslashes | (word - ALL_SPACES) & ~word) & HIGHEST_BITS
        if odd:
            return at + int(_zeros_below(odd) >> 3)
        at += WORD_BYTES
    while raw[at] != QUOTE and raw[at] != BACKSLASH and raw[at] >= SPACE:
        at += 1
    return at


@_compiled
def _text_end(raw: Bytes, at: int) -> tuple[int, bool]:
    """Return where a text's closing quote stands, and whether there are escapes before it."""
    is_escaped = False
    while True:
        at = _plain_end(raw, at)
        if raw[at] == QUOTE:
            return at, is_escaped
        if raw[at] != BACKSLASH or raw[at + 1] < SPACE:
            return REFUSED, is_escaped
        is_escaped = True
        at += 2


@_compiled
def _stands(raw: Bytes, at: int, spelt: Bytes, begin: int, end: int) -> bool:
    if at + end - begin > len(raw):
        return False
    while begin + WORD_BYTES <= end and _word(raw, at) == _word(spelt, begin):
        at, begin = at + WORD_BYTES, begin + WORD_BYTES
    while begin < end and raw[at] == spelt[begin]:
        at, begin = at + 1, begin + 1
    return begin == end


@_compiled
def _chosen(raw: Bytes, at: int, grammar: Grammar, step: int) -> int:
    for literal in range(grammar.steps[step], grammar.steps[step + 1]):
        if _stands(raw, at, grammar.spelt, grammar.bounds[literal], grammar.bounds[literal + 1]):
            return literal
    return REFUSED


@_compiled
def _follow(raw: Bytes, at: int, grammar: Grammar, of_row: Texts) -> tuple[int, int]:
    """Find the texts of a row that begins there; return how many they are, or none, and how far one came within the line."""
    texts = step = 0
    while True:
        literal = _chosen(raw, at, grammar, step)
        if literal == REFUSED:
            return 0, at
        at += grammar.bounds[literal + 1] - grammar.bounds[literal]
        step = grammar.then[literal]
        if step == END:
            return texts, at
        if grammar.roles[literal] == NOBODY:
            continue
        end, is_escaped = _text_end(raw, at)
        if end == REFUSED:
            return 0, at
        place = texts if grammar.places[literal] == NEXT else grammar.places[literal]
        of_row.starts[place], of_row.ends[place] = at, end
        of_row.speakers[place], of_row.escaped[place] = grammar.roles[literal], is_escaped
        texts += 1
        at = end


@_compiled
def _put(out: Bytes, at: int, source: Bytes, begin: int, end: int) -> int:
    _copy(out, at, source, begin, end - begin)
    return at + end - begin


@_compiled
def _put_part(out: Bytes, at: int, part: int) -> int:
    return _put(out, at, PART_BYTES, PART_BOUNDS[part], PART_BOUNDS[part + 1])


@_compiled
def _put_character(out: Bytes, at: int, character: int) -> int:
    """Write a character as UTF-8."""
    if character < ONE_BYTE:
        out[at] = character
        return at + 1
    more = 1 if character < TWO_BYTES else 2 if character < THREE_BYTES else 3
    out[at] = (0xFF00 >> more + 1) & 0xFF | character >> 6 * more
    for place in range(1, more + 1):
        out[at + place] = 0x80 | (character >> 6 * (more - place)) & 0x3F
    return at + more + 1


@_compiled
def _spell(out: Bytes, at: int, character: int) -> int:
    """Write a character as it stands in the canonical spelling."""
    if character < ONE_BYTE and LETTERS[character]:
        out[at], out[at + 1] = BACKSLASH, LETTERS[character]
        return at + 2
    if character >= SPACE:
        return _put_character(out, at, character)
    out[at], out[at + 1], out[at + 2], out[at + 3] = BACKSLASH, U, DIGITS[0], DIGITS[0]
    out[at + 4], out[at + 5] = DIGITS[character >> 4], DIGITS[character & 15]
    return at + 6


@_compiled
def _code(raw: Bytes, at: int) -> int:
    code = 0
    for place in range(at, at + 4):
        digit = HEX[raw[place]]
        if digit < 0:
            return REFUSED
        code = code << 4 | digit
    return code


@_compiled
def _character(raw: Bytes, at: int) -> tuple[int, int]:
    """Return the character that a backslash begins, and where it ends; none for half a pair, or no escape at all."""
    if raw[at + 1] != U:
        return int(ESCAPES[raw[at + 1]]), at + 2
    code = _code(raw, at + 2)
    if code < FIRST_HALF or code >= WHOLE_AGAIN:
        return code, at + 6
    if code >= SECOND_HALF or raw[at + 6] != BACKSLASH or raw[at + 7] != U:
        return REFUSED, at
    low = _code(raw, at + 8)
    if low < SECOND_HALF or low >= WHOLE_AGAIN:
        return REFUSED, at
    return THREE_BYTES + ((code - FIRST_HALF) << 10 | low - SECOND_HALF), at + 12


@_compiled
def _put_text(raw: Bytes, text: int, of_row: Texts, out: Plain, at: At) -> At:
    """Write a text in both ways and return how far one has come; refuse NUL, and what is no character."""
    begin, end = of_row.starts[text], of_row.ends[text]
    said, spelt = at.said, at.spelt
    while of_row.escaped[text]:
        stop = _plain_end(raw, begin)
        said, spelt = _put(out.said, said, raw, begin, stop), _put(out.spelt, spelt, raw, begin, stop)
        if stop == end:
            return At(at.turn, said, spelt)
        character, begin = _character(raw, stop)
        if character <= 0:
            return At(REFUSED, REFUSED, REFUSED)
        said, spelt = _put_character(out.said, said, character), _spell(out.spelt, spelt, character)
    return At(at.turn, _put(out.said, said, raw, begin, end), _put(out.spelt, spelt, raw, begin, end))


@_compiled
def _is_blank(text: Bytes, at: int, end: int) -> bool:
    """Whether UTF-8 is nothing but space."""
    while at < end:
        more = (text[at] >= LEADS_TWO) + (text[at] >= LEADS_THREE) + (text[at] >= LEADS_FOUR)
        character = int(text[at]) & (0x7F >> (more + (more > 0)))
        for place in range(at + 1, at + more + 1):
            character = character << 6 | text[place] & 0x3F
        if character >= len(SPACES) or not SPACES[character]:
            return False
        at += more + 1
    return True


@_compiled
def _put_opening(text: int, speaker: int, out: Plain, at: At) -> At:
    """Write what stands before a text: what begins its turn, or what joins it to the text before."""
    if speaker != ADDED:
        return At(at.turn, at.said, _put_part(out.spelt, at.spelt, speaker + LATER * (text > 0)))
    out.said[at.said], out.said[at.said + 1] = NEWLINE, NEWLINE
    return At(at.turn, at.said + 2, _put_part(out.spelt, at.spelt, JOINT))


@_compiled
def _put_row(raw: Bytes, texts: int, of_row: Texts, out: Plain, before: At) -> At:
    """Write a row's turns; refuse it unless somebody asks, the assistant has the last word, and nothing is empty."""
    at, is_asked = before, False
    for text in range(texts):
        speaker = of_row.speakers[text]
        opened = _put_opening(text, speaker, out, at)
        then = _put_text(raw, text, of_row, out, opened)
        is_blank = _is_blank(out.said, opened.said, then.said)
        if then.turn == REFUSED or (is_blank and speaker != ADDED) or (speaker == SYSTEM and text > 0):
            return At(REFUSED, REFUSED, REFUSED)
        is_asked |= speaker == USER
        if is_blank:
            continue
        if speaker != ADDED:
            out.roles[then.turn] = speaker
            then = At(then.turn + 1, then.said, then.spelt)
        out.turn_bounds[then.turn] = then.said
        at = then
    if not is_asked or out.roles[at.turn - 1] != ASSISTANT:
        return At(REFUSED, REFUSED, REFUSED)
    return At(at.turn, at.said, _put_part(out.spelt, at.spelt, ROW_ENDS))


@_compiled
def _read(raw: Bytes, grammar: Grammar, longest: int, of_row: Texts, out: Plain) -> tuple[int, At]:
    """Read all lines; return how many rows there are, and how far one has come."""
    here = line = row = 0
    at = At(0, 0, 0)
    while here < len(raw):
        begin = here
        texts, here = _follow(raw, here, grammar, of_row)
        if texts == 0:
            while raw[here] != NEWLINE:
                here += 1
            here += 1
        elif here - 1 - begin <= longest:
            then = _put_row(raw, texts, of_row, out, at)
            if then.turn != REFUSED:
                at = then
                out.lines[row] = line
                row += 1
                out.row_bounds[row], out.spelt_bounds[row] = at.turn, at.spelt
        out.line_ends[line] = here
        line += 1
    return row, at
