"""How the tagger of names learns: from filled templates whose words keep their tags, the same from the same seed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tools.name_tagger import training
from tools.name_tagger.examples import KINDS, PEOPLE, PLACES, SLOT, Example, Part, example, fill, mistyped, read_templates, written
from tools.name_tagger.fillers import Fillers, read_words
from tools.name_tagger.sources import LEFT_OUT, TAUGHT, country_names
from tools.name_tagger.words import write
from workers.curation.pii.features import ADDRESS, NAME, OUTSIDE
from workers.curation.pii.tagger import Tagger
from workers.curation.pii.words import Known, WordLists

COUNTED = {
    "number",
    "small",
    "age",
    "year",
    "daynumber",
    "housenumber",
    "amount",
    "date",
    "city",
    "country",
    "org",
    "phone",
    "email",
    "formula",
    "code",
}


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- for sentences, not for secrets


@pytest.fixture(scope="module")
def lists() -> WordLists:
    return WordLists.load()


@pytest.fixture(scope="module")
def fillers() -> Fillers:
    return Fillers(chance(3))


def test_every_slot_of_a_template_can_be_filled() -> None:
    known = COUNTED | PEOPLE | PLACES | set(read_words())
    assert {slot for kind in KINDS for line in read_templates(kind) for slot in SLOT.findall(line)} <= known


def test_every_word_of_a_name_is_tagged_and_its_ending_is_not(lists: WordLists) -> None:
    made = example([Part("I met ", OUTSIDE), Part("Ann van Dyk", NAME), Part("'s son at ", OUTSIDE), Part("1 Low Road", ADDRESS)], lists)
    tagged = {tag: [word.text for word, own in zip(made.words, made.tags, strict=True) if own == tag] for tag in (NAME, ADDRESS)}
    assert tagged == {NAME: ["Ann", "van", "Dyk"], ADDRESS: ["1", "Low", "Road"]}


def test_of_a_hidden_name_no_list_knows(lists: WordLists) -> None:
    made = example([Part("I met ", OUTSIDE), Part("Ann", NAME, hidden=True)], lists)
    assert made.words[-1].known == 0
    assert lists.lookup("ann") & Known.FIRST


def test_the_same_seed_makes_the_same_sentences() -> None:
    def made(rng: random.Random) -> list[list[Part]]:
        fillers = Fillers(rng)
        return [written(fill(line, fillers), rng) for line in read_templates("people")]

    assert made(chance(5)) == made(chance(5))


def test_fingers_slip_only_in_words_of_small_letters() -> None:
    rng = chance(1)
    texts = {mistyped("please send IT to Ann", rng) for _ in range(50)}
    assert len(texts) > 10
    assert all("IT" in text and text.endswith("Ann") for text in texts)


def test_names_that_only_countries_left_out_have_are_in_no_list(lists: WordLists) -> None:
    taught = {name.lower() for locale in TAUGHT for names in country_names(locale) for name in names}
    left_out = {name.lower() for locale in LEFT_OUT for name in country_names(locale).first} - taught
    unknown = [name for name in left_out if not lists.lookup(name) & (Known.FIRST | Known.LAST)]
    assert len(left_out) > 1_000
    assert len(unknown) > 0.9 * len(left_out)


def test_lists_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "words.txt.gz"
    write({"ann": "fu", "run": "w", "york": "lp"}, file)
    read = WordLists.load(file)
    assert [read.lookup(word) for word in ("ann", "running", "york", "xyzzy")] == [
        Known.FIRST | Known.USUAL, Known.COMMON, Known.LAST | Known.PLACE, 0,
    ]  # fmt: skip


def test_a_little_learning_finds_a_name_it_never_saw(lists: WordLists, fillers: Fillers) -> None:
    lines = ["my name is {name} and i like it", "we saw the {thing} in the garden", "Please write to {address} soon"]
    made: list[Example] = [example(fill(line, fillers), lists) for line in lines * 60]
    seen, tags = training.rows(
        made, frozenset(["my", "name", "is", "and", "i", "like", "it", "we", "saw", "the", "in", "garden", "please", "write", "to", "soon"])
    )
    tagger = Tagger(lists, *training.fit(seen, tags, strength=1.0))
    text = "my name is Zyxwv Qrstu and i like it"
    assert [text[span.start : span.end] for span in tagger.find(text)] == ["Zyxwv Qrstu"]
    assert tagger.find("we saw the table in the garden") == []
