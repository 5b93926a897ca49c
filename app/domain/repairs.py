"""What a fix makes of one row, so that a preview and the worker that carries it out cannot differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain.datasets import Message, Row
from app.domain.fixes import Fill, Fix, Mask, Repair
from app.domain.masking import MASKED_UNASKED, Span, mask
from app.domain.problems import PLACEHOLDER_MARK, SECRET_MARK, Finding, Trouble

CONTROL_TOKEN = re.compile(
    r"<\|[A-Za-z][\w\- ]{1,40}\|>|<｜[^｜\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]|\A\s*<s>|<s>(?=\s*\[INST\])|</s>(?=\s*(?:\Z|<s>))"
)
"""Marks of known chat templates; <s> is also what HTML strikes text out with, so only where a template would put it."""
ROLE_OF_A_TURN = re.compile(
    r"(?:<\|im_start\|>|<start_of_turn>)\s*(?:system|user|assistant|model|tool)\b\s*|<\|start_header_id\|>\s*\w+\s*<\|end_header_id\|>\s*"
)
SUSPECT_CONTROL = r"<\||<｜|INST\]|SYS>>|_of_turn>|<(?:bos|eos|pad|unk)>|\[/?[A-Z]+_[A-Z]+\]|</?s>"
"""What every text with a control token has, for searching many at once."""
LOST_CHARACTER = "\N{REPLACEMENT CHARACTER}"
LONGEST_UNSCRAMBLED = 100_000
"""Characters: text that is garbled through and through takes seconds beyond that."""
LONE_ACCENT = re.compile(r"(?:\A|[\W\d_])[\u0300-\u036f]")
"""An accent on nothing: whoever reads one has not found what was meant."""
SHORTEST_IN_ARGUMENTS = 3
"""Shorter values would be found inside other words of a tool call."""


def control_tokens(text: str) -> list[tuple[int, int]]:
    """Return where control tokens stand, in order."""
    return [match.span() for match in CONTROL_TOKEN.finditer(text)]


def without_control_tokens(text: str) -> str:
    """Return the text without control tokens, and without the role that a turn's opening token names."""
    plain = CONTROL_TOKEN.sub("", ROLE_OF_A_TURN.sub("", text))
    return text if plain == text else plain.strip()


def unscrambled(text: str) -> str:
    """Return text that was decoded wrongly as it was meant; text that makes no more sense then stays as it is."""
    if text.isascii() or len(text) > LONGEST_UNSCRAMBLED:
        return text
    # Made when first wanted: its tables take a tenth of a second to build, and few pages need them.
    from ftfy import fix_encoding
    from ftfy.badness import badness

    meant = fix_encoding(text)
    makes_sense = meant != text and badness(meant) < badness(text) and not LONE_ACCENT.search(meant)
    return meant if makes_sense else text


def is_garbled(text: str) -> bool:
    """Tell whether characters are lost, or stand for others."""
    return LOST_CHARACTER in text or unscrambled(text) != text


def changed(fix: Fix, row: Row, finding: Finding) -> Row | None:
    """Return the row as the fix leaves it; None when it would leave nothing to learn from."""
    return changed_with_map(fix, row, finding)[0]


def changed_with_map(fix: Fix, row: Row, finding: Finding) -> tuple[Row | None, dict[str, str]]:
    """Return the same, and what each mask that was written stands for."""
    change = CHANGES.get(type(fix))
    texts, meaning = change(fix, row.texts, finding) if change else (row.texts, {})
    if texts == row.texts:
        return row, {}
    if any(old.strip() and not new.strip() for old, new in zip(row.texts, texts, strict=True)):
        return None, {}
    spoken = len(row.messages)
    messages = _with_texts(row.messages, texts[:spoken], meaning)
    rejected = None if row.rejected is None else _with_texts(row.rejected, texts[spoken:], meaning)
    return row.model_copy(update={"messages": messages, "rejected": rejected}), meaning


def masked_kinds(fix: Mask) -> frozenset[str]:
    """Return the kinds of marks that the fix masks."""
    if fix.problem is Trouble.SECRET:
        return frozenset({SECRET_MARK})
    return (frozenset(fix.kinds) if fix.kinds is not None else MASKED_UNASKED) - {SECRET_MARK}


def _mask(fix: Any, texts: Sequence[str], finding: Finding) -> tuple[list[str], dict[str, str]]:
    wanted = masked_kinds(fix)
    spans: list[list[Span]] = [[] for _ in texts]
    for turn, start, end, kind in finding.marks:
        if kind in wanted:
            spans[turn].append(Span(start, end, kind))
    return mask(texts, spans)


def _repair(fix: Any, texts: Sequence[str], _finding: Finding) -> tuple[list[str], dict[str, str]]:
    repair = unscrambled if fix.problem is Trouble.MOJIBAKE else without_control_tokens
    return [repair(text) for text in texts], {}


def _fill(fix: Any, texts: Sequence[str], finding: Finding) -> tuple[list[str], dict[str, str]]:
    filled = list(texts)
    # From behind, so that places before a text that has been put in still hold.
    for turn, start, end, kind in reversed(finding.marks):
        value = fix.values.get(texts[turn][start:end]) if kind == PLACEHOLDER_MARK else None
        if value:  # a placeholder without a text stays
            filled[turn] = filled[turn][:start] + value + filled[turn][end:]
    return filled, {}


CHANGES: dict[type, Callable[[Any, Sequence[str], Finding], tuple[list[str], dict[str, str]]]] = {Mask: _mask, Repair: _repair, Fill: _fill}
"""How fixes change texts; the others only leave rows out or take rows in."""


def _with_texts(messages: Sequence[Message], texts: Sequence[str], meaning: Mapping[str, str]) -> list[Message]:
    return [
        message.model_copy(update={"content": text, "tool_calls": _masked_calls(message.tool_calls, meaning)})
        for message, text in zip(messages, texts, strict=True)
    ]


def _masked_calls(calls: list[dict[str, Any]] | None, meaning: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Return tool calls whose arguments say the masks for what was masked in the row's texts."""
    if not calls or not meaning:
        return calls
    called = [(call, call.get("function", {})) for call in calls]
    return [
        call | {"function": function | {"arguments": _masked_json(function["arguments"], meaning)}} if "arguments" in function else call
        for call, function in called
    ]


def _masked_json(written: str, meaning: Mapping[str, str]) -> str:
    """Return JSON with each value's mask in place of it, the longest values first."""
    for mark, original in sorted(meaning.items(), key=lambda each: -len(each[1])):
        escaped = json.dumps(original, ensure_ascii=False)[1:-1]
        if len(original) >= SHORTEST_IN_ARGUMENTS:
            written = re.sub(rf"(?<!\w){re.escape(escaped)}(?!\w)", mark, written)
    return written
