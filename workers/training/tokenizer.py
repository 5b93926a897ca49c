"""A base's tokenizer, and how much of a text the base reads: what is known of a base without loading it, and without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len", "max_sequence_length")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the base's tokenizer, or refuse a folder without a fast one."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise Invalid(f"The base's tokenizer cannot be loaded: {first_line(error)}", param="base_model", code="unknown_model") from error
    if not tokenizer.is_fast:
        message = "The base has no fast tokenizer (tokenizer.json), which Hone needs to see which tokens are an answer's."
        raise Invalid(message, param="base_model", code="unknown_model")
    return tokenizer


def context_length(folder: Path) -> int | None:
    """Return how many tokens the base can read, if its configuration says so, under whichever name its architecture has for it."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    except (OSError, ValueError, ImportError) as error:
        raise Invalid(f"The base cannot be loaded: {first_line(error)}", param="base_model", code="unknown_model") from error
    known = [getattr(config, name, None) for name in CONTEXT_NAMES]
    return min((length for length in known if isinstance(length, int) and length > 0), default=None)


def first_line(error: Exception) -> str:
    """Return what an error of a library says first."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
