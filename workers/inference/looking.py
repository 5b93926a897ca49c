"""The far side of a preflight, in the template child: the base's tokenizer, kept once it is read, and the look at the rows."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.errors import StudioError
from app.domain.preflight import Preflight, template_fault
from workers.inference.folders import Stamp, stamp
from workers.inference.limits import grant_seconds, limit_memory
from workers.inference.protocol import PreflightRequest
from workers.training.base_model import check_folder
from workers.training.masks import Masker
from workers.training.preflight import Wanted, look
from workers.training.rows import Row
from workers.training.templates import Limits, chat_template
from workers.training.tokenizer import context_length, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BUDGET_SECONDS = 1.3
"""For looking at rows: with reading and writing them, an answer comes within two."""
LOADING_BYTES, LOADING_SECONDS = 4 * 2**30, 60.0
"""What reading a tokenizer may take; it is no template, and large ones have a quarter of a million words."""
STRICT = Limits(seconds=1.0, characters=2**20)
"""Of a template while somebody waits: those that mean well take a thousandth of it, and the machine may be busy."""
CHARACTERS_PER_SECOND = 500_000
"""So slowly at least a row is tokenised, which no template has a part in."""
TOKENIZERS_KEPT = 3
NO_TEMPLATE = frozenset({"template_error", "no_end_of_turn"})


def look_at(request: dict[str, Any]) -> dict[str, Any]:
    """Return {preflight}, or {error: {message, param, code}} when the base cannot be had."""
    wanted = PreflightRequest.model_validate(request)
    try:
        return {"preflight": _look(wanted).model_dump(mode="json")}
    except StudioError as error:
        if error.code in NO_TEMPLATE:
            fault = template_fault(error.message, plain_helps=error.code != "no_end_of_turn")
            return {"preflight": Preflight.of_no_row(fault, total=wanted.total, max_length=wanted.max_length).model_dump(mode="json")}
        return {"error": {"message": error.message, "param": error.param, "code": error.code}}


def _look(wanted: PreflightRequest) -> Preflight:
    tokenizer, context = _base(wanted.base_dir, stamp(wanted.base_dir) if wanted.base_dir.is_dir() else ())
    masker = Masker(tokenizer, chat_template(tokenizer, wanted.chat_template, limits=STRICT))
    deadline = time.monotonic() + BUDGET_SECONDS

    def go_on(row: Row) -> bool:
        grant_seconds(sum(len(message.content) for message in row.messages) / CHARACTERS_PER_SECOND)
        return time.monotonic() < deadline

    rows = [row.row() for row in wanted.rows]
    asked = Wanted(wanted.max_length, wanted.batch_size, wanted.seed, wanted.total)
    found = look(rows, masker, asked, context=context, go_on=go_on)
    grant_seconds()
    return found


@lru_cache(maxsize=TOKENIZERS_KEPT)
def _base(folder: Path, _stamp: Stamp) -> tuple[PreTrainedTokenizerBase, int | None]:
    """Return a base's tokenizer and how many tokens it reads; one that is written anew is another base."""
    limit_memory(LOADING_BYTES)
    grant_seconds(LOADING_SECONDS)
    check_folder(folder)
    found = load_tokenizer(folder), context_length(folder)
    limit_memory()
    grant_seconds()
    return found
