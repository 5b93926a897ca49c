"""A Hub of a few made-up models, for whoever draws pages: it answers from memory, so no picture asks a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.domain.base_models import INDEX, WHOLE
from app.domain.errors import NotFound
from app.domain.hub_models import Found, HubModel, Looked
from app.domain.repository import HubFile, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.hub_models import Search

COMMIT = "c0ffee" * 6 + "c0de"
DENSE = {
    "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": False, "max_position_embeddings": 40960,
}  # fmt: skip
GB = 10**9
SHARDS = {f"model-{number:05d}-of-00004.safetensors": 4 * GB for number in range(1, 5)}
LISTED = json.dumps({"weight_map": {f"layer {place}": name for place, name in enumerate(SHARDS)}}).encode()
BESIDE = {"tokenizer.json": 11_422_654, "tokenizer_config.json": 9_732, "README.md": 16_660, "LICENSE": 11_343}
GOOD, QUANTISED, STOPPED, UNMEASURED = "acme/assistant-8b", "acme/assistant-8b-gptq", "lab/assistant-parts", "lab/own-kind"


class SampleHub:
    """Knows a model that can be trained, one that is quantised already, one that is not whole, and one that nobody can measure."""

    host = "huggingface.co"
    is_offline = has_token = False

    def __init__(self) -> None:
        found = (
            _looked(GOOD, DENSE, SHARDS | {INDEX: len(LISTED), "pytorch_model.bin": 16 * GB}, parameters=8_190_735_360),
            _looked(QUANTISED, DENSE | {"quantization_config": {"quant_method": "gptq"}}, {WHOLE: 5_700_000_000}, parameters=1_900_000_000),
            _looked(STOPPED, DENSE, SHARDS),
            _looked(UNMEASURED, {"model_type": "own_kind"}, {WHOLE: 5 * GB}, parameters=2_500_000_000),
        )
        self._models = {looked.model.id: looked for looked in found}

    def check_online(self) -> None:
        """Let everything be asked."""

    def search(self, wanted: Search, token: str | None = None) -> Found:  # noqa: ARG002 - the port's
        """Return what has the words in its name."""
        return Found([looked.model for looked in self._models.values() if wanted.text in looked.model.id])

    def look(self, repo: str, revision: str | None = None, token: str | None = None) -> Looked:  # noqa: ARG002 - the port's
        """Return a model, or NotFound."""
        if repo not in self._models:
            raise NotFound(f"The Hub has no model {repo!r} for this studio. Check the name.", param="repo", code="unknown_model")
        return self._models[repo]


def _looked(name: str, config: Mapping[str, Any], weights: Mapping[str, int], *, parameters: int | None = None) -> Looked:
    small = {"config.json": json.dumps(config).encode(), "tokenizer_config.json": b'{"chat_template": "it brings one"}', INDEX: LISTED}
    sizes = {**weights, "config.json": len(small["config.json"]), **BESIDE}
    files = [HubFile(path, "", size, sha256="0" * 64) for path, size in sizes.items()]
    model = HubModel(name, downloads=81_200, likes=431, licence="apache-2.0", parameters=parameters, task="text-generation")
    return Looked(model, COMMIT, scan(files, small.__getitem__, licence=model.licence, gated=False), dict(config))
