"""Parameters by our arithmetic against those that were published, for the models of the real material.

`python -m bench.parameter_counts` writes bench/results/parameter_counts.json: each row of model_facts.csv with our count, theirs, the
gap, and what the row leaves out or infers; and each published count of an adapter's parameters that the paper's formula reproduces.
"""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

from app.domain.architectures import Architecture, lora_parameters
from app.gateways.catalog import read_catalog
from app.main import CATALOG_FOLDER
from bench.material import MATERIAL
from bench.results_file import keep

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = {
    "Qwen/Qwen2.5": "qwen2", "Qwen/Qwen3": "qwen3", "meta-llama/": "llama", "microsoft/Phi-4": "phi3", "google/gemma-3": "gemma3_text",
    "HuggingFaceTB/SmolLM2": "llama", "HuggingFaceTB/SmolLM3": "smollm3", "mistralai/Ministral-3": "ministral3", "openai/": "gpt_oss",
    "ibm-granite/": "granitemoehybrid",
}  # fmt: skip
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 896, "patch_size": 14}
BESIDE: dict[str, dict[str, Any]] = {
    "openai/gpt-oss-20b": {"num_local_experts": 32, "num_experts_per_tok": 4},
    "ibm-granite/granite-4.0-micro": {"shared_intermediate_size": 8192, "num_local_experts": 0, "layer_types": ["attention"] * 40},
    "ibm-granite/granite-4.0-h-tiny": {
        "intermediate_size": 512, "shared_intermediate_size": 1024, "num_local_experts": 64, "num_experts_per_tok": 6,
        "mamba_n_heads": 48, "mamba_d_state": 128, "layer_types": ["attention" if at in {5, 15, 25, 35} else "mamba" for at in range(40)],
    },
}  # fmt: skip
"""What the columns have no place for, by the rows' own notes."""


def architecture_of(row: dict[str, str]) -> Architecture:
    """Return the measures that a row's columns and notes make."""
    family = next(family for start, family in FAMILIES.items() if row["hub_id"].startswith(start))
    config: dict[str, Any] = {
        "model_type": family, "num_hidden_layers": int(row["layers"]), "hidden_size": int(row["hidden"]),
        "num_attention_heads": int(row["heads"]), "num_key_value_heads": int(row["kv_heads"]), "head_dim": int(row["head_dim"]),
        "vocab_size": int(row["vocab"]), "tie_word_embeddings": row["tied_embeddings"] == "yes",
        "max_position_embeddings": int(row["context"]),
    }  # fmt: skip
    if row["intermediate"].isdigit():
        config["intermediate_size"] = int(row["intermediate"])
    config |= BESIDE.get(row["hub_id"], {})
    if "SigLIP" in row["note"]:
        config = {"model_type": "gemma3", "text_config": config, "vision_config": SIGLIP | {"vision_use_head": False}}
    return Architecture.from_config(config)


def counted(material: Path) -> list[dict[str, Any]]:
    """Return every row with our count beside the published one."""
    catalog = read_catalog(CATALOG_FOLDER)
    with (material / "model_facts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [_compared(row, architecture_of(row), catalog.by_hub_id(row["hub_id"])) for row in rows]


def _compared(row: dict[str, str], ours: Architecture, model: Any) -> dict[str, Any]:
    theirs = int(row["params_total"])
    return {
        "model": row["name"], "published": theirs, "ours": ours.parameters, "gap": ours.parameters - theirs,
        "catalogue": model.parameters if model else None, "kind": _kind(row, ours), "text": ours.text_parameters,
        "per_token": ours.computed_parameters, "why": row["note"],
    }  # fmt: skip


def _kind(row: dict[str, str], ours: Architecture) -> str:
    if ours.vision_parameters:
        return "text and vision"
    if ours.experts:
        return "experts, inferred" if "inferred" in row["note"] else "experts"
    if "vision" in row["note"]:
        return "text part of a model that sees"
    return "text, inferred" if "inferred" in row["note"] else "text"


def adapters(material: Path) -> list[dict[str, Any]]:
    """Return each published count of an adapter that is marked as reproduced, with ours."""
    oracles = json.loads((material / "paper_oracles.json").read_text(encoding="utf-8"))["lora_counts"]
    return [
        {"adapter": row["name"], "published": row["published"], "ours": lora_parameters(row["rank"], row["modules_in_out"], row["layers"])}
        for row in oracles
        if row["match"]
    ]


def main() -> int:
    """Count, print, keep; fail when a count is another than the published one."""
    models, lora = counted(MATERIAL), adapters(MATERIAL)
    for row in models:
        print(f"{row['model']:28} {row['ours']:>14,} {row['published']:>14,} {row['gap']:>6,}  {row['kind']}")
    for row in lora:
        print(f"{row['adapter']:28} {row['ours']:>14,} {row['published']:>14,} {row['ours'] - row['published']:>6,}")
    print(keep("parameter_counts", {"models": models, "adapters": lora}))
    return 1 if any(row["gap"] for row in models) or any(row["ours"] != row["published"] for row in lora) else 0


if __name__ == "__main__":
    sys.exit(main())
