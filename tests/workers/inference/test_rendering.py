"""The process in which templates are rendered: what it is waited for."""

from __future__ import annotations

import pytest

from app.domain.errors import Invalid
from workers.inference import rendering
from workers.inference.rendering import PATIENCE_SECONDS, STARTING_SECONDS, Renderer
from workers.training.templates import ChatTemplate

TEMPLATE = ChatTemplate("{{ messages[0].content }}!", {}, "tokenizer")
HELLO = [{"role": "user", "content": "Hello"}]


def test_that_the_process_takes_long_to_be_there_is_not_laid_at_the_templates_door(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    read = rendering._read_line

    def note(descriptor: int, patience: float) -> bytes:
        waited.append(patience)
        return read(descriptor, patience)

    monkeypatch.setattr(rendering, "_read_line", note)
    renderer = Renderer()
    assert [renderer.render(TEMPLATE, HELLO, prompt=True) for _ in range(2)] == ["Hello!", "Hello!"]
    renderer.close()
    assert waited == [STARTING_SECONDS, PATIENCE_SECONDS, PATIENCE_SECONDS]


def test_a_process_that_does_not_get_there_is_given_up_and_the_next_one_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer()
    with monkeypatch.context() as broken:
        broken.setattr(rendering, "STARTING_SECONDS", 0.0)
        with pytest.raises(Invalid) as refused:
            renderer.render(TEMPLATE, HELLO, prompt=True)
    assert refused.value.code == "template_error"
    assert renderer.render(TEMPLATE, HELLO, prompt=True) == "Hello!"
    renderer.close()
