"""The shapes people's rows come in, each turned into an example, or set aside with a reason in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Lookup
from typing import Any

from app.domain.datasets import DatasetFormat, Example, Role, Turn
from app.domain.examples import SetAside, finish, judged, with_system
from app.domain.exported import is_exported, row_of
from workers.curation.messages import message_list, parsed, tools_as_json

NO_CONVERSATION = "column 'conversation' holds no JSON"
NO_HISTORY = "'history' is no list of question and answer pairs"
TWO_CONVERSATIONS = "the chosen and the rejected conversation differ before their last answers"
BESIDE_A_TEXT = frozenset(
    {
        "id",
        "_id",
        "uuid",
        "meta",
        "metadata",
        "url",
        "source",
        "timestamp",
        "date",
        "title",
        "lang",
        "language",
        "split",
        "subset",
        "license",
    }
)
"""What may stand beside a text to learn whole without being a question or an answer."""
QUESTION_KEYS = ("prompt", "question", "query")
ANSWER_KEYS = ("completion", "response")
CHOSEN, REJECTED = "chosen", "rejected"
SPOKEN_MARKS = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


class UnknownShape(Exception):
    """This row fits no known shape: somebody has to say which column is what."""


Row = Lookup[str, Any]
Converter = Callable[[Row], Example]


def shape_of(row: Row) -> tuple[DatasetFormat, Converter] | None:
    """Return the shape that a row's keys show, and what turns such a row into an example."""
    return next(((shape, convert) for fits, shape, convert in SHAPES if fits(row)), None)


def to_example(row: Row) -> tuple[DatasetFormat, Example]:
    """Return a row's shape and its example; SetAside or UnknownShape where there is none."""
    if is_exported(row):
        row = row_of(row, lambda text: parsed(text, NO_CONVERSATION))
    known = shape_of(row)
    if known is None:
        raise UnknownShape
    example = known[1](row)
    if example.tools is None and ("tools" in row or "functions" in row):
        example = example._replace(tools=tools_as_json(row))
    return known[0], finish(example)


def _from_messages(row: Row) -> Example:
    return Example(_under_system(row, message_list(row["messages"], "messages")))


def _from_judged(row: Row) -> Example:
    said = next(convert(row) for fits, convert in JUDGED if fits(row))
    return said._replace(label=judged(row["label"] if "label" in row else row["kto_tag"]))


def _from_sharegpt(row: Row) -> Example:
    return Example(_sharegpt_turns(row))


def _sharegpt_turns(row: Row) -> list[Turn]:
    key = _conversation_key(row)
    given = row[key]
    if isinstance(given, list) and len(given) > 1 and all(isinstance(said, str) for said in given):
        given = [{"role": "assistant" if place % 2 else "user", "content": said} for place, said in enumerate(given)]
    return _under_system(row, message_list(given, key))


def _under_system(row: Row, turns: list[Turn]) -> list[Turn]:
    system = row.get("system")
    return list(with_system(turns, system)) if isinstance(system, str) and system.strip() else turns


def _from_alpaca(row: Row) -> Example:
    question = _alpaca_question(row)
    if CHOSEN in row and REJECTED in row:
        return _compared(question, row)
    return Example([*question, Turn("assistant", _text(row["output"] if "output" in row else row["response"], "output"))])


def _alpaca_question(row: Row) -> list[Turn]:
    instruction, extra = _text(row["instruction"], "instruction"), _text(row.get("input") or row.get("context"), "input")
    turns = [Turn("system", _text(row.get("system"), "system"))]
    for pair in _history(row.get("history")):
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise SetAside(NO_HISTORY)
        turns += [Turn("user", _text(pair[0], "history")), Turn("assistant", _text(pair[1], "history"))]
    return [*turns, Turn("user", "\n\n".join(part for part in (instruction, extra) if part.strip()))]


def _history(given: Any) -> list[Any]:
    """Return earlier turns; a table holds them as text, and writes none as `[]`."""
    if isinstance(given, str):
        given = parsed(given, NO_HISTORY) if given.strip() else None
    if given and not isinstance(given, list):
        raise SetAside(NO_HISTORY)
    return given or []


def _from_prompt(row: Row) -> Example:
    answer_key = next(key for key in ANSWER_KEYS if key in row)
    question, answer = _side(row["prompt"], "prompt", "user"), _side(row[answer_key], answer_key, "assistant")
    return Example([Turn("system", _text(row.get("system"), "system")), *question, *answer])


def _from_text(row: Row) -> Example:
    return Example([Turn("text", _text(row["text"], "text"))])


def _from_openai_pair(row: Row) -> Example:
    given = row["input"]
    question = message_list(given.get("messages"), "input.messages") if isinstance(given, dict) else _side(given, "input", "user")
    better = message_list(row["preferred_output"], "preferred_output")
    worse = message_list(row["non_preferred_output"], "non_preferred_output")
    return Example([*question, *better], worse, tools=tools_as_json(given) if isinstance(given, dict) else None)


def _from_pair(row: Row) -> Example:
    """A question with a chosen and a rejected answer; the question may stand inside both instead."""
    if "instruction" in row:
        return _compared(_alpaca_question(row), row)
    system = [Turn("system", _text(row.get("system"), "system"))]
    key = next((key for key in QUESTION_KEYS if key in row), None)
    if key is not None:
        return _compared([*system, *_side(row[key], key, "user")], row)
    if "conversations" in row or "conversation" in row or "messages" in row:
        return _compared(_sharegpt_turns(row), row)
    return _compared(system, row)


def _compared(question: list[Turn], row: Row) -> Example:
    better, worse = _answer(row[CHOSEN], CHOSEN), _answer(row[REJECTED], REJECTED)
    if better and better[0].role in {"user", "system"}:
        shared = next(
            (at for at, (one, other) in enumerate(zip(better, worse, strict=False)) if one != other), min(len(better), len(worse))
        )
        shared = max((at for at in range(shared + 1) if at and better[at - 1].role != "assistant"), default=0)
        question, better, worse = [*_systems(question, better), *better[:shared]], better[shared:], worse[shared:]
        if any(turn.role in {"user", "system"} for turn in [*better, *worse]):
            raise SetAside(TWO_CONVERSATIONS)
    return Example([*question, *better], worse)


def _systems(question: list[Turn], conversation: list[Turn]) -> list[Turn]:
    return [turn for turn in question if turn.role == "system"] if conversation[0].role != "system" else []


def _answer(value: Any, name: str) -> list[Turn]:
    """Return an answer's turns: a text, a message, a list of messages, or a whole conversation written with Human: and Assistant:."""
    if isinstance(value, dict):
        return message_list([value], name)
    if not isinstance(value, str) or not _is_transcript(value):
        return _side(value, name, "assistant")
    _, *parts = SPOKEN_MARKS.split(value)
    return [Turn("user" if who == "Human" else "assistant", said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _is_transcript(value: str) -> bool:
    return value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def _side(value: Any, name: str, role: Role) -> list[Turn]:
    if isinstance(value, list):
        return message_list(value, name)
    return [Turn(role, _text(value, name))]


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SetAside(f"{name!r} is no text")
    return value


def _conversation_key(row: Row) -> str:
    return next(key for key in ("conversations", "conversation", "messages") if key in row)


def _is_openai_pair(row: Row) -> bool:
    return "input" in row and "preferred_output" in row and "non_preferred_output" in row


def _is_pair(row: Row) -> bool:
    if CHOSEN not in row or REJECTED not in row:
        return False
    asked = ("instruction", "conversations", "conversation", "messages", *QUESTION_KEYS)
    return (
        any(key in row for key in asked) or isinstance(row[CHOSEN], list) or (isinstance(row[CHOSEN], str) and _is_transcript(row[CHOSEN]))
    )


def _is_judged(row: Row) -> bool:
    """Whether an answer is judged; other labels than good and bad are something else."""
    label = row.get("label", row.get("kto_tag"))
    if label is None or judged(label) is None:
        return False
    return _is_chat(row) or _is_prompt(row) or (isinstance(label, bool) and (_is_sharegpt(row) or _is_alpaca(row)))


def _is_chat(row: Row) -> bool:
    messages = row.get("messages", "")
    return "messages" in row and (not isinstance(messages, str) or messages.lstrip().startswith("["))


def _is_sharegpt(row: Row) -> bool:
    turns = row.get("conversations", row.get("conversation"))
    if turns is None and isinstance(row.get("messages"), list):
        turns = [turn for turn in row["messages"][:1] if isinstance(turn, dict) and "from" in turn and "role" not in turn]
        return bool(turns)
    return isinstance(turns, list) or (isinstance(turns, str) and turns.lstrip().startswith("["))


def _is_alpaca(row: Row) -> bool:
    return "instruction" in row and ("output" in row or "response" in row)


def _is_prompt(row: Row) -> bool:
    return "prompt" in row and any(key in row for key in ANSWER_KEYS)


def _is_text(row: Row) -> bool:
    return "text" in row and row.keys() - {"text"} <= BESIDE_A_TEXT


JUDGED: tuple[tuple[Callable[[Row], bool], Converter], ...] = (
    (_is_sharegpt, _from_sharegpt),
    (_is_chat, _from_messages),
    (_is_alpaca, _from_alpaca),
    (_is_prompt, _from_prompt),
)
# The first that fits wins. A row's keys decide, so that a broken value is reported as what it is.
SHAPES: tuple[tuple[Callable[[Row], bool], DatasetFormat, Converter], ...] = (
    (_is_openai_pair, DatasetFormat.PREFERENCE, _from_openai_pair),
    (_is_pair, DatasetFormat.PREFERENCE, _from_pair),
    (_is_judged, DatasetFormat.KTO, _from_judged),
    (_is_sharegpt, DatasetFormat.SHAREGPT, _from_sharegpt),
    (_is_chat, DatasetFormat.CHAT, _from_messages),
    (_is_alpaca, DatasetFormat.ALPACA, _from_alpaca),
    (_is_prompt, DatasetFormat.PROMPT_COMPLETION, _from_prompt),
    (_is_text, DatasetFormat.TEXT, _from_text),
)
