"""The layers of a language model as its config.json describes them: which matrices, how large, how often.

A config.json leaves out what equals the defaults of its family's class in transformers, so a family's traits carry those
defaults; both are held against the models themselves, built without weights, by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from app.domain.errors import Invalid

MOST = 2**24
"""No measure of a model is larger; a config.json that says so is no model's."""
MOST_LAYERS = 4096
EMPTY: Mapping[str, int] = MappingProxyType({})


class Linear(NamedTuple):
    """A matrix of a layer: what goes in, what comes out, and how often the whole model has it."""

    name: str
    inputs: int
    outputs: int
    copies: int

    @property
    def weights(self) -> int:
        """Its numbers in the whole model, without a bias."""
        return self.inputs * self.outputs * self.copies


class Traits(NamedTuple):
    """What a family does beside attention and a gated feed-forward network."""

    defaults: Mapping[str, int] = EMPTY
    norms: int = 2
    """Norms of a layer as wide as the model."""
    head_norms: bool = False
    """Queries and keys are normed a head at a time."""
    qkv_bias: bool = False
    fused: bool = False
    """Query, key and value are one matrix, and so are gate and up."""
    query_gate: bool = False
    """Queries bring a gate of the same width."""
    expert_bias: bool = False
    state: str = ""
    """What stands in place of attention in some layers: "mamba" or "delta"."""
    packed_mlp: bool = False
    """The network every token passes is `shared_intermediate_size` wide and holds gate and up as one matrix."""


GEMMA = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": 1}
QWEN_MOE = {"moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "num_key_value_heads": 4}
DELTA = {
    "vocab_size": 248320, "head_dim": 256, "num_attention_heads": 16, "num_key_value_heads": 4, "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
}  # fmt: skip
MAMBA = {"mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": 1}
HYBRID = {"num_local_experts": 8, "num_experts_per_tok": 2, "shared_intermediate_size": 1024}
FAMILIES: Mapping[str, Traits] = {
    "llama": Traits(),
    "mistral": Traits({"num_key_value_heads": 8}),
    "ministral": Traits({"num_key_value_heads": 8}),
    "ministral3": Traits({"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072}),
    "smollm3": Traits({"num_key_value_heads": 4, "tie_word_embeddings": 1}),
    "granite": Traits(),
    "qwen2": Traits(qkv_bias=True),
    "qwen3": Traits({"head_dim": 128}, head_norms=True),
    "qwen3_moe": Traits(QWEN_MOE, head_norms=True),
    "qwen3_5_text": Traits(DELTA, head_norms=True, query_gate=True, state="delta"),
    "phi3": Traits({"vocab_size": 32064}, fused=True),
    "gemma": Traits({"head_dim": 256, "tie_word_embeddings": 1, "vocab_size": 256000}),
    "gemma2": Traits(GEMMA | {"vocab_size": 256000}, norms=4),
    "gemma3_text": Traits(GEMMA | {"vocab_size": 262208}, norms=4, head_norms=True),
    "mixtral": Traits({"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2}),
    "gpt_oss": Traits(
        {"num_local_experts": 128, "num_experts_per_tok": 4, "head_dim": 64, "num_key_value_heads": 8, "attention_bias": 1},
        expert_bias=True,
    ),
    "granitemoehybrid": Traits(HYBRID | MAMBA, state="mamba", packed_mlp=True),
}
"""Families whose counts are exact; any other is counted like a Llama, and said to be inferred."""
ALIASES = {
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "hidden_size": ("n_embd", "d_model", "dim"),
    "num_attention_heads": ("n_head", "num_heads", "n_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "d_ff"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len"),
    "num_local_experts": ("num_experts", "n_routed_experts"),
    "shared_intermediate_size": ("shared_expert_intermediate_size",),
}


class Config:
    """A config.json with its family's defaults behind it; it comes from outside, so every number is looked at."""

    def __init__(self, values: Mapping[str, Any], family: str) -> None:
        self.values, self.family = values, family
        self.traits = FAMILIES.get(family, Traits())
        self.layers = self.number("num_hidden_layers", most=MOST_LAYERS)
        self.hidden = self.number("hidden_size")
        self.heads = self.number("num_attention_heads")
        self.kv_heads = self.number("num_key_value_heads", self.heads)
        self.head_dim = self.number("head_dim", max(1, self.hidden // self.heads))
        self.intermediate = self.number("intermediate_size", 4 * self.hidden, least=0)
        self.experts = self.number("num_local_experts", 0, least=0, most=MOST_LAYERS)
        self.active_experts = min(self.experts, self.number("num_experts_per_tok", self.experts, least=0))
        self.expert_width = self.number("moe_intermediate_size", self.intermediate, least=0)
        self.shared_width = self.number("shared_intermediate_size", 0, least=0)

    def number(self, name: str, default: int | None = None, *, least: int = 1, most: int = MOST) -> int:
        """Return a whole number by one of its names, or the family's default, or `default`; what is none is Invalid."""
        found = self.raw(name)
        if found is None:
            found = self.traits.defaults.get(name, default)
        if isinstance(found, list) and found and all(type(each) is int for each in found):
            found = max(found)  # some families say it layer by layer; none of them is counted exactly
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            said = "says nothing about" if found is None else f"says {str(found)[:40]!r} for"
            raise Invalid(f"config.json {said} {name}, so the model cannot be measured.", param="base_model", code="unknown_architecture")
        return found

    def raw(self, name: str) -> Any:
        """Return what the file holds under a name or one of its aliases."""
        names = (name, *ALIASES.get(name, ()))
        return next((self.values[key] for key in names if self.values.get(key) is not None), None)

    def flag(self, name: str) -> bool:
        """Return whether something is switched on."""
        found = self.values.get(name)
        return bool(self.traits.defaults.get(name, 0) if found is None else found)

    @property
    def attention_layers(self) -> int:
        """How many layers attend to all that came before; in hybrids most keep a state instead."""
        if not self.traits.state:
            return self.layers
        kinds = self.values.get("layer_types") or self.values.get("layers_block_type")
        if isinstance(kinds, Sequence) and not isinstance(kinds, str) and len(kinds) == self.layers:
            return sum(isinstance(kind, str) and kind.endswith("attention") and kind != "linear_attention" for kind in kinds)
        return self.layers // self.number("full_attention_interval", 4) if self.traits.state == "delta" else 0

    @property
    def sparse_layers(self) -> int:
        """How many layers send a token to some of their experts."""
        if not self.experts:
            return 0
        dense = self.values.get("mlp_only_layers")
        plain = set(dense) if isinstance(dense, list) and all(isinstance(layer, int) for layer in dense) else set()
        step = self.number("decoder_sparse_step", 1)
        return sum(layer not in plain and (layer + 1) % step == 0 for layer in range(self.layers))


def linears(config: Config) -> tuple[Linear, ...]:
    """Return the matrices of a model's layers that an adapter reaches: all but the experts', which are no layers of their own."""
    return (*_attention(config), *_state(config), *_network(config))


def others(config: Config) -> int:
    """Return how many numbers lie in norms, biases, convolutions and routers."""
    traits, attending = config.traits, config.attention_layers
    norms = (traits.norms * config.layers + 1) * config.hidden + (2 * config.head_dim * attending if traits.head_norms else 0)
    return norms + _biases(config) * attending + _network_biases(config) + _routers(config) + _state_others(config)


def expert_weights(config: Config) -> int:
    """Return how many numbers all experts of all layers hold."""
    width, hidden = config.expert_width, config.hidden
    biases = 2 * width + hidden if config.traits.expert_bias else 0
    return config.sparse_layers * config.experts * (3 * width * hidden + biases)


def _attention(config: Config) -> list[Linear]:
    copies, hidden = config.attention_layers, config.hidden
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    out = Linear("o_proj", query, hidden, copies)
    if config.traits.fused:
        return [Linear("qkv_proj", hidden, query + 2 * key, copies), out]
    wide = 2 * query if config.traits.query_gate else query
    return [Linear("q_proj", hidden, wide, copies), Linear("k_proj", hidden, key, copies), Linear("v_proj", hidden, key, copies), out]


def _network(config: Config) -> list[Linear]:
    """Return the feed-forward network of the layers that have no experts, or the one beside them."""
    hidden, width, copies = config.hidden, config.intermediate, config.layers - config.sparse_layers
    if config.traits.packed_mlp:
        shared = config.shared_width
        return [Linear("input_linear", hidden, 2 * shared, config.layers), Linear("output_linear", shared, hidden, config.layers)]
    if config.traits.fused:
        return [Linear("gate_up_proj", hidden, 2 * width, copies), Linear("down_proj", width, hidden, copies)]
    names = [("gate_proj", hidden, width), ("up_proj", hidden, width), ("down_proj", width, hidden)]
    return [Linear(*name, copies) for name in names] if copies else []


def _state(config: Config) -> list[Linear]:
    copies, hidden = config.layers - config.attention_layers, config.hidden
    if not config.traits.state or not copies:
        return []
    if config.traits.state == "mamba":
        inner, mixed, heads = _mamba(config)
        return [Linear("in_proj", hidden, inner + mixed + heads, copies), Linear("out_proj", inner, hidden, copies)]
    mixed, value, heads = _delta(config)
    shapes = [("in_proj_qkv", mixed), ("in_proj_z", value), ("in_proj_b", heads), ("in_proj_a", heads)]
    return [*(Linear(name, hidden, outputs, copies) for name, outputs in shapes), Linear("out_proj", value, hidden, copies)]


def _mamba(config: Config) -> tuple[int, int, int]:
    """Return a Mamba layer's width, the width its convolution mixes, and its heads."""
    inner = config.number("mamba_expand") * config.hidden
    return inner, inner + 2 * config.number("mamba_n_groups") * config.number("mamba_d_state"), config.number("mamba_n_heads")


def _delta(config: Config) -> tuple[int, int, int]:
    """Return the width that the convolution of a gated delta layer mixes, the width of its values, and its heads."""
    key = config.number("linear_num_key_heads") * config.number("linear_key_head_dim")
    heads = config.number("linear_num_value_heads")
    value = heads * config.number("linear_value_head_dim")
    return 2 * key + value, value, heads


def _state_others(config: Config) -> int:
    copies = config.layers - config.attention_layers
    if not config.traits.state or not copies:
        return 0
    if config.traits.state == "mamba":
        inner, mixed, heads = _mamba(config)
        # The convolution and its bias; step, decay and skip of each head; the norm before the way out.
        return copies * (mixed * (config.number("mamba_d_conv") + config.flag("mamba_conv_bias")) + 3 * heads + inner)
    mixed, _, heads = _delta(config)
    return copies * (mixed * config.number("linear_conv_kernel_dim") + 2 * heads + config.number("linear_value_head_dim"))


def _biases(config: Config) -> int:
    """Return the biases of one layer's attention, and what gpt-oss keeps for tokens that attend to nothing."""
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    sinks = config.heads if config.family == "gpt_oss" else 0
    if config.traits.fused:
        return sinks
    if config.flag("attention_bias"):
        return query + 2 * key + config.hidden + sinks
    return query + 2 * key if config.traits.qkv_bias else sinks


def _network_biases(config: Config) -> int:
    has = config.family in {"llama", "granite", "smollm3"} and config.flag("mlp_bias")
    return config.layers * (2 * config.intermediate + config.hidden) if has else 0


def _routers(config: Config) -> int:
    bias = 1 if config.traits.expert_bias else 0
    return config.sparse_layers * config.experts * (config.hidden + bias)
