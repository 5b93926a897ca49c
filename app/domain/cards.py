"""The card of an adapter or a whole model: what it is, where it comes from, how well it does, how to load it. Pure text of plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from app.domain.specs import OF_ADAPTERS, OWN_WORDS, adapter_words


@dataclass(frozen=True)
class Lineage:
    """Everything a card says about where an adapter, or a model, comes from."""

    base_model: str
    revision: str
    dataset: str
    training_rows: int
    held_out_rows: int
    tuning: str
    steps: int
    settings: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    base_metrics: dict[str, float] = field(default_factory=dict)
    has_template: bool = False
    """A chat template of its own lies beside the weights: the base has none, or an unfit one."""

    @property
    def is_whole(self) -> bool:
        """Say whether a model of its own came out, not an adapter."""
        return self.tuning == "full"


CHAT_TEMPLATE = "chat_template.jinja"
OWN_TEMPLATE = (
    "# Rows were written with this folder's chat template, not with the base's own.\n"
    'tokenizer.chat_template = open("chat_template.jinja", encoding="utf-8").read()\n'
)
METRIC_WORDS = {"eval/loss": "loss on held-out rows (nats per trained token)", "eval/exact_match": "held-out rows answered exactly right"}


def render_card(lineage: Lineage) -> str:
    """Return the README.md of an adapter's folder in PEFT layout, or of a model's."""
    usage = _usage_of_a_model() if lineage.is_whole else _usage(lineage)
    parts = [_front_matter(lineage), _introduction(lineage), _scores(lineage), usage, _settings(lineage)]
    return "\n".join(part for part in parts if part)


def _front_matter(lineage: Lineage) -> str:
    kind, library = ("finetune", "transformers") if lineage.is_whole else ("adapter", "peft")
    own = [] if lineage.is_whole else ["lora", *({"qlora", "dora"} & {lineage.tuning, lineage.settings.get("adapter")})]
    tags = [f"base_model:{kind}:{lineage.base_model}", *sorted(own, reverse=True), "transformers", "sft", "hone"]
    base = f"base_model: {json.dumps(lineage.base_model)}"
    lines = ["---", base, f"library_name: {library}", "pipeline_tag: text-generation", "tags:"]
    return "\n".join([*lines, *(f"- {json.dumps(tag)}" for tag in tags), "---", ""])


def _introduction(lineage: Lineage) -> str:
    words = "model tuned from" if lineage.is_whole else f"{adapter_words(lineage.settings | {'tuning': lineage.tuning})} adapter for"
    return (
        f"# A {words} {_plain(lineage.base_model)}\n\n"
        f"Trained with Hone for {lineage.steps} steps on {lineage.training_rows} rows of {_plain(lineage.dataset)}; "
        f"{lineage.held_out_rows} rows were held out to check it.\n\n"
        f"* Base model: `{lineage.base_model}`, `{lineage.revision}`\n"
        f"* Dataset: `{_plain(lineage.dataset)}`\n"
    )


def _scores(lineage: Lineage) -> str:
    known = [name for name in METRIC_WORDS if name in lineage.metrics]
    if not known:
        return ""
    rows = [f"| {METRIC_WORDS[name]} | {_figure(name, lineage.base_metrics)} | {_figure(name, lineage.metrics)} |" for name in known]
    return "\n".join(["## Scores", "", "| | base | tuned |", "|---|--:|--:|", *rows, ""])


def _figure(name: str, metrics: dict[str, float]) -> str:
    if name not in metrics:
        return ""
    return f"{metrics[name]:.1%}" if name == "eval/exact_match" else f"{metrics[name]:.4f}"


def _usage(lineage: Lineage) -> str:
    return (
        "## Load it\n\n"
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"base = {json.dumps(lineage.base_model)}  # the folder or Hub id of the base model\n"
        "tokenizer = AutoTokenizer.from_pretrained(base)\n"
        'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), ".")  # this folder\n'
        + OWN_TEMPLATE * lineage.has_template
        + "```\n"
    )


def _usage_of_a_model() -> str:
    return (
        "## Load it\n\n"
        "It stands by itself: weights, tokenizer and chat template are all in this folder.\n\n"
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained(".")  # this folder\n'
        'model = AutoModelForCausalLM.from_pretrained(".")\n'
        "```\n"
    )


def _settings(lineage: Lineage) -> str:
    told = {
        name: value
        for name, value in lineage.settings.items()
        if name not in OWN_WORDS | (OF_ADAPTERS if lineage.is_whole else frozenset())
    }
    return "## Settings\n\n```json\n" + json.dumps(told, indent=2, sort_keys=True) + "\n```\n"


def _plain(text: str) -> str:
    """Keep a name from breaking out of its line."""
    return " ".join(text.replace("`", "'").split())
