"""What is offered for each problem, and how it is told afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from app.domain.fixes import Balance, Drop, DropLonger, Fill, Fix, KeepBest, Mask, Mend, Outcome, Repair, TrimEnd, offers, told
from app.domain.problems import Trouble

SUMMARY = {"placeholders": [["{{name}}", 7], ["{{author}}", 2]], "labels": [["a", 900], ["b", 200], ["c", 3]]}
MENDED_ONE_BY_ONE = {Trouble.BROKEN, Trouble.EMPTY_ANSWER}


@pytest.mark.parametrize("trouble", list(Trouble))
def test_every_problem_has_a_fix_that_can_be_sent(trouble: Trouble) -> None:
    found = offers(trouble, SUMMARY, max_tokens=1024)
    assert bool(found) is (trouble not in MENDED_ONE_BY_ONE)
    for offer in found:
        sent = TypeAdapter[Any](Fix).validate_json(TypeAdapter[Any](Fix).dump_json(offer.fix))
        assert sent == offer.fix
        assert offer.label
        assert offer.help.endswith(".")


def test_what_needs_a_text_or_a_number_comes_with_a_good_guess() -> None:
    fill, leave_out = offers(Trouble.PLACEHOLDER, SUMMARY)
    assert (fill.asks, fill.fix) == ("texts", Fill(values={"{{name}}": "", "{{author}}": ""}))
    assert leave_out.fix == Drop(problem=Trouble.PLACEHOLDER)
    assert offers(Trouble.RARE_LABEL, SUMMARY)[0].fix == Balance(most=200)
    assert offers(Trouble.TOO_LONG, SUMMARY, max_tokens=512)[0].fix == DropLonger(tokens=512)


def test_of_a_leak_the_test_rows_go() -> None:
    assert [offer.label for offer in offers(Trouble.LEAK, SUMMARY)] == ["Leave these test rows out"]


def test_nothing_is_offered_that_the_rows_give_no_reason_for() -> None:
    assert [offer.fix.op for offer in offers(Trouble.PLACEHOLDER, {})] == ["drop"]
    assert [offer.fix.op for offer in offers(Trouble.RARE_LABEL, {"labels": None})] == ["drop"]
    assert offers(Trouble.TOO_LONG, {}) == []


@pytest.mark.parametrize(
    ("fix", "outcome", "words"),
    [
        (KeepBest(problem=Trouble.NEAR_DUPLICATE), Outcome(dropped=67), "67 rows left out (near duplicates)"),
        (Drop(problem=Trouble.LEAK), Outcome(dropped=1), "1 row left out (test rows seen in training)"),
        (Mask(problem=Trouble.PII), Outcome(changed=1200), "1,200 rows masked (personal data)"),
        (Repair(problem=Trouble.MOJIBAKE), Outcome(changed=2, dropped=1), "2 rows repaired, 1 row left out (garbled characters)"),
        (Fill(values={"{{name}}": "Ada"}), Outcome(changed=85), "85 rows filled in"),
        (Balance(most=200), Outcome(dropped=5), "5 rows left out (frequent labels)"),
        (DropLonger(tokens=2048), Outcome(dropped=5), "5 rows left out (longer than 2,048 tokens)"),
        (TrimEnd(), Outcome(added=3), "3 rows taken in"),
        (Mend(number=4, text="{}"), Outcome(added=1), "1 row taken in"),
        (Drop(problem=Trouble.PII), Outcome(), "Nothing changed (personal data)"),
    ],
)
def test_what_was_done_is_told_in_words(fix: Fix, outcome: Outcome, words: str) -> None:
    assert told(fix, outcome) == words
