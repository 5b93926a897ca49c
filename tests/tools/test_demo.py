"""How the demo judges answers, and what it draws."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from tools.demo import __main__ as demo
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


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), TimeoutError("/api/v1/runs/1 did not get there")])
def test_a_studio_that_stops_answering_is_said_so_with_where_to_look(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("tools.running.start", break_off)
    monkeypatch.setattr(sys, "argv", ["demo", "--home", str(tmp_path)])
    assert demo._run(demo._arguments()) == 1
    said = capsys.readouterr().err
    assert str(failure) in said
    assert str(tmp_path / "logs" / "hone.log") in said


def test_a_preset_that_is_none_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--preset", "fast"])
    with pytest.raises(SystemExit):
        demo._arguments()
    assert "quick" in capsys.readouterr().err
