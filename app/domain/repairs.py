"""What a fix makes of one row, so that a preview and the worker that carries it out cannot differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from app.domain.calls import passed_in, with_values
from app.domain.datasets import Message, Row
from app.domain.fixes import Fill, Fix, Mask, Repair
from app.domain.masking import MASKED_UNASKED, Span, mask, spellings
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
"""Shorter values mean something else inside a longer text of a tool call; alone they are the value."""
MOST_PASSES = 16
"""Taking a control token out can make another of what stood around it; nobody nests them deeper by accident."""


class Changed(NamedTuple):
    """The texts of a row as a fix leaves them, what each mask stands for, and the mask of each spelling that has one."""

    texts: list[str]
    meaning: Mapping[str, str] = {}
    masks: Mapping[str, str] = {}


def control_tokens(text: str) -> list[tuple[int, int]]:
    """Return where control tokens stand, in order."""
    return [match.span() for match in CONTROL_TOKEN.finditer(text)]


def without_control_tokens(text: str) -> str:
    """Return the text without control tokens, and without the role that a turn's opening token names."""
    plain = text
    for _ in range(MOST_PASSES):
        before, plain = plain, CONTROL_TOKEN.sub("", ROLE_OF_A_TURN.sub("", plain))
        if plain == before:
            break
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
    texts, meaning, masks = change(fix, row, finding) if change else Changed(row.texts)
    if texts == row.texts and not masks:
        return row, {}
    if any(old.strip() and not new.strip() for old, new in zip(row.texts, texts, strict=True)):
        return None, {}
    spoken = len(row.messages)
    messages = _with_texts(row.messages, texts[:spoken], masks)
    rejected = None if row.rejected is None else _with_texts(row.rejected, texts[spoken:], masks)
    after = row.model_copy(update={"messages": messages, "rejected": rejected})
    return (row, {}) if after == row else (after, dict(meaning))


def masked_kinds(fix: Mask) -> frozenset[str]:
    """Return the kinds of marks that the fix masks."""
    if fix.problem is Trouble.SECRET:
        return frozenset({SECRET_MARK})
    return (frozenset(fix.kinds) if fix.kinds is not None else MASKED_UNASKED) - {SECRET_MARK}


def _mask(fix: Any, row: Row, finding: Finding) -> Changed:
    wanted = masked_kinds(fix)
    texts = [*row.texts, *(value.text for value in passed_in(row))]
    spans: list[list[Span]] = [[] for _ in texts]
    for turn, start, end, kind in finding.marks:
        if kind in wanted:
            spans[turn].append(Span(start, end, kind))
    masked, meaning = mask(texts, spans)
    return Changed(masked[: len(row.texts)], meaning, spellings(texts, spans))


def _repair(fix: Any, row: Row, _finding: Finding) -> Changed:
    repair = unscrambled if fix.problem is Trouble.MOJIBAKE else without_control_tokens
    return Changed([repair(text) for text in row.texts])


def _fill(fix: Any, row: Row, finding: Finding) -> Changed:
    texts = row.texts
    filled = list(texts)
    # From behind, so that places before a text that has been put in still hold.
    for turn, start, end, kind in reversed(finding.marks):
        value = fix.values.get(texts[turn][start:end]) if kind == PLACEHOLDER_MARK else None
        if value:  # a placeholder without a text stays
            filled[turn] = filled[turn][:start] + value + filled[turn][end:]
    return Changed(filled)


CHANGES: dict[type, Callable[[Any, Row, Finding], Changed]] = {Mask: _mask, Repair: _repair, Fill: _fill}
"""How fixes change texts; the others only leave rows out or take rows in."""


def _with_texts(messages: Sequence[Message], texts: Sequence[str], masks: Mapping[str, str]) -> list[Message]:
    return [
        message.model_copy(update={"content": text, "tool_calls": _masked_calls(message.tool_calls, masks)})
        for message, text in zip(messages, texts, strict=True)
    ]


def _masked_calls(calls: list[dict[str, Any]] | None, masks: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Return tool calls whose arguments say the masks for what was masked in the row."""
    if not calls or not masks:
        return calls
    longest_first = sorted((each for each in masks if len(each) >= SHORTEST_IN_ARGUMENTS), key=len, reverse=True)
    inside = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)" if longest_first else r"(?!)")
    return with_values(calls, lambda text: masks.get(text) or inside.sub(lambda found: masks[found[0]], text))
