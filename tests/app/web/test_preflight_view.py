"""What a preflight comes to in words: rows are counted as rows, however many answers each has."""

from __future__ import annotations

import pytest

from app.domain.fixes import Drop
from app.domain.preflight import Counts, Fault, Piece, Preflight, PreflightFix, SharedPrefix, ShownRow, Spread
from app.web.preflight_view import Rows, cards_of, sentence_of, shared_of


def found(learnt: int = 90, **counts: int) -> Preflight:
    known = dict.fromkeys(Counts.model_fields, 0) | {"rows": 30, "total": 30, "ends_learnt": 30} | counts
    spread = Spread(bins=[], min=1, median=3, p95=3, max=3, sum=learnt)
    end = Piece(2, "<|im_end|>", trained=True, special=True)
    row = ShownRow(number=1, why="random", tokens=8, trained=3, cut=None, pieces=[end])
    return Preflight(
        template="tokenizer", max_length=1024, context=None, counts=Counts(**known), rows=[row], tokens=spread, answers=spread,
        trained_share=0.3, shared_prefix=SharedPrefix(steps=0.0, all=0.0), steps_per_epoch=4, faults=[], seconds=0.1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (found(), "The model would learn 90 tokens in 30 rows; each ends with <|im_end|>."),
        (found(silent=2, ends_learnt=27), "The model would learn 90 tokens in 28 rows."),
        (found(total=1_000, ends_learnt=3), "The model would learn 90 tokens in the 30 rows that were looked at. There are 1,000 in all."),
        (
            found(silent=2, total=50),
            "The model would learn 90 tokens in 28 of the 30 rows that were looked at; each ends with <|im_end|>. There are 50 in all.",
        ),
        (found(0), "The model would learn nothing."),
    ],
)
def test_what_would_be_learnt_is_told_in_rows(seen: Preflight, told: str) -> None:
    assert sentence_of(seen) == told


def test_what_rows_share_is_told_once_it_is_worth_it() -> None:
    def shared(steps: float) -> str:
        return shared_of(found().model_copy(update={"shared_prefix": SharedPrefix(steps=steps, all=0.9)}))

    assert shared(0.7344) == "73 % of this dataset's tokens are shared; where the base allows it they are computed once."
    assert shared(0.004) == ""


def test_rows_to_leave_out_are_those_of_the_version_that_was_looked_at() -> None:
    fix = PreflightFix(id="drop", label="Leave these rows out", help="They go.", data=Drop(problem=None, rows=[2, 5]))
    fault = Fault(code="answers_cut", sentence="2 rows.", why="They teach nothing.", blocking=False, fixes=[fix])
    [card] = cards_of([fault], Rows("d1", "v7"), {})
    assert card.mends[0].href == "/datasets/d1/fix?op=drop&rows=2%2C5&version=v7"
