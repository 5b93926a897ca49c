"""The language of a row, or that it is not clear."""

from __future__ import annotations

import pytest

from workers.curation.languages import UNKNOWN, language_of


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["How do I reset my password?", "Open the settings and choose Security."], "en"),
        (["Ich habe eine Frage zu meiner Rechnung.", "Gerne, worum geht es denn?"], "de"),
        (["Bonjour, comment allez-vous ?", "Je vais très bien, merci."], "fr"),
        (["我的订单在哪里？", "您的订单正在路上。"], "zh"),
        (["Где мой заказ?", "Ваш заказ уже в пути."], "ru"),
        (["See https://example.com/a/b/c/d/e/f for it", "Danke, das hat mir sehr geholfen, wirklich."], "de"),
    ],
)
def test_a_clear_case_is_named(texts: list[str], language: str) -> None:
    assert language_of(texts) == language


@pytest.mark.parametrize(
    "texts", [[], [""], ["ok"], ["1234 5678 90"], ["```python\nfor x in range(3): print(x)\n```"], ["lol haha", "hmm"]]
)
def test_what_says_too_little_is_in_no_language(texts: list[str]) -> None:
    assert language_of(texts) == UNKNOWN
