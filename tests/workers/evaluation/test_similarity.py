"""Which rows are nearest: by the words that few of them have."""

from __future__ import annotations

from workers.evaluation.similarity import Nearest, words_of

ROWS = ["When is the shop open?", "The kettle arrived broken.", "Where is the kettle that I ordered?", "Is the shop open on Sunday?"]


def test_the_nearest_share_the_rarest_words() -> None:
    nearest = Nearest(ROWS)
    assert nearest.to("my kettle came broken", 2) == [1, 2]
    assert nearest.to("SUNDAY, open?", 1) == [3]


def test_of_rows_that_share_nothing_the_first_are_taken() -> None:
    assert Nearest(ROWS).to("quite different", 2) == [0, 1]
    assert Nearest(ROWS).to("", 9) == [0, 1, 2, 3]


def test_without_rows_nothing_is_near() -> None:
    assert Nearest([]).to("anything", 4) == []


def test_rows_without_words_do_no_harm() -> None:
    assert Nearest(["!!!", "tea"]).to("tea", 1) == [1]
    assert Nearest(["!!!", "…"]).to("???", 1) == [0]


def test_scripts_without_spaces_are_told_apart_by_pairs_of_letters() -> None:
    assert Nearest(["今日は天気がいい", "明日の会議は何時"]).to("会議はいつ", 1) == [1]
    assert "会議" in words_of("明日の会議")
