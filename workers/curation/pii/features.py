"""What the tagger looks at to tell whether a word is part of a name or of an address; the same when it learns and when it reads."""

from __future__ import annotations

from collections.abc import Sequence

from workers.curation.pii.words import NAMES, Known, Word

OUTSIDE, NAME, ADDRESS = 0, 1, 2
EDGE = Word(0, 0, "\n", "\n", "n", 0)
SIGNS = frozenset({".", "n"})
"""The shapes of what is not a word."""
IN_ADDRESS = frozenset(".,-/'’\n>º°")
"""The signs that may stand inside an address."""
LONGEST_ACRONYM = 4
LAST_LETTER = "\u04ff"
"""Latin, Greek and Cyrillic end here: no name of another script was learnt."""
TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "mx", "fr", "sr", "sra", "hr"})
"""Their full stop ends no sentence."""
FAR = 12
DISTANCE = ("0", "1", "2", "3", "3", "5", "5", "5", "8", "8", "8", "8", "-")


def case_of(words: Sequence[Word]) -> str:
    """Return `l` for a text without capitals, `u` for one without small letters, `m` for a mixed one."""
    shapes = {word.shape for word in words}
    if not shapes & {"X", "Xx", "xX", "XX"}:
        return "l"
    return "m" if shapes & {"x", "Xx", "xX"} else "u"


def is_candidate(word: Word, before: int, last: Word) -> bool:
    """Tell whether a word is worth weighing: most of a text is small, common words and signs, and goes by unweighed."""
    first = word.text[0]
    if word.shape in SIGNS:
        return (before == ADDRESS and first in IN_ADDRESS) or (before == NAME and first == "." and last.shape == "X")
    if first > LAST_LETTER or word.shape == "xX":
        return False
    if word.shape == "XX" and len(word.text) <= LONGEST_ACRONYM and not word.known & NAMES:
        return before == ADDRESS
    return before != OUTSIDE or word.shape != "x" or not word.known & Known.COMMON or bool(word.known & NAMES)


def numbers_near(words: Sequence[Word]) -> list[str]:
    """Return for each word how far the nearest numbers before and after it are, and how long the later one is: addresses have both."""
    before, after = [], []
    last = -FAR
    for at, word in enumerate(words):
        before.append(DISTANCE[min(at - last, FAR)])
        last = at if word.shape[0] == "d" else last
    next_, shape = len(words) + FAR, ""
    for at in range(len(words) - 1, -1, -1):
        after.append(f"{DISTANCE[min(next_ - at, FAR)]}{shape if next_ - at < FAR else ''}")
        if words[at].shape[0] == "d":
            next_, shape = at, words[at].shape
    return [f"{one}{other}" for one, other in zip(before, reversed(after), strict=True)]


def features(words: Sequence[Word], at: int, before: int, setting: tuple[str, str]) -> list[str]:
    """Return what is seen at a word, given the tag of the word before it; the first letter says what sort of thing it is."""
    word = words[at]
    case, near = setting
    last = words[at - 1] if at else EDGE
    earlier = words[at - 2] if at > 1 else EDGE
    earliest = words[at - 3] if at > 2 else EDGE  # noqa: PLR2004 -- three words back
    if last.text == "." and earlier.lower in TITLES:
        last, earlier, earliest = earlier, earliest, EDGE
    next_ = words[at + 1] if at + 1 < len(words) else EDGE
    later = words[at + 2] if at + 2 < len(words) else EDGE
    seen = f"{word.shape}{case}{word.known}"
    tag = str(before)
    return [
        f"t{tag}",
        f"s{seen}",
        f"ts{tag}{seen}",
        f"w{word.lower}",
        f"W{tag}{word.lower}",
        f"e{word.lower[-3:]}",
        f"E{word.lower[-4:]}",
        f"b{word.lower[:3]}",
        f"k{word.known}",
        f"1{last.lower}",
        f"!{last.lower}|{seen}",
        f"2{earlier.lower}|{last.lower}",
        f"3{earliest.lower}|{earlier.lower}|{last.lower}",
        f"4{earlier.lower}",
        f"5{earliest.lower}",
        f"+{next_.lower}",
        f"*{next_.lower}|{seen}",
        f"&{next_.lower}|{later.lower}",
        f"%{later.lower}",
        f"~{next_.lower[-2:]}|{seen}",
        f"l{last.shape}{last.known}|{seen}",
        f"lt{last.shape}{last.known}{tag}",
        f"n{next_.shape}{next_.known}|{seen}",
        f"nt{next_.shape}{next_.known}{tag}",
        f"a{later.shape}{later.known}",
        f"q{last.shape}|{word.shape}|{next_.shape}|{later.shape}",
        f"y{tag}{word.shape}|{next_.shape}|{later.shape}",
        f"z{tag}{last.lower}",
        f"N{near}{tag}",
        f"Ns{near}{seen}",
    ]
