"""What a run learns from: its rows as masked tokens, and its held-out questions, made with the base's own tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.preflight import PreflightFailed
from workers.training.evaluate import HeldOut, rows_to_check
from workers.training.faults import REFUSED, Looked, find_faults
from workers.training.masks import Masker
from workers.training.prepare import prepare, row_names
from workers.training.samples import choose_prompts
from workers.training.templates import chat_template
from workers.training.token_cache import Made, cache_key
from workers.training.tokenizer import context_length, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain.preflight import Fault
    from app.domain.specs import TrainingSettings
    from workers.training.base_model import BaseModel
    from workers.training.prepare import Prepared
    from workers.training.report import Reporter
    from workers.training.rows import Rows
    from workers.training.samples import Asked
    from workers.training.templates import ChatTemplate
    from workers.training.token_cache import TokenCache


@dataclass(frozen=True)
class Material:
    """Rows ready to train on and to be checked on."""

    train: Prepared
    held_out: HeldOut
    asked: Asked
    """The prompts that are answered at each checkpoint."""
    max_length: int
    template: ChatTemplate


def make_material(
    base: BaseModel,
    rows: Rows,
    settings: TrainingSettings,
    *,
    reporter: Reporter,
    check: Callable[[], None],
    cache: TokenCache | None = None,
) -> Material:
    """Tokenise and mask all rows or take them from the cache, forget their texts, and tell what a person should know about them."""
    tokenizer = load_tokenizer(base.folder)
    template = chat_template(tokenizer, settings.chat_template)
    if template.source == "default":
        reporter.notice("This base has no chat template. Hone's plain default is used: each role's name on a line, then its text.")
    context, max_length = context_length(base.folder), settings.max_length
    if context is not None and context < max_length:
        reporter.notice(
            f"max_length is {max_length}, but this base reads {context} tokens at most; rows are cut there.", max_length=context
        )
        max_length = context
    masker = Masker(tokenizer, template)

    def still() -> None:
        check()
        reporter.doing("turning rows into tokens")

    made = _made(base.folder, rows, masker, max_length, check=still, cache=cache)
    train, held = made.train, made.held_out
    _require_sound(find_faults(Looked(rows.train, train, masker, max_length, context)), reporter)
    _tell(train, "training", reporter)
    _tell(held, "held-out", reporter)
    most = rows_to_check(settings, len(train.rows))
    held_out = HeldOut(list(zip(rows.held_out, held.rows, strict=True)), masker, context=context or max_length, most=most)
    asked = choose_prompts(rows, masker, settings.sample_prompts, context=context or max_length)
    rows.forget()
    if not len(held_out):
        reporter.notice("There are no held-out rows, so nothing checks this run but its training loss.")
    return Material(train, held_out, asked, max_length, template)


def _made(folder: Path, rows: Rows, masker: Masker, max_length: int, *, check: Callable[[], None], cache: TokenCache | None) -> Made:
    """Return the rows as tokens, from the cache if they are there."""
    key = cache_key(folder, rows, masker.template, max_length) if cache else ""
    made = cache.find(key) if cache else None
    if made is None:
        made = Made(*(prepare(side, masker, max_length, check=check) for side in (rows.train, rows.held_out)))
        # A row that was refused for its time alone may pass on another day.
        if cache and not (made.train.slow or made.held_out.slow):
            cache.keep(key, made)
    return made


def _require_sound(faults: list[Fault], reporter: Reporter) -> None:
    """Stop before the first step as the launch would have, had it known; tell of what does no such harm."""
    blocking = [fault for fault in faults if fault.blocking]
    if blocking:
        # What is to be done about the rows is offered where they are shown.
        told = [fault.model_copy(update={"fixes": [fix for fix in fault.fixes if fix.settings]}) for fault in blocking]
        raise PreflightFailed(told, code=blocking[0].code)
    for fault in faults:
        if fault.code not in REFUSED or fault.code == "other_template":
            reporter.notice(fault.sentence, rows=fault.rows)


def _tell(prepared: Prepared, kind: str, reporter: Reporter) -> None:
    for reason, refusal in prepared.refusals.items():
        words = f"{len(refusal.rows)} {kind} rows cannot be used: {reason}. Numbered from 1 they are {row_names(refusal.rows)}."
        reporter.notice(words, rows=len(refusal.rows))
    if prepared.truncated:
        reporter.notice(f"{prepared.truncated} {kind} rows are longer than max_length and were cut at the end.", rows=prepared.truncated)
    if prepared.borders_differ:
        reporter.notice(
            f"In {prepared.borders_differ} {kind} rows an answer follows other tokens than it will in a chat: "
            "this base's tokenizer joins the end of a prompt with what comes after it.",
            rows=prepared.borders_differ,
        )
