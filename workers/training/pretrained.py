"""Loading a checked model's folder with transformers: safetensors alone, none of its code, no weight made up, and refusals in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from app.domain.base_models import unknown_model
from workers.training.memory import as_out_of_memory
from workers.training.tokenizer import first_line

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

LOAD_FAILURES = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError, SafetensorError)
"""What transformers and peft raise on folders that hold something else than they should; there is no common class."""
MOST_NAMED = 3


def load_pretrained(folder: Path, **options: Any) -> PreTrainedModel:
    """Return the language model in a folder; Invalid (unknown_model) where its files do not make one, running out of memory as it came."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
    except LOAD_FAILURES as error:
        if as_out_of_memory(error):
            raise
        raise unknown_model(f"The base model cannot be loaded: {first_line(error)}") from error
    model, told = loaded
    missing = sorted(told["missing_keys"])
    if missing:  # transformers would draw them at random, and differently each time
        named = ", ".join(missing[:MOST_NAMED]) + (" and more" if len(missing) > MOST_NAMED else "")
        raise unknown_model(f"The base's files lack {len(missing)} of its weights ({named}), so they make no whole language model.")
    whole: PreTrainedModel = model
    return whole
