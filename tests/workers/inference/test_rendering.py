"""The process in which templates are rendered: what it is waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.domain.errors import Unavailable
from workers.inference import rendering
from workers.inference.rendering import PATIENCE_SECONDS, STARTING_SECONDS, Renderer
from workers.training.templates import ChatTemplate

TEMPLATE = ChatTemplate("{{ messages[0].content }}!", {}, "tokenizer")
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    made = Renderer()
    yield made
    made.close()


def test_that_the_process_takes_long_to_be_there_is_not_laid_at_the_templates_door(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    read = rendering._read_line

    def note(descriptor: int, patience: float) -> bytes:
        waited.append(patience)
        return read(descriptor, patience)

    monkeypatch.setattr(rendering, "_read_line", note)
    assert [renderer.render(TEMPLATE, HELLO, prompt=True) for _ in range(2)] == ["Hello!", "Hello!"]
    assert waited == [STARTING_SECONDS, PATIENCE_SECONDS, PATIENCE_SECONDS]


@pytest.mark.parametrize("said", [b"", b"something a library prints\n"])
def test_a_process_that_does_not_start_is_no_fault_of_the_template_and_another_is_asked_next(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(rendering, "_read_line", lambda *_: said)
        with pytest.raises(Unavailable, match="did not start"):
            renderer.render(TEMPLATE, HELLO, prompt=True)
    assert renderer._child._child is None
    assert renderer.render(TEMPLATE, HELLO, prompt=True) == "Hello!"
