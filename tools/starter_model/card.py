"""The starter's model card: what it is, what it was made from and by whom, what it cannot do."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

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

A Llama of {parameters:,} parameters (hidden 256, 6 layers, context 2,048, byte-level BPE of 4,096 pieces), small enough to be fine-tuned
on a laptop in a minute. It is there to try Hone with, not to answer questions: as it stands it knows children's stories and what a turn
of a conversation is, and little else. What counts is how well it learns from a few hundred examples.

## How it was made

`python -m tools.starter_model --text FOLDER --work FOLDER` on the text below and on short conversations that a script makes from its
sentences (continue, repeat, first and last word, which word is missing, the same as JSON): {steps:,} steps of 4,096 tokens, {tokens:,}
tokens read, loss {loss:g} nats a token at the end. No other data went in.

## Limits

English only, in the words of old children's books. It has no knowledge to speak of, makes things up, and may repeat the views of its
sources, some of them more than a hundred years old. Do not use it for anything but trying out fine-tuning.

"""


def write_card(folder: Path, text: Path, facts: dict[str, Any]) -> None:
    """Write README.md beside the model, with the credits that lie beside the text."""
    parts = [HEAD.format(**facts)]
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
