"""Where the assistant's turns stand in a rendered conversation, each with its end; what cannot be told for certain is refused."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.domain.datasets import Message
from app.domain.repairs import control_tokens
from workers.training.templates import TemplateRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from workers.training.templates import ChatTemplate, Tools

Span = tuple[int, int]
MARK = "\ufdd0\ufdd1\ufdd0"
"""Put behind an answer to see where it ends: noncharacters, which no text holds (Unicode 23.7)."""
NO_TOKEN = "the chat template ends an answer with no token that the tokenizer knows, so the model would never learn to stop"  # noqa: S105 - words
CALLS_LEFT_OUT = "the chat template leaves out the calls of tools"
MARK_SPAN = 60
"""Characters behind an answer in which the mark that ends it stands."""


class NotTrainable(Exception):
    """No honest mask can be made for this conversation; the text says why, `code` names the fault."""

    def __init__(self, message: str, *, code: str = "template_error", is_slow: bool = False) -> None:
        super().__init__(message)
        self.code, self.is_slow = code, is_slow


class Turns:
    """Finds what is trained in conversations, for one tokenizer and template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> None:
        self._template = template
        self._eos = tokenizer.eos_token
        tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
        longest_first = sorted(tokens, key=len, reverse=True)
        self._special = re.compile("|".join(re.escape(token) for token in longest_first) or r"(?!)")
        self._is_apart: dict[tuple[str, ...], bool] = {}

    def trained(self, messages: Sequence[Message], tools: Tools) -> tuple[str, list[Span]]:
        """Return the whole as text, and the spans of it that are trained."""
        self._see_that_tools_are_written(messages, tools)
        if self._template.marks_answers:
            text, marked = self._template.render_marked(messages, tools=tools)
            return text, self._marked_turns(text, messages, tools, [span for span in marked if span[0] < span[1]])
        text = self._template.render(messages, tools=tools)
        wanted = [index for index, message in enumerate(messages) if is_learnt(message)]
        return text, [self._turn(text, messages, tools, index) for index in wanted]

    @cached_property
    def _ends(self) -> frozenset[str] | None:
        """The tokens that end a turn: what the template writes behind the last answer, and the tokenizer's end-of-sequence token.

        None when the template refuses to write so little, so that nobody can tell.
        """
        try:
            text = self._template.render([Message(role="user", content=MARK[0]), Message(role="assistant", content=MARK[1])])
        except TemplateRefused as error:
            if error.is_slow:
                raise
            return None
        following = self._special.match(text.rpartition(MARK[1])[2].lstrip())
        return frozenset(filter(None, [self._eos, following and following.group()]))

    def _ends_a_turn(self, token: str) -> bool:
        return self._ends is None or token in self._ends

    def _marked_turns(self, text: str, messages: Sequence[Message], tools: Tools, spans: Sequence[Span]) -> list[Span]:
        """See that each span the template has marked is the assistant's, and ends with the end-of-turn token, right there."""
        answers = [m for m in messages if m.role == "assistant"]
        if not spans and any(map(_says_something, filter(is_learnt, answers))):
            message = "the chat template marks none of the answers as the model's own, so nothing of them would be trained"
            raise NotTrainable(message, code="no_trained_tokens")
        if spans and not self._keeps_prompts_apart(messages, tools):
            message = "the chat template marks what others say as the model's own, so the model would learn to speak for them"
            raise NotTrainable(message, code="trained_prompt")
        if len(answers) == len(spans):
            pairs = [(span, [answer.content.strip()]) for span, answer in zip(spans, answers, strict=True) if is_learnt(answer)]
        elif all(map(is_learnt, answers)):
            pairs = [(span, [answer.content.strip() for answer in answers]) for span in spans]
        else:
            message = "the chat template does not mark one part for each answer, so those with weight 0 cannot be told from the others"
            raise NotTrainable(message)
        return [self._marked_turn(text, span, contents) for span, contents in pairs]

    def _keeps_prompts_apart(self, messages: Sequence[Message], tools: Tools) -> bool:
        """Return whether the spans that the template marks hold the assistant's words alone; seen to once for each order of roles."""
        shape = (*(f"{m.role}{'+' if m.tool_calls else ''}" for m in messages), "tools" if tools else "")
        if shape not in self._is_apart:
            others = [m if m.role == "assistant" else m.model_copy(update={"content": m.content + MARK}) for m in messages]
            text, spans = self._template.render_marked(others, tools=tools)
            self._is_apart[shape] = not any(MARK in text[start:end] for start, end in spans)
        return self._is_apart[shape]

    def _marked_turn(self, text: str, span: Span, contents: Sequence[str]) -> Span:
        start, end = span
        last = start + len(text[start:end].rstrip())
        # A token that is the end of what was said ends no turn: an answer may well end in </tool_call>.
        is_content = any(content and text.endswith(content, start, last) for content in contents)
        final = next((token for token in self._special.finditer(text, start, last) if token.end() == last), None)
        if final and not is_content and self._ends_a_turn(final.group()):
            return start, last
        return self._with_end_of_turn(text, span)

    def _turn(self, text: str, messages: Sequence[Message], tools: Tools, index: int) -> Span:
        """Find one answer in the whole: it begins where its prompt ends, and ends with the end-of-turn token."""
        prompt = self._template.render(messages[:index], tools=tools, prompt=True)
        if not text.startswith(prompt):
            message = "the chat template writes the conversation before an answer differently once the answer is there"
            raise NotTrainable(message)
        if messages[index].tool_calls:
            return self._turn_of_calls(text, messages, tools, index, len(prompt))
        head, mark, tail = self._marked(messages, tools, index, messages[index].content + MARK).partition(MARK)
        # Many templates trim an answer; then the mark keeps white space in front of it that the whole does not have.
        end = len(head) if text == head + tail else len(head.rstrip())
        if not mark or end < len(prompt) or text[:end] + tail != text:
            message = "the chat template changes the text of an answer"
            raise NotTrainable(message)
        return self._with_end_of_turn(text, (len(prompt), end))

    def _turn_of_calls(self, text: str, messages: Sequence[Message], tools: Tools, index: int, start: int) -> Span:
        """Find an answer that calls tools: its text is the template's own as far as the end-of-turn token behind the last call."""
        marked = self._template.render(_with(messages, index, _marked_call(messages[index])), tools=tools)
        after = marked.rpartition(MARK)[2]
        end = len(text) - _shared(after[::-1], text[::-1])
        border = len(text)
        if index + 1 < len(messages):
            border = _shared(text, self._marked(messages, tools, index + 1, MARK + messages[index + 1].content))
        found = next((token for token in self._special.finditer(text, end, border) if self._ends and token.group() in self._ends), None)
        if found is None or end < start:
            raise NotTrainable(NO_TOKEN, code="never_stops")
        return start, found.end()

    def _with_end_of_turn(self, text: str, span: Span) -> Span:
        """Extend a span over the end-of-turn token, which the model must learn to say, or it never stops."""
        start, end = span
        behind = len(text) - len(text[end:].lstrip())
        following = self._special.match(text, behind)
        if following is None:
            raise _no_end(text[behind : behind + MARK_SPAN])
        if not self._ends_a_turn(following.group()):
            message = f"the chat template ends an answer with nothing but {following.group()}, at which no model stops"
            raise NotTrainable(message, code="never_stops")
        return start, following.end()

    def _see_that_tools_are_written(self, messages: Sequence[Message], tools: Tools) -> None:
        """Refuse a template that leaves out a call or what a tool has answered: the model would learn from half a conversation."""
        calls = [index for index, message in enumerate(messages) if message.tool_calls]
        for index in calls:
            if MARK not in self._template.render(_with(messages, index, _marked_call(messages[index])), tools=tools):
                raise NotTrainable(CALLS_LEFT_OUT)
        answered = [m.model_copy(update={"content": m.content + MARK}) if m.role == "tool" else m for m in messages]
        count = sum(message.role == "tool" for message in messages)
        if count and self._template.render(answered, tools=tools).count(MARK) < count:
            message = "the chat template leaves out what a tool has answered"
            raise NotTrainable(message)

    def _marked(self, messages: Sequence[Message], tools: Tools, index: int, content: str) -> str:
        return self._template.render(_with(messages, index, messages[index].model_copy(update={"content": content})), tools=tools)


def last_answer(messages: Sequence[Message]) -> int | None:
    """Return the place of the last answer that is learnt; None where there is none."""
    return max((place for place, message in enumerate(messages) if is_learnt(message)), default=None)


def is_learnt(message: Message) -> bool:
    """Return whether a turn is trained: the assistant's, unless its weight is 0."""
    return message.role == "assistant" and message.weight != 0


def _shared(one: str, other: str) -> int:
    """Return with how many equal characters two texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _says_something(message: Message) -> bool:
    return bool(message.content.strip() or message.tool_calls)


def _with(messages: Sequence[Message], index: int, message: Message) -> list[Message]:
    return [*messages[:index], message, *messages[index + 1 :]]


def _marked_call(message: Message) -> Message:
    """Return the message with the mark at the very end of its last call's arguments."""
    calls = message.tool_calls or [{}]
    others, last = calls[:-1], calls[-1]
    function: dict[str, Any] = last.get("function") or {}
    given = function.get("arguments") or {}
    try:
        read = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        read = None
    marked: Any = {**read, MARK: MARK} if isinstance(read, dict) else f"{given}{MARK}"
    return message.model_copy(update={"tool_calls": [*others, {**last, "function": {**function, "arguments": marked}}]})


def _no_end(behind: str) -> NotTrainable:
    """Return what is wrong where no token follows an answer: another model's mark, or none at all."""
    foreign = next((behind[first:last] for first, last in control_tokens(behind) if first == 0), None)
    if foreign is None:
        return NotTrainable(NO_TOKEN, code="never_stops")
    message = f"the chat template ends an answer with {foreign}, which is no token that the tokenizer knows: it is another model's template"
    return NotTrainable(message, code="other_template")
