"""The card of an adapter."""

from __future__ import annotations

import dataclasses

import yaml

from app.domain.cards import Lineage, render_card

LINEAGE = Lineage(
    base_model="org/model", revision="abc", dataset="rows.jsonl", training_rows=90, held_out_rows=10, tuning="qlora", steps=7,
    settings={"rank": 16}, metrics={"eval/loss": 0.5, "eval/exact_match": 0.93}, base_metrics={"eval/loss": 4.0, "eval/exact_match": 0.02},
)  # fmt: skip


def test_the_front_matter_is_what_the_hub_reads() -> None:
    front = yaml.safe_load(render_card(LINEAGE).split("---")[1])
    assert front["base_model"] == "org/model"
    assert front["library_name"] == "peft"
    assert front["pipeline_tag"] == "text-generation"
    assert {"base_model:adapter:org/model", "lora", "qlora", "transformers", "sft"} <= set(front["tags"])


def test_scores_stand_beside_the_base_s() -> None:
    card = render_card(LINEAGE)
    assert "| held-out rows answered exactly right | 2.0% | 93.0% |" in card
    assert "## Scores" not in render_card(dataclasses.replace(LINEAGE, metrics={}))


def test_a_name_cannot_break_out_of_its_line() -> None:
    card = render_card(dataclasses.replace(LINEAGE, dataset="a`\n# Not a heading\n---"))
    assert "\n# Not" not in card


def test_the_kind_of_adapter_is_told() -> None:
    card = render_card(dataclasses.replace(LINEAGE, settings={"rank": 16, "adapter": "dora"}))
    assert "# A QDoRA adapter for org/model" in card
    assert {"lora", "qlora", "dora"} <= set(yaml.safe_load(card.split("---")[1])["tags"])


def test_a_whole_model_s_card_needs_no_base_and_no_peft() -> None:
    card = render_card(dataclasses.replace(LINEAGE, tuning="full"))
    front = yaml.safe_load(card.split("---")[1])
    assert (front["library_name"], front["base_model"]) == ("transformers", "org/model")
    assert "base_model:finetune:org/model" in front["tags"]
    assert "# A model tuned from org/model" in card
    assert "lora" not in front["tags"]
    assert "peft" not in card.partition("## Load it")[2].partition("## Settings")[0]
    assert "rank" not in card
