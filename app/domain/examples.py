"""Which turns make an example one can learn from, whatever file they came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.datasets import Example, Turn
from app.domain.problems import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

JUDGEMENTS = {
    **dict.fromkeys(
        ("true", "1", "1.0", "good", "yes", "y", "up", "like", "liked", "positive", "thumbs up", "👍", "👍🏻", "+1", "✅"), True
    ),
    **dict.fromkeys(
        ("false", "0", "0.0", "bad", "no", "n", "down", "dislike", "disliked", "negative", "thumbs down", "👎", "-1", "❌"), False
    ),
}


class SetAside(Exception):
    """This row cannot be used; the message says why, and the code which kind of trouble it is."""

    def __init__(self, why: str, code: str = Trouble.BROKEN) -> None:
        super().__init__(why)
        self.code = str(code)


def judged(value: object) -> bool | None:
    """Return what a cell says of an answer: good, bad, or None where it says neither."""
    return JUDGEMENTS.get(str(value).strip().casefold())


def finish(example: Example) -> Example:
    """Return an example one can learn from: one system turn at most, at its head, and an answer at its end; else SetAside."""
    turns = _in_order(example.turns)
    if example.rejected is not None:
        _check_comparison(turns, example.rejected)
    return example._replace(turns=turns)


def with_system(turns: Sequence[Turn], system: str | None) -> Sequence[Turn]:
    """Put `system` before a conversation that has no system turn of its own; a text to learn whole stays as it is."""
    return [Turn("system", system), *turns] if system and turns[0].role not in {"system", "text"} else turns


def answer_starts(turns: Sequence[Turn]) -> int:
    """Return where the last answer begins, with its calls of tools and what they said."""
    start = len(turns)
    while start and turns[start - 1].role in {"assistant", "tool"}:
        start -= 1
    return start


def _in_order(given: Sequence[Turn]) -> list[Turn]:
    if len(given) == 1 and given[0].role == "text":
        return _text(given[0])
    systems: list[Turn] = []
    spoken: list[Turn] = []
    for turn in given:
        if turn.role != "system":
            spoken.append(turn)
        elif spoken:
            raise SetAside("a system turn stands in the middle of the conversation")
        elif not _is_blank(turn):
            systems.append(turn)
    if not spoken:
        raise SetAside("it has no turns of a user and an assistant", Trouble.NO_ANSWER)
    _check_spoken(spoken)
    if len(systems) > 1:
        systems = [Turn("system", "\n\n".join(turn.content for turn in systems))]
    return systems + spoken


def _text(turn: Turn) -> list[Turn]:
    if _is_blank(turn):
        raise SetAside("the text is empty", Trouble.EMPTY_ANSWER)
    return [turn]


def _check_spoken(spoken: list[Turn]) -> None:
    last = spoken[-1].role
    if last != "assistant":
        whose = "the user's" if last == "user" else "what a tool said"
        raise SetAside(f"the last turn is {whose}; it must be the assistant's answer", Trouble.NO_ANSWER)
    asked = False
    for turn in spoken:
        asked = asked or turn.role == "user"
        if turn.role == "assistant" and not turn.tool_calls and _is_blank(turn):
            raise SetAside("the assistant's answer is empty", Trouble.EMPTY_ANSWER)
        if turn.role == "user" and _is_blank(turn):
            raise SetAside("the user's turn is empty")
    if not asked:
        raise SetAside("there is no user's turn to answer")


def _check_comparison(turns: list[Turn], rejected: Sequence[Turn]) -> None:
    if not rejected or all(_is_blank(turn) and not turn.tool_calls for turn in rejected):
        raise SetAside("the worse answer is empty", Trouble.EMPTY_ANSWER)
    if any(turn.role not in {"assistant", "tool"} for turn in rejected):
        raise SetAside("the worse answer holds turns that are not the assistant's")
    if turns[answer_starts(turns) :] == list(rejected):
        raise SetAside("the better and the worse answer are the same")


def _is_blank(turn: Turn) -> bool:
    return not turn.content or turn.content.isspace()
