"""Texts as sets of shingles: runs of neighbouring words, each a number, made for many texts at once.

Two texts are as alike as their sets overlap. A shingle has five words in texts of fifty words and more, and one word less for every ten
words less: so it is about one changed word in ten that parts two short texts, and one in fifty that parts two long ones.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

LONGEST = 5
"""Words of a shingle in long texts."""
WORDS_A_STEP = 10
BLOCK_BYTES = 320 * 1024
"""Text hashed at once: what is made of it has to stay in a core's cache, since speed halves outside."""
LETTERS_AT_ONCE = 8
LETTERS = np.dtype((np.void, LETTERS_AT_ONCE))
"""Read as such, and not as a number, letters are fetched from anywhere at nearly twice the speed."""
LONG_WORD = 64
"""Bytes after which a word is no word but a key or a picture, and hashed by hashlib."""
ASCII = bytes(range(128))
FIRST_OF_SEVERAL, FIRST_OF_THREE, FIRST_OF_FOUR, WIDEST = 0xC0, 0xE0, 0xF0, 4
"""Bytes that begin a character of UTF-8."""
FOLDED = bytes(
    byte if byte not in ASCII else ord(chr(byte).lower()) if chr(byte).isalnum() or chr(byte) == "_" else 0 for byte in range(256)
)
"""What becomes of each byte: small letters, and zero for whatever parts words. Bytes beyond ASCII are of letters by then."""
UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
"""Scripts that put no spaces between words: each of their letters is a word here."""
SHOWN = np.array([(1 << 8 * letters) - 1 for letters in range(LETTERS_AT_ONCE + 1)], np.uint64)
WORD, NEXT, MIX = (np.uint64(odd) for odd in (0xD6E8FEB86659FD93, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
HALF = np.uint64(32)


class Words(NamedTuple):
    """The words of some texts, hashed: those of text `i` lie from `ends[i]` to `ends[i + 1]`."""

    hashes: Hashes
    ends: Places

    @property
    def counts(self) -> Places:
        """How many words each text has."""
        return np.diff(self.ends)


def blocks(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """Yield pieces small enough to be hashed at once."""
    start = 0
    while start < len(texts):
        offsets = _offsets(texts)
        stop = int(np.searchsorted(offsets, offsets[start] + BLOCK_BYTES, side="right")) - 1
        stop = max(stop, start + 1)
        yield texts.slice(start, stop - start)
        start = stop


def hash_words(texts: pa.StringArray) -> Words:
    """Hash every word, small letters and capitals alike."""
    # Each text is followed by something that parts words, so that no word reaches into the next text.
    joined = pc.binary_join_element_wise(texts, "", "\n")
    offsets = _offsets(joined)
    letters = bytes(memoryview(joined.buffers()[2])[offsets[0] : offsets[-1]])
    ends = (offsets - offsets[0]).astype(np.int64)
    if not letters.isascii():
        letters, ends = _spaced(letters, ends)
    letters = letters.translate(FOLDED) + bytes(LETTERS_AT_ONCE)
    starts, lengths = _edges(np.frombuffer(letters, np.uint8))
    return Words(_hash(letters, starts, lengths), np.searchsorted(starts, ends))


def shingle_words(words: NDArray[Any]) -> NDArray[Any]:
    """Return how many words a shingle has in texts of so many words."""
    sizes: NDArray[Any] = np.clip(words // WORDS_A_STEP, 1, LONGEST)
    return sizes


def shingles(words: Words, texts: Places, size: int) -> tuple[Hashes, Places]:
    """Return the shingles of some of the texts, one text after the other, and how many each has; a shingle that recurs is there again."""
    starting = np.zeros(len(words.ends) - 1, np.bool_)
    starting[texts] = True
    starting = np.repeat(starting, words.counts)
    for short in range(1, size):
        starting[words.ends[texts + 1] - short] = False
    runs = _runs(words.hashes, size)
    return runs[starting[: len(runs)]], words.counts[texts] - size + 1


def _offsets(texts: pa.StringArray) -> NDArray[np.int32]:
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def _spaced(letters: bytes, ends: Places) -> tuple[bytes, Places]:
    """Return texts of any script with nothing beyond ASCII but small letters, and where they end then."""
    letters, characters = _without_marks(letters)
    places = np.flatnonzero(np.frombuffer(letters, np.uint8) >= len(ASCII))
    pieces, grown, done = list[bytes](), np.zeros_like(ends), 0
    for text in np.unique(np.searchsorted(ends, places, side="right")).tolist():
        start, stop = ends[text - 1 : text + 1].tolist()
        folded = letters[start:stop].decode().casefold()
        pieces += [letters[done:start], (UNSPACED.sub(r"\1 ", folded) if UNSPACED.search(characters) else folded).encode()]
        grown[text], done = len(pieces[-1]) - (stop - start), stop
    return b"".join([*pieces, letters[done:]]), ends + np.cumsum(grown)


def _without_marks(letters: bytes) -> tuple[bytes, str]:
    """Return texts with zeros for all characters beyond ASCII that are no letters, and which characters there were."""
    padded = bytearray(letters + bytes(WIDEST))
    edited = np.frombuffer(padded, np.uint8)
    places = np.flatnonzero(edited >= FIRST_OF_SEVERAL)
    widths = 2 + (edited[places] >= FIRST_OF_THREE) + (edited[places] >= FIRST_OF_FOUR)
    window = np.ndarray((len(letters) + 1,), np.dtype((np.void, WIDEST)), padded, strides=(1,))
    codes, which = np.unique(window.take(places).view(np.uint32) & SHOWN.astype(np.uint32)[widths], return_inverse=True)
    characters = [code.tobytes().rstrip(b"\0").decode() for code in codes]
    is_mark = np.array([not character.isalnum() for character in characters], np.bool_)[which]
    for place in range(WIDEST):
        edited[places[is_mark & (widths > place)] + place] = 0
    return bytes(padded[:-WIDEST]), "".join(characters)


def _edges(letters: NDArray[np.uint8]) -> tuple[Places, Places]:
    """Return where words start and how long they are."""
    inside = letters != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    starts = edges[::2]
    return starts, edges[1::2] - starts


def _hash(letters: bytes, starts: Places, lengths: Places) -> Hashes:
    """Hash words eight letters at a time: nearly all of them are through after the first eight."""
    window = np.ndarray((len(letters) - LETTERS_AT_ONCE + 1,), LETTERS, letters, strides=(1,))

    def seen(places: Places, left: Places) -> Hashes:
        return window.take(places).view(np.uint64) & SHOWN.take(left, mode="clip")

    hashes = seen(starts, lengths) * WORD
    hashes ^= hashes >> HALF
    longer, done = np.flatnonzero(lengths > LETTERS_AT_ONCE), LETTERS_AT_ONCE
    while len(longer) and done < LONG_WORD:
        hashes[longer] = _mixed(hashes[longer] * NEXT + seen(starts[longer] + done, lengths[longer] - done))
        done += LETTERS_AT_ONCE
        longer = longer[lengths[longer] > done]
    for place in longer:
        rest = letters[starts[place] + done : starts[place] + lengths[place]]
        hashes[place] ^= np.uint64(int.from_bytes(hashlib.blake2b(rest, digest_size=8).digest(), "little"))
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    mixed = hashes * MIX
    mixed ^= mixed >> HALF
    return mixed


def _runs(hashes: Hashes, size: int) -> Hashes:
    """Return a hash for the run of `size` words that starts at each place."""
    runs = hashes
    for later in range(1, size):
        runs = runs[:-1] * NEXT
        runs += hashes[later:]
    return _mixed(runs)
