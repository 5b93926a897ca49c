"""Which tokens of a row are trained: every assistant turn with its end-of-turn token, a text whole, and nothing else.

The spans come from the template's own `{% generation %}` marks, else from rendering turn by turn and checking that the pieces
are found in the whole. Where neither holds the row is refused with a reason; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from workers.training.encoder import Encoder
from workers.training.templates import TemplateRefused
from workers.training.turns import NotTrainable, Turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

    from app.domain.datasets import Message
    from workers.training.templates import ChatTemplate, Tools
    from workers.training.turns import Span

WHOLE_TEXT = "text"
"""The role of a message that is trained whole, without a template."""


@dataclass(frozen=True)
class MaskedRow:
    """A row as token ids, with True where the token is trained."""

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    cut: bool = False
    """Some of its trained tokens were cut away."""
    borders_differ: bool = False
    """An answer follows other tokens here than in a chat, where its prompt is tokenised alone."""
    text: str = ""
    ends: NDArray[np.int32] | None = None
    """Where in the text each token ends, where that was asked for; kept only until the row is cut to its length."""


class Masker:
    """Turns rows into ids and masks for one tokenizer and template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> None:
        self.tokenizer, self.template = tokenizer, template
        self._turns = Turns(tokenizer, template)
        self._backend = tokenizer.backend_tokenizer
        # A tokenizer's file may ask for both; a row is cut by us alone, where its answer can be looked after.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._encoder = Encoder.of(self._backend)

    def expect(self, conversations: Iterable[Sequence[Message]]) -> None:
        """Look ahead at conversations that are masked next, which makes that faster."""
        if self._encoder is not None:
            self._encoder.learn(message.content for messages in conversations for message in messages)

    def mask(self, messages: Sequence[Message], tools: Tools = None, *, ends: bool = False) -> MaskedRow:
        """Return ids and mask, and with `ends` where each token ends in the text; or raise NotTrainable."""
        if messages[0].role == WHOLE_TEXT:
            return self._whole(messages[0].content)
        try:
            text, spans = self._turns.trained(messages, tools)
        except TemplateRefused as error:
            raise NotTrainable(str(error), is_slow=error.is_slow) from error
        quick = None if ends or self._encoder is None else self._encoder.row(text, spans)
        return self._tokenise(text, spans) if quick is None else _of_encoder(*quick, text)

    def prompt_ids(self, messages: Sequence[Message], tools: Tools = None) -> list[int]:
        """Return the ids that a model sees when it is asked for the next answer."""
        try:
            return self._ids(self.template.render(messages, tools=tools, prompt=True))
        except TemplateRefused as error:
            raise NotTrainable(str(error)) from error

    def _whole(self, text: str) -> MaskedRow:
        """Return a text as the tokenizer begins it, with the end-of-sequence token behind it, without which it would have no end."""
        end = self.tokenizer.eos_token_id
        if end is None:
            message = "the tokenizer has no end-of-sequence token, so the model would never learn where a text ends"
            raise NotTrainable(message, code="never_stops")
        encoded = self._backend.encode(text)
        ids, ends = list(encoded.ids), [place for _, place in encoded.offsets]
        if ids[-1:] != [end]:
            ids, ends = [*ids, end], [*ends, len(text)]
        return _row(ids, np.ones(len(ids), dtype=np.bool_), text, ends)

    def _tokenise(self, text: str, spans: Sequence[Span]) -> MaskedRow:
        """Tokenise the whole at once; where an answer would then not follow the very ids its prompt has in a chat, in pieces."""
        prompts = [self._ids(text[:start]) for start, _ in spans]

        def standing(row: MaskedRow) -> int:
            return sum(row.ids[: len(prompt)].tolist() == prompt for prompt in prompts)

        whole = self._at_once(text, spans, prompts)
        if standing(whole) == len(prompts):
            return whole
        pieces = self._in_pieces(text, spans)
        best = whole if pieces is None else max(pieces, whole, key=standing)
        return replace(best, borders_differ=standing(best) < len(prompts))

    def _at_once(self, text: str, spans: Sequence[Span], prompts: Sequence[list[int]]) -> MaskedRow:
        whole = self._encode(text)
        places = np.asarray(whole.offsets, dtype=np.int64).reshape(-1, 2)
        trained = np.zeros(len(places), dtype=np.bool_)
        for (start, end), prompt in zip(spans, prompts, strict=True):
            # A token that begins before the answer belongs to the prompt: it is never trained. Where offsets leave out the space that a
            # prompt ends with, they say that it begins with the answer.
            begin = len(prompt) if whole.ids[: len(prompt)] == prompt else 0
            trained[begin:] |= (places[begin:, 0] >= start) & (places[begin:, 0] < end)
        return _row(whole.ids, trained, text, places[:, 1])

    def _in_pieces(self, text: str, spans: Sequence[Span]) -> MaskedRow | None:
        """Tokenise prompts and answers apart, as they come in a chat; None where that would change the text."""
        borders = [0, *(place for span in spans for place in span), len(text)]
        ids, ends, trained = list[int](), list[int](), list[bool]()
        for index, (start, end) in enumerate(pairwise(borders)):
            piece = self._encode(text[start:end])
            ids += piece.ids
            ends += [start + place for _, place in piece.offsets]
            trained += [index % 2 == 1] * len(piece.ids)
        if self.tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
            return None
        return _row(ids, np.asarray(trained, dtype=np.bool_), text, ends)

    def _ids(self, text: str) -> list[int]:
        return list(self._encode(text).ids)

    def _encode(self, text: str) -> Encoding:
        encoded: Encoding = self._backend.encode(text, add_special_tokens=False)
        return encoded


def _of_encoder(tokens: bytes, spans: Sequence[Span], text: str) -> MaskedRow:
    ids = np.frombuffer(tokens, dtype=np.int32)
    trained = np.zeros(len(ids), dtype=np.bool_)
    for first, end in spans:
        trained[first:end] = True
    return MaskedRow(ids, trained, text=text)


def _row(ids: Sequence[int], trained: NDArray[np.bool_], text: str, ends: Sequence[int] | NDArray[np.int64]) -> MaskedRow:
    return MaskedRow(np.asarray(ids, dtype=np.int32), trained, text=text, ends=np.asarray(ends, dtype=np.int32))
