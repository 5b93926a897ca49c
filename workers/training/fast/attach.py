"""Puts faster forward passes in the place of a model's own, each after it has given the same on what its module really reads."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface

from workers.training.attention import attend
from workers.training.fast import modules
from workers.training.memory import as_out_of_memory
from workers.training.plan import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.training.batches import Batch
    from workers.training.fast.modules import Forward
    from workers.training.loss import TrainedTokenLoss

    Maker = Callable[[Any], Forward | None]

PACKED = "hone_packed"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 3e-3}
"""By how much two ways to compute the same may differ, measured by the norm of what they give."""
MAKERS: tuple[Maker, ...] = (modules.mlp, modules.norm, modules.linear)
KINDS = {"full_attention", "sliding_attention"}
UNKNOWN = {"softcap", "position_bias", "head_mask"}
"""What some architectures hand to their attention that a plan's blocks do not take part in."""
FAULTS = (RuntimeError, TypeError, ValueError, AttributeError)
"""What code raises that was made for another architecture."""


class NotPackable(Exception):
    """This model cannot read rows side by side; the text says why."""


@dataclass(frozen=True)
class Call:
    """What a module was given, and what it gave: of several results the first."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]
    result: torch.Tensor


Calls = dict[torch.nn.Module, Call]


@torch.no_grad()
def observe(loss: TrainedTokenLoss, row: Batch) -> Calls:
    """Run the model as it is on a pack of one row; return what its attention, and what may be made faster, was given and gave."""
    calls: Calls = {}

    def look(module: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        first = result[0] if isinstance(result, tuple) else result
        if isinstance(first, torch.Tensor):
            calls[module] = Call(arguments, named, first)

    watched = [module for module in loss.body.modules() if _is_attention(module) or modules.may_be_faster(module)]
    hooks = [module.register_forward_hook(look, with_kwargs=True) for module in watched]
    try:
        loss.states(row.unplanned())
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@torch.no_grad()
def let_read_packs(loss: TrainedTokenLoss, row: Batch, calls: Calls) -> None:
    """Let the model's attention read packs, tried on the row it was observed on; NotPackable where it cannot."""
    AttentionInterface.register(PACKED, _attend_by_plan)
    attention = {module: call for module, call in calls.items() if _is_attention(module)}
    kinds = set(getattr(loss.config, "layer_types", None) or KINDS)
    if not kinds <= KINDS or len(attention) != loss.config.num_hidden_layers:
        raise NotPackable("not all of its layers are attention that sees single tokens")
    for module, call in attention.items():
        _replace(module, _by_plan(module))
        found = module.forward(*call.arguments, **call.named, plan=row.plan)[0]
        options: Options | None = getattr(module, "packed_options", None)
        if options is None or not agree(found, call.result):
            raise NotPackable("its attention goes another way than others")
        if options.window is None and _must_have_window(loss.config, module):
            raise NotPackable("it does not say how far its sliding attention reaches")
        turns = call.named.get("position_embeddings")
        cos = turns[0] if isinstance(turns, tuple) else torch.empty(0)
        made = functools.partial(modules.attention, options=options, cos=cos)
        _try(module, made, Call(call.arguments, call.named | {"plan": row.plan}, call.result))


@torch.no_grad()
def make_faster(calls: Calls) -> None:
    """Make layers, norms and MLPs faster where that gives what they were observed to give themselves."""
    for module, call in calls.items():
        for make in MAKERS:
            if _try(module, make, call):
                break


def _try(module: torch.nn.Module, make: Maker, call: Call) -> bool:
    """Put a forward pass that is made for a module into its place if it gives the same, and say so."""
    try:
        forward = make(module)
        if forward is None:
            return False
        found = forward(*call.arguments, **call.named)
    except FAULTS as error:  # made for modules that look the same and are not
        if as_out_of_memory(error):
            raise
        return False
    if not agree(found[0] if isinstance(found, tuple) else found, call.result):
        return False
    _replace(module, forward)
    return True


def agree(one: torch.Tensor, other: torch.Tensor, share: float = 1.0) -> bool:
    """Say whether two ways have computed the same, as far as their number format can tell, or within a share of that."""
    return one.shape == other.shape and bool((one - other).float().norm() <= share * TOLERANCE[other.dtype] * other.float().norm())


def _replace(module: Any, forward: Forward) -> None:
    module.forward = forward


def _is_attention(module: torch.nn.Module) -> bool:
    return "Attention" in type(module).__name__ and hasattr(module, "layer_idx")


def _must_have_window(config: Any, module: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return bool(kinds[module.layer_idx] == "sliding_attention")
    return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)


def _by_plan(module: Any) -> Forward:
    """Return the module's own forward pass, with attention by plan in its middle where there is a plan."""
    own, usual = module.forward, module.config
    packed = copy.copy(usual)
    packed._attn_implementation_internal = PACKED  # noqa: SLF001 - its setter reaches into every part of the model

    @functools.wraps(own)
    def forward(*args: Any, plan: Any = None, **named: Any) -> Any:
        if plan is None:
            return own(*args, **named)
        module.config = packed
        try:
            return own(*args, **named, plan=plan)
        finally:
            module.config = usual

    return forward


def _attend_by_plan(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: torch.Tensor | None, *,
    plan: Any = None, scaling: float | None = None, sliding_window: int | None = None, s_aux: torch.Tensor | None = None, **more: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attend as transformers' attention functions do, by plan: 1, H, T, D in, 1, T, H, D out."""
    unknown = sorted(name for name in UNKNOWN & more.keys() if more[name] is not None)
    if plan is None or unknown or not getattr(module, "is_causal", True):
        raise NotPackable(f"its attention has {', '.join(unknown) or 'a form'} that packs are not computed with")
    module.packed_options = Options(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, s_aux)
    asked, held, said = (states[0].transpose(0, 1) for states in (query, key, value))
    return attend(asked, held, said, plan, module.packed_options)[None], None
