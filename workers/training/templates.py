"""Chat templates: the tokenizer's own, or Hone's plain one, always rendered in transformers' sandbox and within limits."""

from __future__ import annotations

import json
import re
import signal
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from transformers.utils import chat_template_utils

from app.domain.errors import Invalid
from workers.training.watched import FAILS, Ways, watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from transformers import PreTrainedTokenizerBase

    from app.domain.datasets import Message
    from workers.training.watched import Rendered, Shape, Way

    Tools = Sequence[dict[str, Any]] | None

PLAIN_TEMPLATE = (
    "{{- bos_token }}"
    "{%- if tools %}{{- 'Tools:\\n' }}{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}{{- '\\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- message.role | capitalize + ':\\n' }}"
    "{%- if message.role == 'assistant' %}{% generation %}{{- message.content }}"
    "{%- for call in message.tool_calls or [] %}"
    "{{- ('\\n' if message.content or not loop.first else '') + {'tool_call': call.function} | tojson }}"
    "{%- endfor %}{{- eos_token }}{% endgeneration %}{{- '\\n\\n' }}"
    "{%- else %}{{- message.content + '\\n\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:\\n' }}{%- endif %}"
)
"""For bases whose own is missing or unfit: the role on a line of its own, then the text; an answer ends with the end-of-sequence token."""
_IS_OURS = ContextVar("is_ours", default=False)
MAX_TEMPLATE_BYTES = 64 * 1024
MAX_RENDERED_CHARACTERS = 16 * 1024 * 1024
MAX_RENDER_SECONDS = 2.0
FIXED = datetime(2024, 7, 26, tzinfo=UTC)
FIXED_DATE = FIXED.strftime("%d %b %Y")
"""Some templates print today's date, which would make a run depend on the day it runs on; this is Llama's own fallback."""
Source = Literal["tokenizer", "default", "plain"]
MARKS = re.compile(r"\{% (?:end)?generation %\}")
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
NO_END = "The base's tokenizer has no end-of-sequence token, so with Hone's plain template an answer could never end."


class TemplateRefused(Exception):
    """The template cannot render this conversation; the text says why. A slow one would be slow with the next row as well."""

    def __init__(self, message: str, *, is_slow: bool = False) -> None:
        super().__init__(message)
        self.is_slow = is_slow


@dataclass(frozen=True)
class Limits:
    """What a template may take for one conversation: time of the processor, and characters beyond what the conversation holds itself."""

    seconds: float = MAX_RENDER_SECONDS
    characters: int = MAX_RENDERED_CHARACTERS


@dataclass(frozen=True)
class ChatTemplate:
    """A template with the special tokens of its tokenizer."""

    text: str
    special_tokens: dict[str, Any]
    source: Source
    """Where it comes from: the tokenizer; default, Hone's plain one since the base has none; or plain, since the settings say so."""
    limits: Limits = Limits()
    is_dated_today: bool = False
    """Whether a template that asks for the present time is told it, as a chat wants; rows are the same on any day."""
    _ways: Ways = field(default_factory=Ways, repr=False, compare=False)

    @property
    def marks_answers(self) -> bool:
        """Say whether the template itself marks what the assistant says."""
        return GENERATION.search(self.text) is not None

    @property
    def is_plain(self) -> bool:
        """Say whether it is Hone's plain one."""
        return self.source != "tokenizer"

    def for_others(self) -> str:
        """Return its text without the marks of what is generated, which not every program that renders templates knows."""
        return MARKS.sub("", self.text)

    def render(self, messages: Sequence[Message], *, tools: Tools = None, prompt: bool = False) -> str:
        """Return the conversation as text; with `prompt`, up to where the assistant's next answer begins."""
        return self.render_marked(messages, tools=tools, prompt=prompt, mark=False)[0]

    def render_marked(
        self, messages: Sequence[Message], *, tools: Tools = None, prompt: bool = False, mark: bool = True
    ) -> tuple[str, list[tuple[int, int]]]:
        """Return the text and the character spans that the template marks as generated."""
        shape = None if tools else _shape(messages, prompt, mark)
        contents = [message.content for message in messages]
        written = None if shape is None else self._ways.write(shape, contents)
        if written is None:
            written = self._rendered(messages, tools, prompt=prompt, mark=mark)
            if shape is not None and self._ways.wants(shape):
                self._ways.learn(shape, contents, self._watched(messages, prompt=prompt, mark=mark), written)
        if len(written[0]) > self.limits.characters + 2 * sum(map(len, contents)):
            message = f"the chat template makes more than {self.limits.characters:,} characters of it"
            raise TemplateRefused(message)
        return written

    def _rendered(self, messages: Sequence[Message], tools: Tools, *, prompt: bool, mark: bool) -> Rendered:
        try:
            with _limited(self.limits.seconds):
                self._compiled()
                made: Any = chat_template_utils.render_jinja_template(
                    [[_turn(message) for message in messages]],
                    tools=list(tools) if tools else None,
                    chat_template=self.text,
                    add_generation_prompt=prompt,
                    return_assistant_tokens_mask=mark,
                    **self._given,
                )
        except _TakesTooLong as error:
            raise TemplateRefused(str(error), is_slow=True) from error
        except FAILS as error:
            message = f"the chat template refuses it: {str(error) or type(error).__name__}"
            raise TemplateRefused(message) from error
        texts, spans = made
        return texts[0], [(int(start), int(end)) for start, end in spans[0]] if mark else []

    def _watched(self, messages: Sequence[Message], *, prompt: bool, mark: bool) -> Way | None:
        """Render a conversation again and see which way the template takes."""
        given = {**self._given, "tools": None, "documents": None, "add_generation_prompt": prompt}
        if not self.is_dated_today:
            given["strftime_now"] = _fixed_now
        try:
            with _limited(self.limits.seconds):
                return watch(self._compiled().environment, self.text, [_turn(message) for message in messages], given, mark=mark)
        except _TakesTooLong:
            return None

    def _compiled(self) -> Any:
        """Return the very template that transformers renders, which it keeps, with the clock that this one is to see."""
        compiled: Any = chat_template_utils._compile_jinja_template(self.text)  # noqa: SLF001 - it takes no function from outside
        own = compiled.environment.globals["strftime_now"]
        compiled.globals["strftime_now"] = own if self.is_dated_today else _fixed_now
        return compiled

    @property
    def _given(self) -> dict[str, Any]:
        return {"date_string": FIXED_DATE, **self.special_tokens}


def chat_template(
    tokenizer: PreTrainedTokenizerBase, wanted: Literal["auto", "plain"] = "auto", *, limits: Limits | None = None
) -> ChatTemplate:
    """Return the tokenizer's own chat template; Hone's plain one when it has none, or when that is wanted."""
    limits = limits or Limits()
    own = tokenizer.chat_template
    text = own.get("default") if isinstance(own, dict) else own
    tokens = special_tokens(tokenizer)
    if text is None or wanted == "plain":
        if tokenizer.eos_token is None:
            raise Invalid(NO_END, param="base_model", code="no_end_of_turn")
        return ChatTemplate(PLAIN_TEMPLATE, tokens, "plain" if wanted == "plain" else "default", limits)
    if len(text.encode()) > MAX_TEMPLATE_BYTES:
        message = "The base's chat template is larger than 64 KiB."
        raise Invalid(message, param="base_model", code="template_error")
    return ChatTemplate(text, tokens, "tokenizer", limits)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the tokens that a template may write, by the names it knows them under."""
    return {name: str(token) for name, token in tokenizer.special_tokens_map.items()}


def _shape(messages: Sequence[Message], prompt: bool, mark: bool) -> Shape | None:  # noqa: FBT001 - they are parts of it
    """Return what a template is given besides what is said; None where that is more than roles."""
    if any(message.tool_calls or message.tool_call_id is not None or message.name is not None for message in messages):
        return None
    return prompt, mark, *(message.role for message in messages)


def _turn(message: Message) -> dict[str, Any]:
    """Return a message as templates want it: what is not given is not there, and a call's arguments are an object, not its JSON."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    return turn | {name: value for name in ("tool_call_id", "name") if (value := getattr(message, name)) is not None}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call


def _fixed_now(form: str) -> str:
    return FIXED.strftime(form)


class _TakesTooLong(Exception):
    pass


@contextmanager
def of_our_own() -> Iterator[None]:
    """Render a template that Hone itself has brought, without a limit of time: outside the main thread nothing could interrupt it."""
    earlier = _IS_OURS.set(True)
    try:
        yield
    finally:
        _IS_OURS.reset(earlier)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Stop a template that computes too long: the sandbox keeps it from reaching out, but not from looping."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        message = f"the chat template refuses it: it computes for more than {seconds:g} seconds"
        raise _TakesTooLong(message)

    if _IS_OURS.get():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
