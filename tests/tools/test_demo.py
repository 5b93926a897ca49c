"""How the demo judges answers, and what it draws."""

from __future__ import annotations

import pytest

from tools.demo.play import last_line
from tools.demo.scoring import Score, Verdict, judge, score
from tools.demo.terminal import table
from tools.demo.work import Question

WANTED = '{"intent": "refund", "urgency": "high"}'


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (WANTED, Verdict(True, True, True)),
        (' {"urgency":"low","intent":"refund"}\n', Verdict(True, True, False)),
        ('{"intent": "cancel", "urgency": "high"}', Verdict(True, False, True)),
        ('{"intent": "refund"', Verdict(False, False, False)),
        (WANTED + " " + WANTED, Verdict(False, False, False)),
        ('["refund", "high"]', Verdict(False, False, False)),
        ('{"intent": ["refund"], "urgency": null}', Verdict(True, False, False)),
        ("refund", Verdict(False, False, False)),
        ("", Verdict(False, False, False)),
        ("[" * 100_000, Verdict(False, False, False)),
    ],
)
def test_right_is_valid_json_with_the_right_intent(answer: str, verdict: Verdict) -> None:
    assert judge(WANTED, answer) == verdict


def test_what_cannot_be_read_counts_as_wrong() -> None:
    found = score([WANTED] * 4, [WANTED, "refund", '{"intent": "refund", "urgency": "low"}', "{}"])
    assert (found.share_right, found.share_urgency, found.share_unreadable) == (0.5, 0.25, 0.25)


def test_the_last_line_is_as_promised() -> None:
    said = last_line(Score(120, 112, 100, 0), Score(120, 2, 0, 118), 94.7)
    assert said == "Demo: tuned 93 % of 120 held-out e-mails right, base 2 %, trained in 95 s"


def test_an_email_is_known_by_what_it_says_after_the_greeting() -> None:
    prompt = [
        {"role": "system", "content": "Sort."},
        {"role": "user", "content": "Hi there,\n\nWhere is my umbrella? It left a week ago.\n\nMo"},
    ]
    assert Question(prompt, WANTED).gist == "Where is my umbrella? It left a week ago."


def test_a_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    drawn = table(("E-mail", "Expected"), [("word " * 40, "refund, high"), ("two\nlines", "x")]).splitlines()
    assert max(map(len, drawn)) <= 60
    assert drawn[3].startswith("  two lines")
