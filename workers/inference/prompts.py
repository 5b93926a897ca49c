"""Conversations as tokens: the base's own chat template, or Hone's plain one, and the tokens that end a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.domain.cards import CHAT_TEMPLATE
from app.domain.errors import Invalid
from workers.inference.folders import unusable_adapter
from workers.inference.rendering import Renderer
from workers.training.templates import MAX_TEMPLATE_BYTES, ChatTemplate, chat_template, special_tokens

PROBE = "ANSWER"


class Prompts:
    """Writes prompts for one base."""

    def __init__(self, tokenizer: Any, model: Any, renderer: Renderer, *, own: str | None = None) -> None:
        """Take the base's template, or the one that came with an adapter as its `own`."""
        self._tokenizer = tokenizer
        self._renderer = renderer
        self._template = chat_template(tokenizer) if own is None else ChatTemplate(own, special_tokens(tokenizer), "plain")
        self.end_ids = frozenset(_declared_ends(tokenizer, model) | self._template_ends())

    def tokens(self, turns: list[dict[str, str]], *, context: int) -> list[int]:
        """Return the conversation with the opening of the answer, or raise Invalid when it leaves no room for one."""
        prompt = self._encode(self._render(turns, prompt=True))
        if len(prompt) >= context:
            message = f"This model's context is {context} tokens, and the messages alone take {len(prompt)}. Shorten them."
            raise Invalid(message, param="messages", code="context_length_exceeded")
        return prompt

    def _template_ends(self) -> set[int]:
        """Return the token the template writes after an answer, if it is one of the tokenizer's own and not plain text."""
        try:
            text = self._render([{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}], prompt=False)
        except Invalid:
            return set()  # a template that refuses this little is refused when it is asked for real
        after = self._encode(text.rpartition(PROBE)[2].lstrip())[:1]
        return {token for token in after if token in self._tokenizer.added_tokens_decoder}

    def _render(self, turns: list[dict[str, str]], *, prompt: bool) -> str:
        return self._renderer.render(self._template, turns, prompt=prompt)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def own_template(adapter: Path | None) -> str | None:
    """Return the chat template that lies in an adapter's folder: its rows were written with that, so its questions are too."""
    place = adapter and adapter / CHAT_TEMPLATE
    if place is None or not place.is_file():
        return None
    with place.open("rb") as file:
        raw = file.read(MAX_TEMPLATE_BYTES + 1)
    if len(raw) > MAX_TEMPLATE_BYTES:
        raise unusable_adapter("The adapter's chat template is larger than 64 KiB.")
    return raw.decode("utf-8", "replace")


def _declared_ends(tokenizer: Any, model: Any) -> set[int]:
    # A model for pictures and text (Gemma 3) keeps its language model's settings one level down.
    declared = [tokenizer.eos_token_id, getattr(model.config.get_text_config(), "eos_token_id", None)]
    if model.generation_config is not None:
        declared.append(model.generation_config.eos_token_id)
    ends: set[int] = set()
    for said in declared:
        ends.update(said if isinstance(said, list) else [said] if said is not None else [])
    return ends
