"""Lists of messages, in OpenAI's words, Hugging Face's or ShareGPT's, as turns: who speaks, what they say, which tools they call."""

from __future__ import annotations

from typing import Any

from app.domain.datasets import CANONICAL, ROLES, Turn
from app.domain.examples import SetAside
from workers.curation.json_text import JsonReader, NotJson

CALLING_ROLES = frozenset({"function_call", "tool_call"})
"""Whose content is not said, but a call of a tool as JSON."""
NO_TEXT = "the content of turn {} is no text"
NO_CALLS = "turn {} calls a tool, but not as JSON with a name and arguments"
NO_TOOLS = "'tools' is no list of tools as JSON"


def message_list(given: Any, name: str) -> list[Turn]:
    """Return the turns of a list of messages, which may stand as JSON in a text."""
    if isinstance(given, str):
        given = parsed(given, f"{name!r} is no list")
    if not isinstance(given, list):
        raise SetAside(f"{name!r} is no list")
    if not given:
        raise SetAside(f"{name!r} is empty", "no_answer")
    calls = _Calls()
    return [_turn(message, place, calls) for place, message in enumerate(given, 1)]


def tools_as_json(row: Any) -> str | None:
    """Return a row's `tools`, or its old `functions`, as JSON in OpenAI's shape; None without any."""
    given = row.get("tools") or row.get("functions")
    if isinstance(given, str):
        given = parsed(given, NO_TOOLS) if given.strip() else None
    if not given:
        return None
    tools = given if isinstance(given, list) else [given]
    if not all(isinstance(tool, dict) and tool for tool in tools):
        raise SetAside(NO_TOOLS)
    return CANONICAL.encode([tool if "function" in tool else {"type": "function", "function": tool} for tool in tools])


def parsed(text: str, otherwise: str) -> Any:
    """Return the JSON that a text holds; SetAside saying `otherwise` where it holds none."""
    try:
        value, flaw, _ = JsonReader().read_line(text.encode())
    except (NotJson, UnicodeEncodeError):
        raise SetAside(otherwise) from None
    if flaw:
        raise SetAside(f"{otherwise}: {flaw}")
    return value


class _Calls:
    """Numbers the calls of a conversation that have no id, and tells their answers which call they belong to."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[str] = []

    def in_openai_shape(self, given: Any, place: int) -> str:
        if isinstance(given, str):
            given = parsed(given, NO_CALLS.format(place))
        calls = given if isinstance(given, list) else [given]
        self._open.clear()
        return CANONICAL.encode([self._call(call, place) for call in calls])

    def answered(self) -> str | None:
        return self._open.pop(0) if self._open else None

    def _call(self, call: Any, place: int) -> dict[str, Any]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise SetAside(NO_CALLS.format(place))
        arguments = function.get("arguments", function.get("parameters"))
        if arguments in (None, ""):
            arguments = {}
        if isinstance(arguments, str):
            parsed(arguments, f"turn {place} calls {function['name'][:60]!r} with arguments that are no JSON")
        else:
            arguments = CANONICAL.encode(arguments)
        self._count += 1
        # Nine letters and digits, since Mistral's templates take no other ids.
        known = call.get("id")
        known = known if isinstance(known, str) and known else f"call{self._count:05d}"
        self._open.append(known)
        return {"id": known, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _turn(message: Any, place: int, calls: _Calls) -> Turn:
    if not isinstance(message, dict):
        raise SetAside(f"turn {place} is no object with a role and a content")
    role = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    if isinstance(role, str) and role.casefold() in CALLING_ROLES:
        return Turn("assistant", "", calls.in_openai_shape(content, place), weight=_weight(message))
    known = (ROLES.get(role) or ROLES.get(role.casefold())) if isinstance(role, str) else None
    if known is None:
        raise SetAside(f"turn {place} has no role" if role is None else f"turn {place} has the unknown role {str(role)[:40]!r}")
    name = message.get("name")
    name = name if isinstance(name, str) and name else None
    if known == "assistant":
        made = message.get("tool_calls") or message.get("function_call")
        said = "" if made and content is None else _content(content, place)
        return Turn(known, said, calls.in_openai_shape(made, place) if made else None, None, name, _weight(message))
    if known == "tool":
        answered, given = calls.answered(), message.get("tool_call_id")
        said = CANONICAL.encode(content) if isinstance(content, dict) and "type" not in content else _content(content, place)
        return Turn(known, said, None, given if isinstance(given, str) and given else answered, name)
    return Turn(known, _content(content, place), name=name)


def _weight(message: dict[str, Any]) -> int | None:
    """Return 0 for an answer that is not to be learnt from; to be learnt from is what answers are for, and says nothing."""
    return 0 if message.get("weight", message.get("loss_weight")) == 0 else None


def _content(content: Any, place: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
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
