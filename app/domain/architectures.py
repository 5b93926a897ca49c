"""The measures of a base model, and what follows from them: parameters in all, for one token, in an adapter.

Everything is counted from config.json alone, so it is known before a weight has been fetched. Tied weights count once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeGuard

from pydantic import BaseModel, Field

from app.domain import model_layers, vision_layers
from app.domain.errors import Invalid
from app.domain.model_layers import FAMILIES, Linear

SMALLEST, LARGEST = 1e5, 1e13
"""Between these a number of parameters is a language model's."""
LEAST_FOUR_BIT_SHARE = 0.8
"""Of the weights of its layers' matrices a base has to have so many in four bits, or QLoRA is refused: it would save too little."""
NO_FOUR_BITS = "QLoRA is refused for this base: its experts lie in blocks that four bits do not reach. Take LoRA."
UNPACKED = frozenset({"mxfp4", "fp8"})
"""How weights may be stored quantised that are trained all the same, once they are unpacked; from any other way nothing is trained."""
TEXT_FAMILIES = {"gemma3": "gemma3_text", "mistral3": "mistral", "qwen3_5": "qwen3_5_text", "qwen3_vl": "qwen3", "gemma3n": "gemma3n_text"}
"""What a model that also sees calls its language model, where config.json leaves that out."""
PLAIN = re.compile(r"[ -~]{1,64}")
"""A name of a config.json is taken so and no otherwise: it comes from outside, and goes into pages, answers and the database."""


class Shape(NamedTuple):
    """A well-known dense model: the shape that a model of about its size is taken to have."""

    parameters: float
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool


SHAPES = (
    Shape(135e6, 576, 1536, 30, 9, 3, 49152, tied=True),
    Shape(360e6, 960, 2560, 32, 15, 5, 49152, tied=True),
    Shape(1.2e9, 2048, 8192, 16, 32, 8, 128256, tied=True),
    Shape(3.2e9, 3072, 8192, 28, 24, 8, 128256, tied=True),
    Shape(7e9, 4096, 11008, 32, 32, 32, 32000, tied=False),
    Shape(8e9, 4096, 14336, 32, 32, 8, 128256, tied=False),
    Shape(13e9, 5120, 13824, 40, 40, 40, 32000, tied=False),
    Shape(32e9, 5120, 27648, 64, 40, 8, 151936, tied=False),
    Shape(70e9, 8192, 28672, 80, 64, 8, 128256, tied=False),
    Shape(405e9, 16384, 53248, 126, 128, 8, 128256, tied=False),
)
"""SmolLM2, Llama 2 and 3, Qwen 2.5: the dense models that most others of their size resemble."""


class Architecture(BaseModel, frozen=True):
    """What a model's config.json says of its measures."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    context: int
    attention_layers: int = Field(description="Layers that attend to all that came before; in hybrids the others keep a state.")
    experts: int = 0
    active_experts: int = 0
    expert_intermediate: int = 0
    shared_intermediate: int = 0
    expert_parameters: int = Field(0, description="In all experts of all layers; no adapter reaches them.")
    other_parameters: int = Field(0, description="In norms, biases, convolutions and routers.")
    vision_parameters: int = Field(0, description="In what sees pictures and hands them on; no adapter reaches it.")
    linears: tuple[Linear, ...] = Field(description="The matrices of the layers that an adapter reaches.")
    quantised: str = Field("", description="How its weights are stored quantised already; empty where they are not.")
    exact: bool = True
    gap: str = Field("", description="Why the count is not exact, or what it leaves out.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the measures in a config.json, or raise Invalid with the code unknown_architecture."""
        text, family = _language_model(config)
        read = model_layers.Config(text, family)
        vision, gap = vision_layers.count(config, read.hidden)
        if family not in FAMILIES:
            gap = f"Hone does not know the family {family!r}, so its layers are counted like a Llama's."
        return cls(
            family=family, layers=read.layers, hidden=read.hidden, intermediate=read.intermediate, heads=read.heads,
            kv_heads=read.kv_heads, head_dim=read.head_dim, vocabulary=read.number("vocab_size", 32000), tied=_tied(config, read),
            context=read.number("max_position_embeddings", 2048, most=2**40), attention_layers=read.attention_layers,
            experts=read.experts, active_experts=read.active_experts, expert_intermediate=read.expert_width if read.experts else 0,
            shared_intermediate=read.shared_width, expert_parameters=model_layers.expert_weights(read),
            other_parameters=model_layers.others(read), vision_parameters=vision, linears=model_layers.linears(read),
            quantised=how_quantised(config), exact=not gap, gap=gap,
        )  # fmt: skip

    @classmethod
    def of_size(cls, parameters: float) -> Self:
        """Return a plausible dense shape with exactly so many parameters: the nearest well-known one, stretched to fit."""
        if not SMALLEST <= parameters <= LARGEST:
            words = f"A model of {parameters:g} parameters is none that is known: say a number between {SMALLEST:g} and {LARGEST:g}."
            raise Invalid(words, param="params", code="unknown_size")
        count = round(parameters)
        near = min(SHAPES, key=lambda shape: max(shape.parameters / count, count / shape.parameters))
        layers, hidden, vocabulary = _scaled(near, count)
        head = max(8, hidden // near.heads)
        attention = 2 * hidden * head * (near.heads + near.kv_heads)
        fixed = vocabulary * hidden * (1 if near.tied else 2) + layers * attention + (2 * layers + 1) * hidden
        width = max(1, round((count - fixed) / (3 * hidden * layers)))
        config = {
            "model_type": "llama", "num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": width, "head_dim": head,
            "num_attention_heads": near.heads, "num_key_value_heads": near.kv_heads, "vocab_size": vocabulary,
            "tie_word_embeddings": near.tied, "max_position_embeddings": 8192,
        }  # fmt: skip
        made = cls.from_config(config)
        # What no width can meet is less than a thousandth, and lies where it changes nothing but the sum.
        left = count - made.parameters + made.other_parameters
        gap = "Only a number of parameters is known, so the shape is that of a well-known dense model of this size."
        return made.model_copy(update={"other_parameters": left, "exact": False, "gap": gap})

    @property
    def parameters(self) -> int:
        """All of them."""
        layers = sum(linear.weights for linear in self.linears)
        return self.embedding_parameters + layers + self.expert_parameters + self.other_parameters + self.vision_parameters

    @property
    def text_parameters(self) -> int:
        """All of them but what sees pictures."""
        return self.parameters - self.vision_parameters

    @property
    def active_parameters(self) -> int:
        """Those that one token of text passes: of the experts only the ones it is sent to, and nothing that sees pictures."""
        used = self.expert_parameters * self.active_experts // self.experts if self.experts else 0
        return self.text_parameters - self.expert_parameters + used

    @property
    def computed_parameters(self) -> int:
        """Those that one token is multiplied with: the active ones but for embeddings, of which it only looks up a row."""
        return self.active_parameters - (0 if self.tied else self.vocabulary * self.hidden)

    @property
    def embedding_parameters(self) -> int:
        """Those of the embeddings, and of the head where it is not the same matrix: what stays out of four bits."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def linear_parameters(self) -> int:
        """Those of the matrices that an adapter reaches: what four bits can hold."""
        return sum(linear.weights for linear in self.linears)

    @property
    def unquantised_parameters(self) -> int:
        """Those that stay in 16 bits where matrices are held in four: embeddings, head, experts, norms, and what sees pictures."""
        return self.parameters - self.linear_parameters

    @property
    def takes_four_bits(self) -> bool:
        """Whether enough of its layers' matrices can be held in four bits; of experts that lie in one block none can, so it is refused."""
        return self.four_bit_share >= LEAST_FOUR_BIT_SHARE

    @property
    def four_bit_share(self) -> float:
        """How much of its layers' matrices can be held in four bits."""
        return self.linear_parameters / (self.linear_parameters + self.expert_parameters)

    @property
    def is_known(self) -> bool:
        """Whether its family is one whose layers are known, and not only taken for a Llama's."""
        return self.family in FAMILIES

    @property
    def is_for_answers_alone(self) -> bool:
        """Whether its weights are stored quantised in a way from which nothing is trained."""
        return bool(self.quantised) and self.quantised not in UNPACKED

    def refusal(self, tuning: str) -> str:
        """Return why it is never trained in a way (lora, qlora, full), whatever the device; empty where it is."""
        if self.is_for_answers_alone:
            words = f"Its weights are stored quantised ({self.quantised}), which is good for answering and not for training."
            return f"{words} Take the model that it was made from."
        if tuning == "qlora" and self.quantised:
            return f"Its weights are stored quantised in another way ({self.quantised}), so QLoRA is refused. LoRA unpacks them."
        return NO_FOUR_BITS if tuning == "qlora" and not self.takes_four_bits else ""

    def lora_parameters(self, rank: int, *, dora: bool = False) -> int:
        """Return how many numbers an adapter of this rank trains on all linear layers but the head; DoRA adds a length per output."""
        pairs = sum(linear.copies * rank * (linear.inputs + linear.outputs) for linear in self.linears)
        return pairs + (sum(linear.copies * linear.outputs for linear in self.linears) if dora else 0)


def lora_parameters(rank: int, modules_in_out: Iterable[tuple[int, int]], layers: int) -> int:
    """Return how many numbers an adapter trains that reaches these matrices in each layer: rank × (inputs + outputs) for each."""
    return layers * rank * sum(inputs + outputs for inputs, outputs in modules_in_out)


def how_quantised(config: Mapping[str, Any]) -> str:
    """Return by which method the weights beside a config.json are stored quantised; empty where they are not."""
    said = config.get("quantization_config")
    method = said.get("quant_method") if isinstance(said, Mapping) else None
    if not said:
        return ""
    return method if _is_plain(method) else "no method named"


def _is_plain(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and PLAIN.fullmatch(name) is not None


def _language_model(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the part of a config.json that describes the language model, and what its family is called."""
    inner = next((config[key] for key in ("text_config", "llm_config", "language_config") if isinstance(config.get(key), Mapping)), None)
    outer = config.get("model_type")
    text = config if inner is None else inner
    family = text.get("model_type") or (TEXT_FAMILIES.get(outer) if isinstance(outer, str) else None) or outer
    if not _is_plain(family):
        message = "config.json names no model_type that can be read, so nobody can tell what it measures."
        raise Invalid(message, param="base_model", code="unknown_architecture")
    return text, TEXT_FAMILIES.get(family, family)


def _tied(config: Mapping[str, Any], read: model_layers.Config) -> bool:
    said = config.get("tie_word_embeddings")
    return read.flag("tie_word_embeddings") if said is None else bool(said)


def _scaled(near: Shape, count: int) -> tuple[int, int, int]:
    """Return layers, width and vocabulary of a model like `near` with about `count` parameters."""
    ratio = count / near.parameters
    layers = max(2, round(near.layers * ratio ** (1 / 3)))
    per_head = max(8, round(near.hidden * ratio ** (1 / 3) / near.heads / 8) * 8)
    hidden = per_head * near.heads
    # Embeddings of a tiny model are as tiny: a third of it at most.
    return layers, hidden, max(256, min(near.vocabulary, count // (3 * hidden)))
