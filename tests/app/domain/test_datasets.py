from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.datasets import HELD_OUT_SHARE, Message, Split, Turn, moved_to_fill_both_sides, row_hash, side_by_hash, split_by_hash

HASHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=30)


def test_a_turn_and_a_message_have_the_same_hash() -> None:
    assert row_hash([Turn("user", "Grüß dich\ud800")]) == row_hash([Message.model_construct(role="user", content="Grüß dich\ud800")])


def test_the_hash_of_a_row_never_changes() -> None:
    assert row_hash([Turn("user", "a")]) == "593757134f0028f95a9be7a100fc021facd91d625b5d47a631e65610fdce69d5"


@given(HASHES)
def test_two_distinct_rows_are_enough_for_both_sides(hashes: list[str]) -> None:
    assert (set(split_by_hash(hashes)) == set(Split)) == (len(set(hashes)) > 1)


@given(HASHES)
def test_twins_stay_on_one_side(hashes: list[str]) -> None:
    splits = split_by_hash(hashes * 2)
    assert splits[: len(hashes)] == splits[len(hashes) :]


@given(HASHES)
def test_at_most_one_distinct_row_changes_sides(hashes: list[str]) -> None:
    assert len(moved_to_fill_both_sides(set(hashes))) <= 1


def test_about_a_tenth_is_held_out() -> None:
    hashes = [row_hash([Turn("user", str(number))]) for number in range(5_000)]
    share = sum(side_by_hash(one) is Split.TEST for one in hashes) / len(hashes)
    assert abs(share - HELD_OUT_SHARE) < 0.02


def test_a_single_row_is_there_to_learn_from() -> None:
    held_out = next(one for n in range(100) if side_by_hash(one := row_hash([Turn("user", str(n))])) is Split.TEST)
    assert split_by_hash([held_out, held_out]) == [Split.TRAIN, Split.TRAIN]
