"""Small tasks about words and sentences, made from WordNet by rule: what a word means, what a sentence is about, the same as JSON.

A task is an instruction, a text and an answer; the instruction may stand in the system turn, before the text or after it, so
that the model learns to follow it wherever it stands. Lessons show a few solved examples as turns before they ask.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from tools.starter_model.edits import EDITS, mistyped

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from tools.starter_model.wordnet import Sense

Message = dict[str, str]
Task = tuple[str, str, str]
KIND_SIZE = (12, 400)
"""A kind is a word with so many below it that examples differ, and so few that they have something in common."""


KEYS, MARKS = ["kind", "label", "class", "topic", "type", "group", "tone", "level"], "abcxyz"
EVERYDAY = 6
"""A kind is of everyday when this many of its words stand in an example sentence."""


class Lexicon:
    """The senses, and for each what it is a kind of: the nearest word above it that has a fair number below."""

    def __init__(self, senses: Iterable[Sense]) -> None:
        self.senses = {sense.id: sense for sense in senses}
        below: dict[str, list[Sense]] = defaultdict(list)
        for sense in self.senses.values():
            for above in self._above(sense):
                below[above].append(sense)
        least, most = KIND_SIZE
        self.kinds = {kind: members for kind, members in below.items() if least <= len(members) <= most}
        self.illustrated = [sense for sense in self.senses.values() if sense.examples]
        self.common = [sense for sense in self.senses.values() if not sense.is_name]
        self.everyday = sorted(kind for kind, members in self.kinds.items() if sum(bool(member.examples) for member in members) >= EVERYDAY)
        self.kind_ids = sorted(self.kinds)
        self.opposed = [sense for sense in self.common if sense.opposites]

    def _above(self, sense: Sense) -> list[str]:
        found: list[str] = []
        front = list(sense.parents)
        while front:
            above = front.pop()
            if above in self.senses and above not in found:
                found.append(above)
                front += self.senses[above].parents
        return found

    def kind_of(self, sense: Sense) -> str | None:
        """Return the word for what a sense is a kind of."""
        nearest = next((above for above in self._above(sense) if above in self.kinds), None)
        return self.senses[nearest].words[0] if nearest else None

    def any(self, rng: random.Random) -> Sense:
        """Return a sense, oftener one that has an example sentence: those are the words of everyday."""
        return rng.choice(self.illustrated if rng.random() < 0.5 else self.common)  # noqa: PLR2004 - a coin

    def some_kinds(self, rng: random.Random, count: int) -> list[str]:
        """Return different kinds to tell apart, oftener those of everyday."""
        return rng.sample(self.everyday if rng.random() < 0.7 else self.kind_ids, count)  # noqa: PLR2004 - a choice

    def text_of(self, rng: random.Random, sense: Sense) -> str:
        """Return a sentence with the word, or what it means."""
        if sense.examples and rng.random() < 0.7:  # noqa: PLR2004 - sentences are nearer to what people bring
            return rng.choice(sense.examples)
        return f"{rng.choice(sense.words)}: {sense.gloss}" if rng.random() < 0.5 else sense.gloss  # noqa: PLR2004

    def member_text(self, rng: random.Random, kind_id: str) -> str:
        """Return a text about something that is of this kind."""
        members = self.kinds[kind_id]
        illustrated = [member for member in members if member.examples]
        return self.text_of(rng, rng.choice(illustrated if illustrated and rng.random() < 0.6 else members))  # noqa: PLR2004 - a choice


def meaning(rng: random.Random, lexicon: Lexicon) -> Task:
    """Say what a word means."""
    sense = lexicon.any(rng)
    ask = rng.choice(["What does this word mean?", "Explain the word.", "Give the meaning.", "Define this."])
    return ask, rng.choice(sense.words), sense.gloss


def named(rng: random.Random, lexicon: Lexicon) -> Task:
    """Find the word for a meaning."""
    sense = lexicon.any(rng)
    return rng.choice(["Which word means this?", "Name it.", "What is the word for this?"]), sense.gloss, sense.words[0]


def synonym(rng: random.Random, lexicon: Lexicon) -> Task:
    """Give another word."""
    sense = lexicon.any(rng)
    while len(sense.words) == 1:
        sense = lexicon.any(rng)
    one, other = rng.sample(sense.words, 2)
    return rng.choice(["Say it with another word.", "Give a synonym.", "Another word for this?"]), one, other


def opposite(rng: random.Random, lexicon: Lexicon) -> Task:
    """Give the opposite."""
    sense = rng.choice(lexicon.opposed)
    return rng.choice(["What is the opposite?", "Give the opposite."]), sense.words[0], sense.opposites[0]


def kind(rng: random.Random, lexicon: Lexicon) -> Task:
    """Say what something is a kind of."""
    while True:
        sense = lexicon.any(rng)
        if above := lexicon.kind_of(sense):
            return rng.choice(["What kind of thing is this?", "What is it a kind of?"]), rng.choice([*sense.words, sense.gloss]), above


def topic(rng: random.Random, lexicon: Lexicon) -> Task:
    """Say in one word what a sentence is about."""
    sense = lexicon.any(rng)
    ask = rng.choice(["Answer with the topic.", "What is this about? One word.", "Name the topic of the text.", "Sort this text."])
    return ask, lexicon.text_of(rng, sense), sense.topic


def choice(rng: random.Random, lexicon: Lexicon) -> Task:
    """Choose the kind a text belongs to among a few."""
    offered = lexicon.some_kinds(rng, rng.randint(2, 5))
    labels = [label(lexicon, kind_id) for kind_id in offered]
    place = rng.randrange(len(offered))
    text = among_others(rng, lexicon, lexicon.member_text(rng, offered[place]))
    ask = rng.choice(["Choose one:", "Which of these fits?", "Answer with one of these:", "Classify the text. Labels:"])
    return f"{ask} {', '.join(labels)}.", text, labels[place]


def facts(rng: random.Random, lexicon: Lexicon) -> Task:
    """Answer as JSON about a word or a sentence."""
    sense = lexicon.any(rng)
    word, text = rng.choice(sense.words), lexicon.text_of(rng, sense)
    known: dict[str, str | int | bool] = {
        "word": word, "topic": sense.topic, "part": sense.part, "kind": lexicon.kind_of(sense) or "none",
        "letters": len(word), "name": sense.is_name,
    }  # fmt: skip
    keys = rng.sample(sorted(known), rng.randint(1, 4))
    answer = json.dumps({key: known[key] for key in keys}, ensure_ascii=False, separators=rng.choice([(", ", ": "), (",", ":")]))
    ask = rng.choice(["Answer with JSON:", "Give JSON with", "Fill in as JSON:", "Return a JSON object:"])
    return f"{ask} {', '.join(keys)}.", f"{word}. {text}" if "word" in keys else text, answer


def edited(rng: random.Random, lexicon: Lexicon) -> Task:
    """Change a sentence as asked."""
    return rng.choice(EDITS)(rng, rng.choice(lexicon.illustrated))


TASKS: list[Callable[[random.Random, Lexicon], Task]] = [
    meaning, named, synonym, opposite, kind, topic, topic, choice, choice, choice, facts, facts, edited, edited, edited,
]  # fmt: skip


def task(rng: random.Random, lexicon: Lexicon) -> list[Message]:
    """Return one task as a conversation."""
    ask, text, answer = rng.choice(TASKS)(rng, lexicon)
    if rng.random() < 0.15 and text and "spell" not in ask.lower():  # noqa: PLR2004 - people mistype
        text = mistyped(rng, text)
    shape = rng.randrange(4)
    if shape == 0:
        user = [{"role": "user", "content": f"{ask} {text}"}]
    elif shape == 1:
        user = [{"role": "user", "content": f"{text}\n{ask}"}]
    else:
        user = [{"role": "system", "content": ask}, {"role": "user", "content": text}]
    return [*user, {"role": "assistant", "content": answer}]


def lesson(rng: random.Random, lexicon: Lexicon) -> list[Message]:
    """Return a conversation that sorts texts: the first ones show how, the later ones can be known from them."""
    if rng.random() < 0.4:  # noqa: PLR2004 - two things to say of a text are harder
        return _two_fields(rng, lexicon)
    labels = _labels(rng, lexicon, rng.randint(2, 4))
    key = rng.choice(KEYS)
    system = rng.choice(["Sort the texts.", "Answer with the label.", "Label each text.", f"Give the {key}.", f"Answer with JSON: {key}."])
    messages = [{"role": "system", "content": system}]
    for _ in range(rng.randint(4, 9)):
        kind_id = rng.choice(list(labels))
        text = among_others(rng, lexicon, lexicon.member_text(rng, kind_id))
        said = json.dumps({key: labels[kind_id]}) if "JSON" in system else labels[kind_id]
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": said}]
    return messages


def _two_fields(rng: random.Random, lexicon: Lexicon) -> list[Message]:
    """Return a lesson whose answers have two fields, each told by a sentence of its own; one field may have nothing that tells it."""
    keys = rng.sample(KEYS, 2)
    first, second = _labels(rng, lexicon, rng.randint(2, 4)), _labels(rng, lexicon, 2)
    nothing = rng.choice(["none", "normal", "other", "unknown"])
    system = rng.choice([f"Answer with JSON: {keys[0]}, {keys[1]}.", f"Read the text; give its {keys[0]} and {keys[1]} as JSON."])
    messages = [{"role": "system", "content": system}]
    for _ in range(rng.randint(4, 8)):
        one, other = rng.choice(list(first)), rng.choice([*second, None])
        told = [lexicon.member_text(rng, kind_id) for kind_id in (one, other) if kind_id]
        rng.shuffle(told)
        text = among_others(rng, lexicon, ". ".join(told))
        answer = {keys[0]: first[one], keys[1]: second[other] if other else nothing}
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": json.dumps(answer)}]
    return messages


def _labels(rng: random.Random, lexicon: Lexicon, count: int) -> dict[str, str]:
    """Return what a few kinds are called: by their own names, or by marks that say nothing."""
    offered = lexicon.some_kinds(rng, count)
    if rng.random() < 0.3:  # noqa: PLR2004 - a choice
        return {kind_id: rng.choice(MARKS) + str(at) for at, kind_id in enumerate(offered)}
    return {kind_id: label(lexicon, kind_id) for kind_id in offered}


def among_others(rng: random.Random, lexicon: Lexicon, text: str) -> str:
    """Return the text between a few sentences that have nothing to do with it, as in a letter; half the time it stands alone."""
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        return text
    sentences = [text, *(rng.choice(rng.choice(lexicon.illustrated).examples) for _ in range(rng.randint(1, 4)))]
    rng.shuffle(sentences)
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}{'' if sentence[-1] in '.!?' else '.'}" for sentence in sentences if sentence)


def label(lexicon: Lexicon, kind_id: str) -> str:
    """Return a kind's name as labels are written."""
    return lexicon.senses[kind_id].words[0].lower().replace(" ", "_")


def entries(lexicon: Lexicon) -> list[str]:
    """Return the dictionary as running text, one entry a document."""
    return [_entry(sense, lexicon.kind_of(sense)) for sense in lexicon.senses.values()]


def _entry(sense: Sense, above: str | None) -> str:
    sentences = "".join(f' "{example}."' for example in sense.examples)
    more = f" Also: {', '.join(sense.words[1:])}." if len(sense.words) > 1 else ""
    opposite_word = f" Opposite: {sense.opposites[0]}." if sense.opposites else ""
    family = f" A kind of {above}." if above else ""
    return f"{sense.words[0]} ({sense.part}, {sense.topic}): {sense.gloss}.{more}{opposite_word}{family}{sentences}"
