"""Chat templates: the tokenizer's own, or Hone's plain one, always rendered in transformers' sandbox and within limits."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers.utils import chat_template_utils

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from transformers import PreTrainedTokenizerBase

    from app.domain.datasets import Message

DEFAULT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- message.role | capitalize + ':\\n' }}"
    "{%- if message.role == 'assistant' %}{% generation %}{{- message.content + eos_token }}{% endgeneration %}{{- '\\n\\n' }}"
    "{%- else %}{{- message.content + '\\n\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:\\n' }}{%- endif %}"
)
"""For bases without a template: the role on a line of its own, then the text; an answer ends with the end-of-sequence token."""
MAX_TEMPLATE_BYTES = 64 * 1024
MAX_RENDERED_CHARACTERS = 16 * 1024 * 1024
MAX_RENDER_SECONDS = 2.0
FIXED_DATE = "26 Jul 2024"
"""Some templates print today's date, which would make a run depend on the day it runs on; this is Llama's own fallback."""
TemplateError: type[Exception] = chat_template_utils.jinja2.exceptions.TemplateError  # type: ignore[attr-defined]
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class TemplateRefused(Exception):
    """The template cannot render this conversation; the text says why."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template with the special tokens of its tokenizer."""

    text: str
    special_tokens: dict[str, Any]
    source: str

    @property
    def marks_answers(self) -> bool:
        """Say whether the template itself marks what the assistant says."""
        return GENERATION.search(self.text) is not None

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """Return the conversation as text; with `prompt`, up to where the assistant's next answer begins."""
        return self.render_marked(messages, prompt=prompt, mark=False)[0]

    def render_marked(self, messages: Sequence[Message], *, prompt: bool = False, mark: bool = True) -> tuple[str, list[tuple[int, int]]]:
        """Return the text and the character spans that the template marks as generated."""
        conversation = [{"role": m.role, "content": m.content} for m in messages]
        given = {"date_string": FIXED_DATE, **self.special_tokens}
        try:
            with _limited():
                made: Any = chat_template_utils.render_jinja_template(
                    [conversation], chat_template=self.text, add_generation_prompt=prompt, return_assistant_tokens_mask=mark, **given
                )
        except (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
            message = f"the chat template refuses it: {str(error) or type(error).__name__}"
            raise TemplateRefused(message) from error
        rendered, spans = made
        if len(rendered[0]) > MAX_RENDERED_CHARACTERS:
            message = "the chat template makes more than 16 million characters of it"
            raise TemplateRefused(message)
        return rendered[0], [(int(start), int(end)) for start, end in spans[0]] if mark else []


def chat_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """Return the tokenizer's own chat template, or Hone's plain default when it has none."""
    own = tokenizer.chat_template
    text = own.get("default") if isinstance(own, dict) else own
    tokens = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    if text is None:
        if tokenizer.eos_token is None:
            message = "The base's tokenizer has neither a chat template nor an end-of-sequence token, so an answer could never end."
            raise Invalid(message, param="base_model", code="no_end_of_turn")
        return ChatTemplate(DEFAULT_TEMPLATE, tokens, "default")
    if len(text.encode()) > MAX_TEMPLATE_BYTES:
        message = "The base's chat template is larger than 64 KiB."
        raise Invalid(message, param="base_model", code="template_error")
    return ChatTemplate(text, tokens, "tokenizer")


@contextmanager
def _limited() -> Iterator[None]:
    """Stop a template that computes too long: the sandbox keeps it from reaching out, but not from looping."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        message = f"it computes for more than {MAX_RENDER_SECONDS:g} seconds"
        raise TemplateError(message)

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_RENDER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
