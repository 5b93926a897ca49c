"""Which tokens of a conversation are trained: every assistant turn with its end-of-turn token, and nothing else.

The spans come from the template's own `{% generation %}` marks, else from rendering turn by turn and checking that the pieces
are found in the whole. Where neither holds the row is refused with a reason; nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from workers.training.templates import TemplateRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from app.domain.datasets import Message
    from workers.training.templates import ChatTemplate

Span = tuple[int, int]
MARK = "\ufdd0\ufdd1\ufdd0"
"""Put behind an answer to see where it ends: noncharacters, which no text holds (Unicode 23.7)."""


class NotTrainable(Exception):
    """No honest mask can be made for this conversation; the text says why."""


@dataclass(frozen=True)
class MaskedRow:
    """A conversation as token ids, with True where the token is trained."""

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    cut: bool = False
    """Some of its trained tokens were cut away."""
    borders_differ: bool = False
    """An answer follows other tokens here than in a chat, where its prompt is tokenised alone."""


class Masker:
    """Turns conversations into ids and masks for one tokenizer and template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> None:
        self._tokenizer = tokenizer
        self._template = template
        tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
        longest_first = sorted(tokens, key=len, reverse=True)
        self._special = re.compile("|".join(re.escape(token) for token in longest_first) or r"(?!)")

    def mask(self, messages: Sequence[Message]) -> MaskedRow:
        """Return ids and mask, or raise NotTrainable."""
        try:
            text, spans = self._spans(messages)
        except TemplateRefused as error:
            raise NotTrainable(str(error)) from error
        return self._tokenise(text, spans)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids that a model sees when it is asked for the next answer."""
        try:
            return self._ids(self._template.render(messages, prompt=True))
        except TemplateRefused as error:
            raise NotTrainable(str(error)) from error

    def _spans(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        if self._template.marks_answers:
            text, marked = self._template.render_marked(messages)
            return text, self._marked_turns(text, messages, [span for span in marked if span[0] < span[1]])
        text = self._template.render(messages)
        return text, [self._turn(text, messages, index) for index, m in enumerate(messages) if m.role == "assistant"]

    def _marked_turns(self, text: str, messages: Sequence[Message], spans: Sequence[Span]) -> list[Span]:
        """See that each span the template has marked ends with the end-of-turn token, and right there."""
        answers = [m.content.strip() for m in messages if m.role == "assistant"]
        said = [[answer] for answer in answers] if len(answers) == len(spans) else [answers] * len(spans)
        return [self._marked_turn(text, span, contents) for span, contents in zip(spans, said, strict=True)]

    def _marked_turn(self, text: str, span: Span, contents: Sequence[str]) -> Span:
        start, end = span
        last = start + len(text[start:end].rstrip())
        # A token that is the end of what was said ends no turn: an answer may well end in </tool_call>.
        is_content = any(content and text.endswith(content, start, last) for content in contents)
        if not is_content and any(token.end() == last for token in self._special.finditer(text, start, last)):
            return start, last
        return self._with_end_of_turn(text, span)

    def _turn(self, text: str, messages: Sequence[Message], index: int) -> Span:
        """Find one answer in the whole: it begins where its prompt ends, and ends with the end-of-turn token."""
        prompt = self._template.render(messages[:index], prompt=True)
        if not text.startswith(prompt):
            message = "the chat template writes the conversation before an answer differently once the answer is there"
            raise NotTrainable(message)
        marked = [*messages[:index], messages[index].model_copy(update={"content": messages[index].content + MARK}), *messages[index + 1 :]]
        head, mark, tail = self._template.render(marked).partition(MARK)
        # Many templates trim an answer; then the mark keeps white space in front of it that the whole does not have.
        end = len(head) if text == head + tail else len(head.rstrip())
        if not mark or end < len(prompt) or text[:end] + tail != text:
            message = "the chat template changes the text of an answer"
            raise NotTrainable(message)
        return self._with_end_of_turn(text, (len(prompt), end))

    def _with_end_of_turn(self, text: str, span: Span) -> Span:
        """Extend a span over the end-of-turn token, which the model must learn to say, or it never stops."""
        start, end = span
        following = self._special.match(text, len(text) - len(text[end:].lstrip()))
        if following is None:
            message = "the chat template ends an answer with no token that the tokenizer knows, so the model would never learn to stop"
            raise NotTrainable(message)
        return start, following.end()

    def _tokenise(self, text: str, spans: Sequence[Span]) -> MaskedRow:
        """Tokenise the whole at once; where an answer would then not follow the very ids its prompt has in a chat, in pieces."""
        prompts = [self._ids(text[:start]) for start, _ in spans]

        def standing(row: MaskedRow) -> int:
            return sum(row.ids[: len(prompt)].tolist() == prompt for prompt in prompts)

        whole = self._at_once(text, spans)
        if standing(whole) == len(prompts):
            return whole
        pieces = self._in_pieces(text, spans)
        best = whole if pieces is None else max(pieces, whole, key=standing)
        return replace(best, borders_differ=standing(best) < len(prompts))

    def _at_once(self, text: str, spans: Sequence[Span]) -> MaskedRow:
        whole = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = whole["input_ids"], whole["offset_mapping"]
        trained = np.zeros(len(ids), dtype=np.bool_)
        starts = np.asarray([start for start, _ in offsets], dtype=np.int64)
        for start, end in spans:
            # A token that begins before the answer belongs to the prompt: it is never trained.
            trained |= (starts >= start) & (starts < end)
        return MaskedRow(np.asarray(ids, dtype=np.int32), trained)

    def _in_pieces(self, text: str, spans: Sequence[Span]) -> MaskedRow | None:
        """Tokenise prompts and answers apart, as they come in a chat; None where that would change the text."""
        borders = [0, *(place for span in spans for place in span), len(text)]
        ids: list[int] = []
        trained: list[bool] = []
        for index, (start, end) in enumerate(pairwise(borders)):
            piece = self._ids(text[start:end])
            ids += piece
            trained += [index % 2 == 1] * len(piece)
        if self._tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
            return None
        return MaskedRow(np.asarray(ids, dtype=np.int32), np.asarray(trained, dtype=np.bool_))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
