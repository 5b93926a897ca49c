"""The shapes people's rows come in, each turned into the turns of one conversation, or set aside with a reason in plain words."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Lookup
from typing import Any

from app.domain.datasets import DatasetFormat, Role, Turn
from workers.curation.json_text import JsonReader, NotJson

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
TOOL_ROLES = frozenset({"tool", "function", "function_call", "function_response", "tool_call", "tool_response", "observation", "ipython"})
NO_TOOLS = "it holds a tool call; rows with tool calls cannot be used yet"
NO_TEXT = "the content of turn {} is no text"
NO_HISTORY = "'history' is no list of question and answer pairs"
NO_PAIRS = "it compares a chosen with a rejected answer; such preference rows cannot be used yet"


class SetAside(Exception):
    """This row cannot be used; the message says why."""


class UnknownShape(Exception):
    """This row fits no known shape: somebody has to say which column is what."""


Row = Lookup[str, Any]
Converter = Callable[[Row], list[Turn]]


def shape_of(row: Row) -> tuple[DatasetFormat, Converter] | None:
    """Return the shape that a row's keys show, and what turns such a row into a conversation."""
    return next(((shape, convert) for fits, shape, convert in SHAPES if fits(row)), None)


def to_turns(row: Row) -> tuple[DatasetFormat, list[Turn]]:
    """Return a row's shape and its conversation; SetAside or UnknownShape where there is none."""
    known = shape_of(row)
    if known is None:
        if _is_preference(row):
            raise SetAside(NO_PAIRS)
        raise UnknownShape
    return known[0], finish(known[1](row))


def fits_as_table(columns: list[str]) -> bool:
    """Whether a table with these columns needs no mapping."""
    return shape_of(dict.fromkeys((column.casefold() for column in columns), "")) is not None


def finish(turns: list[Turn]) -> list[Turn]:
    """Return a conversation one can learn from: one system turn at most, at its head, and an answer at its end."""
    systems, spoken = [], []
    for turn in turns:
        if turn.role != "system":
            spoken.append(turn)
        elif spoken:
            raise SetAside("a system turn stands in the middle of the conversation")
        elif turn.content.strip():
            systems.append(turn)
    if not spoken:
        raise SetAside("it has no turns of a user and an assistant")
    _check_spoken(spoken)
    if len(systems) > 1:
        systems = [Turn("system", "\n\n".join(turn.content for turn in systems))]
    return systems + spoken


def _check_spoken(spoken: list[Turn]) -> None:
    if spoken[-1].role != "assistant":
        raise SetAside("the last turn is the user's; it must be the assistant's answer")
    asked = False
    for turn in spoken:
        asked = asked or turn.role == "user"
        if not turn.content or turn.content.isspace():
            raise SetAside("the assistant's answer is empty" if turn.role == "assistant" else "the user's turn is empty")
    if not asked:
        raise SetAside("there is no user's turn to answer")


def with_system(turns: list[Turn], system: str | None) -> list[Turn]:
    """Put `system` before a conversation that has no system turn of its own."""
    return [Turn("system", system), *turns] if system and turns[0].role != "system" else turns


def has_unused_answers(row: Row) -> bool:
    """Whether the row asks not to learn from one of its answers (weight 0), which is not followed yet."""
    turns = row.get("messages")
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and ("weight" in turn or "loss_weight" in turn):
            weight = turn.get("weight", turn.get("loss_weight"))
            if weight == 0 and turn.get("role") == "assistant":
                return True
    return False


def _from_messages(row: Row) -> list[Turn]:
    if row.get("label") is False:
        raise SetAside("its answer is marked as a bad one (label: false)")
    return message_list(row["messages"], "messages")


def _from_sharegpt(row: Row) -> list[Turn]:
    turns = message_list(row[_conversation_key(row)], "conversations")
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        turns = with_system(turns, system) if turns else turns
    if turns and turns[-1].role == "user" and _is_preference(row):
        raise SetAside(NO_PAIRS)
    return turns


def _from_alpaca(row: Row) -> list[Turn]:
    instruction, extra = _text(row["instruction"], "instruction"), _text(row.get("input") or row.get("context"), "input")
    question = "\n\n".join(part for part in (instruction, extra) if part.strip())
    turns = [Turn("system", _text(row.get("system"), "system"))]
    for pair in _history(row.get("history")):
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise SetAside(NO_HISTORY)
        turns += [Turn("user", _text(pair[0], "history")), Turn("assistant", _text(pair[1], "history"))]
    answer = _text(row["output"] if "output" in row else row["response"], "output")
    return [*turns, Turn("user", question), Turn("assistant", answer)]


def _history(given: Any) -> list[Any]:
    """Return earlier turns; a table holds them as text, and writes none as `[]`."""
    if isinstance(given, str):
        try:
            given, flaw = JsonReader().read_line(given.encode()) if given.strip() else (None, None)
        except NotJson:
            raise SetAside(NO_HISTORY) from None
        if flaw:
            raise SetAside(f"'history' cannot be used: {flaw}")
    if given and not isinstance(given, list):
        raise SetAside(NO_HISTORY)
    return given or []


def _from_prompt(row: Row) -> list[Turn]:
    system = [Turn("system", _text(row.get("system"), "system"))]
    answer_key = "completion" if "completion" in row else "response"
    question, answer = _side(row["prompt"], "prompt", "user"), _side(row[answer_key], answer_key, "assistant")
    return [*system, *question, *answer]


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


def message_list(given: Any, name: str) -> list[Turn]:
    """Return the turns of a list of messages, in OpenAI's (role, content) or ShareGPT's words (from, value)."""
    if not isinstance(given, list):
        raise SetAside(f"{name!r} is no list")
    if not given:
        raise SetAside(f"{name!r} is empty")
    return [_turn(message, place) for place, message in enumerate(given, 1)]


def _turn(message: Any, place: int) -> Turn:
    if not isinstance(message, dict):
        raise SetAside(f"turn {place} is no object with a role and a content")
    role = message.get("role", message.get("from"))
    if (isinstance(role, str) and role in TOOL_ROLES) or message.get("tool_calls") or message.get("function_call"):
        raise SetAside(NO_TOOLS)
    known = ROLES.get(role) or ROLES.get(role.casefold()) if isinstance(role, str) else None
    if known is None:
        raise SetAside(f"turn {place} has no role" if role is None else f"turn {place} has the unknown role {str(role)[:40]!r}")
    return Turn(known, _content(message.get("content", message.get("value")), place))


def _content(content: Any, place: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise SetAside(f"turn {place} has no content" if content is None else NO_TEXT.format(place))
    return "\n".join(_part(part, place) for part in content)


def _part(part: Any, place: int) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text", part.get("value")) if isinstance(part, dict) and part.get("type", "text") == "text" else None
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, dict) else None
        raise SetAside(f"turn {place} holds {str(kind)[:40]!r}; only text can be used" if kind else NO_TEXT.format(place))
    return text


def _is_preference(row: Row) -> bool:
    return ("chosen" in row and "rejected" in row) or ("preferred_output" in row and "non_preferred_output" in row)


def _conversation_key(row: Row) -> str:
    return next(key for key in ("conversations", "conversation", "messages") if key in row)


def _is_chat(row: Row) -> bool:
    return "messages" in row and not isinstance(row["messages"], str)


def _is_sharegpt(row: Row) -> bool:
    turns = row.get("conversations", row.get("conversation"))
    if turns is None and isinstance(row.get("messages"), list):
        turns = [turn for turn in row["messages"][:1] if isinstance(turn, dict) and "from" in turn and "role" not in turn]
        return bool(turns)
    return isinstance(turns, list)


def _is_alpaca(row: Row) -> bool:
    return "instruction" in row and ("output" in row or "response" in row)


def _is_prompt(row: Row) -> bool:
    return "prompt" in row and ("completion" in row or "response" in row)


# The first that fits wins. A row's keys decide, so that a broken value is reported as what it is.
SHAPES: tuple[tuple[Callable[[Row], bool], DatasetFormat, Converter], ...] = (
    (_is_sharegpt, DatasetFormat.SHAREGPT, _from_sharegpt),
    (_is_chat, DatasetFormat.CHAT, _from_messages),
    (_is_alpaca, DatasetFormat.ALPACA, _from_alpaca),
    (_is_prompt, DatasetFormat.PROMPT_COMPLETION, _from_prompt),
)
