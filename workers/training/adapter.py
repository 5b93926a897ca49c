"""Writing an adapter in PEFT's layout, so that plain peft loads it, with a card that says where it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file

from app.domain.cards import CHAT_TEMPLATE, render_card
from app.domain.results import ADAPTER_FILES, CARD
from workers.training.durable import write_durably
from workers.training.tensors import write_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel

    from app.domain.cards import Lineage
    from workers.training.templates import ChatTemplate

WEIGHTS, CONFIG = ADAPTER_FILES


def write_adapter(folder: Path, model: PeftModel, lineage: Lineage, template: ChatTemplate | None = None) -> None:
    """Write weights, configuration and card into `folder`, which exists; and the chat template, when it is not the base's own."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    write_tensors(folder / WEIGHTS, state, metadata={"format": "pt"})
    write_durably(folder / CONFIG, json.dumps(_config(model, lineage), indent=2, sort_keys=True) + "\n")
    write_durably(folder / CARD, render_card(lineage))
    if template is not None and template.is_plain:
        write_durably(folder / CHAT_TEMPLATE, template.for_others())


def read_weights(folder: Path, model: PeftModel) -> None:
    """Put the weights of an adapter folder into the model."""
    set_peft_model_state_dict(model, load_file(folder / WEIGHTS))


def _config(model: PeftModel, lineage: Lineage) -> dict[str, Any]:
    """Return peft's own configuration, naming the base by its public name: a path would mean nothing elsewhere."""
    config: dict[str, Any] = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": lineage.base_model, "revision": lineage.revision, "inference_mode": True}
    config.pop("runtime_config", None)
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
