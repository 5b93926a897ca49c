"""A look at every row: what is counted, what is flagged, and what the findings file says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain.calls import passed_in
from app.domain.datasets import Example, Message, Split, Turn
from app.domain.problems import Finding, Mark, Trouble
from app.gateways.findings import Findings
from app.gateways.tokens import TokenCounter
from tests.workers.curation.checked import asked, looked_at, read_rows
from workers.curation.checking import BUNDLED
from workers.curation.summary import MOST_BYTES, histogram


def summary_of(folder: Path, examples: list[Example]) -> dict[str, Any]:
    return looked_at(folder, examples)[2]


def found_in(folder: Path, examples: list[Example]) -> list[Finding]:
    _, out, _ = looked_at(folder, examples)
    return Findings(out).of(range(len(examples)))


def rows_with(folder: Path, trouble: Trouble, examples: list[Example]) -> list[int]:
    return [finding.row for finding in found_in(folder, examples) if trouble in finding.troubles]


def some(many: int, answer: str = "That is answer number {}, and a good one.") -> list[Example]:
    return [asked(f"What is the story of number {number}?", answer.format(number)) for number in range(many)]


def test_marks_say_in_which_turn_and_where(tmp_path: Path) -> None:
    turns = [Turn("system", "You are {{name}}."), Turn("user", "I am Ada."), Turn("assistant", "Hi Ada, key-1 is yours<|im_end|>")]
    (finding,) = found_in(tmp_path, [Example(turns, rejected=[Turn("assistant", "Who is John?")])])
    assert finding.marks == (
        Mark(0, 8, 16, "PLACEHOLDER"), Mark(1, 5, 8, "NAME"), Mark(2, 3, 6, "NAME"), Mark(2, 8, 13, "SECRET"),
        Mark(2, 22, 32, "CONTROL"), Mark(3, 7, 11, "NAME"),
    )  # fmt: skip
    assert set(finding.troubles) == {Trouble.PLACEHOLDER, Trouble.PII, Trouble.SECRET, Trouble.CONTROL_TOKENS}


def test_what_is_passed_to_tools_is_marked_behind_all_that_is_said(tmp_path: Path) -> None:
    calls = json.dumps([{"id": "1", "type": "function", "function": {"name": "John", "arguments": '{"John": "for Ada", "key": "key-1"}'}}])
    examples = [
        Example([Turn("user", "Look."), Turn("assistant", "No.", calls)], rejected=[Turn("assistant", "Who?", calls)]),
        asked("Who?", "Nobody."),
    ]
    passing, plain = found_in(tmp_path, examples)
    assert passing.marks == (Mark(3, 4, 7, "NAME"), Mark(4, 0, 5, "SECRET"), Mark(5, 4, 7, "NAME"), Mark(6, 0, 5, "SECRET"))
    assert {Trouble.PII, Trouble.SECRET} <= set(passing.troubles)
    assert plain.marks == ()
    row = read_rows(tmp_path / "rows.parquet")[0]
    said = [*row.texts, *(value.text for value in passed_in(row))]
    assert [said[mark.turn][mark.start : mark.end] for mark in passing.marks] == ["Ada", "key-1"] * 2


def test_marks_find_their_turn_in_a_conversation_without_end(tmp_path: Path) -> None:
    turns = [Turn("user", "Go on."), Turn("assistant", "Ada.")] * 20_000
    (finding,) = found_in(tmp_path, [Example(turns)])
    assert finding.marks[-1] == Mark(39_999, 0, 3, "NAME")
    assert len(finding.marks) == 20_000


def test_what_two_checks_find_is_marked_once(tmp_path: Path) -> None:
    (finding,) = found_in(tmp_path, [asked("Who is there?", "Regards, {{Ada}}")])
    assert finding.marks == (Mark(1, 9, 16, "PLACEHOLDER"),)


def test_a_text_that_many_rows_share_is_marked_in_each(tmp_path: Path) -> None:
    shared = [Example([Turn("system", "Ask Ada."), *each.turns]) for each in some(3)]
    assert [finding.marks for finding in found_in(tmp_path, shared)] == [(Mark(0, 4, 7, "NAME"),)] * 3


def test_the_summary_counts_kinds_placeholders_and_secrets(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [asked("Ada and John, {{x y}}", "{{x y}} {{x y}} key-2"), asked("Ada?", "{{z}}"), asked("Hi", "Oh.")])
    assert (summary["pii"], summary["secrets"]) == ({"NAME": 3}, {"SECRET": 1})
    assert summary["placeholders"] == [["{{x y}}", 2], ["{{z}}", 1]]
    assert summary["problems"] == {"placeholder": 2, "pii": 2, "secret": 1}
    assert (summary["rows"], "sampled" in summary) == (3, False)


def test_what_tools_say_is_nobodys_to_fill_in(tmp_path: Path) -> None:
    turns = [Turn("user", "Find it."), Turn("tool", "{{name}} was found"), Turn("assistant", "Found.")]
    assert rows_with(tmp_path, Trouble.PLACEHOLDER, [Example(turns)]) == []


def test_tokens_are_those_the_bundled_base_would_see(tmp_path: Path) -> None:
    texts = ["Hi", "  two spaces", "\nline", "", "naïve 😀 text\n", "<|im_end|> inside", "12345 " * 40]
    examples = [Example([Turn("system", text or "s"), Turn("user", f"{text}?"), Turn("assistant", f"{text}!")]) for text in texts]
    rows, out, summary = looked_at(tmp_path, examples)
    counter = TokenCounter(BUNDLED)
    expected = [counter.count(row.messages) for row in read_rows(rows)]
    found = Findings(out).of(range(len(texts)))
    assert [finding.tokens for finding in found] == expected
    assert summary["tokens"]["row"]["sum"] == sum(expected)
    only = counter.count([Message(role="assistant", content=f"{texts[4]}!")]) - counter.count([Message(role="assistant")])
    assert found[4].answer_tokens == only


def test_of_a_comparison_the_longer_side_counts(tmp_path: Path) -> None:
    worse = Example([Turn("user", "Why?"), Turn("assistant", "So.")], rejected=[Turn("assistant", "Because of all that and more.")])
    same, long = found_in(tmp_path, [Example(worse.turns, rejected=[Turn("assistant", "No.")]), worse])
    assert long.tokens > same.tokens
    assert long.answer_tokens == same.answer_tokens


def test_answers_that_are_not_learnt_do_not_count(tmp_path: Path) -> None:
    turns = [
        Turn("user", "A?"),
        Turn("assistant", "A long answer that nobody learns.", weight=0),
        Turn("user", "B?"),
        Turn("assistant", "Yes."),
    ]
    one, other = found_in(tmp_path, [Example(turns), asked("B?", "Yes.")])
    assert one.answer_tokens == other.answer_tokens


def test_lengths_that_are_far_off_stand_out(tmp_path: Path) -> None:
    long, short = asked("What?", "word " * 400), asked("What is the story of it all, in many words, please?", "x")
    assert rows_with(tmp_path, Trouble.LENGTH_OUTLIER, [*some(40), long, short]) == [40, 41]


def test_a_few_rows_have_no_usual_length(tmp_path: Path) -> None:
    assert rows_with(tmp_path, Trouble.LENGTH_OUTLIER, [*some(10), asked("What?", "word " * 400)]) == []


def test_what_a_good_part_of_the_rows_is_like_is_usual(tmp_path: Path) -> None:
    assert rows_with(tmp_path, Trouble.LENGTH_OUTLIER, [*some(40), *some(5, "{} is" + " word" * 400)]) == []


def test_rows_in_another_language_stand_out(tmp_path: Path) -> None:
    german = asked("Ich habe eine Frage zu meiner Rechnung.", "Gerne, worum geht es denn bei Ihnen?")
    _, out, summary = looked_at(tmp_path, [*some(12), german])
    assert summary["languages"] == [["en", 12], ["de", 1]]
    assert summary["problems"]["other_language"] == 1
    assert Findings(out).of([12])[0].language == "de"


def test_of_a_mix_of_languages_none_is_the_wrong_one(tmp_path: Path) -> None:
    german = [asked(f"Ich habe die Frage Nummer {number} zu meiner Rechnung.", "Gerne, worum geht es denn?") for number in range(4)]
    summary = summary_of(tmp_path, [*some(6), *german])
    assert summary["languages"] == [["en", 6], ["de", 4]]
    assert "other_language" not in summary["problems"]


def test_few_short_answers_are_labels_and_rare_ones_stand_out(tmp_path: Path) -> None:
    examples = [asked(f"Message number {number}", "spam" if number % 2 else "ham ") for number in range(60)]
    examples += [asked("One more of them", "other") for _ in range(2)]
    _, out, summary = looked_at(tmp_path, examples)
    assert summary["labels"] == [["ham", 30], ["spam", 30], ["other", 2]]
    assert summary["problems"]["rare_label"] == 2
    assert [finding.label for finding in Findings(out).of([0, 1, 61])] == ["ham", "spam", "other"]


@pytest.mark.parametrize(
    "examples",
    [
        some(30),
        [asked(f"Question {number}", f"Answer {number}") for number in range(30)],
        [asked(f"Question {number}", "yes") for number in range(30)],
        [asked(f"Question {number}", "yes" if number % 2 else "no", rejected=[Turn("assistant", "maybe")]) for number in range(30)],
        [Example([Turn("text", "yes" if number % 2 else "no")]) for number in range(30)],
    ],
)
def test_other_answers_are_no_labels(tmp_path: Path, examples: list[Example]) -> None:
    _, out, summary = looked_at(tmp_path, examples)
    assert summary["labels"] is None
    assert {finding.label for finding in Findings(out).of(range(30))} == {None}


def test_garbled_text_stands_out(tmp_path: Path) -> None:
    assert rows_with(tmp_path, Trouble.MOJIBAKE, [asked("Wie schÃ¶n?", "Ja."), asked("Wie schön?", "Ja.")]) == [0]


def test_copies_beyond_the_first_are_counted(tmp_path: Path) -> None:
    _, out, summary = looked_at(tmp_path, [*some(3), *some(2), *some(1)])
    assert (summary["problems"]["exact_duplicate"], summary["groups"]["exact"]) == (3, 2)
    assert Findings(out).page(Trouble.EXACT_DUPLICATE, after=-1, limit=9) == ([3, 4, 5], False)
    assert Findings(out).groups(Trouble.EXACT_DUPLICATE, after=-1, limit=9) == [([0, 3, 5], 0), ([1, 4], 1)]


def test_a_summary_stays_small_however_much_there_is_to_tell(tmp_path: Path) -> None:
    labels = [f"{number:03d}" + "é" * 56 for number in range(200)]
    examples = [asked(f"{{{{blank {number}}}}} {label}", label) for number in range(4) for label in labels]
    summary = summary_of(tmp_path, examples)
    assert len(json.dumps(summary)) <= MOST_BYTES
    assert len(summary["labels"]) >= 50


def test_progress_ends_where_it_said(tmp_path: Path) -> None:
    from tests.workers.curation.checked import Patterns, secrets_in, write_rows
    from workers.curation.checking import CheckSpec, check
    from workers.curation.marking import Marker

    told: list[tuple[int, int, int]] = []
    spec = CheckSpec(rows=write_rows(tmp_path / "rows.parquet", some(5)), out=tmp_path / "findings.arrow")
    check(spec, lambda done, total, rows: told.append((done, total, rows)), marker=Marker(Patterns(), secrets_in))
    assert all(done <= total for done, total, _ in told)
    assert told == sorted(told)


@pytest.mark.parametrize("figures", [[], [0], [5] * 9, list(range(1000)), [1, 10**6]])
def test_a_histogram_holds_every_figure_in_few_bins(figures: list[int]) -> None:
    found = histogram(np.array(figures, np.int32))
    assert sum(many for _, _, many in found["bins"]) == len(figures)
    assert len(found["bins"]) <= 40
    assert all(low < high for low, high, _ in found["bins"])
    assert (found["sum"], found["max"]) == (sum(figures), max(figures, default=0))


def test_rows_keep_their_given_sides_while_they_are_looked_at(tmp_path: Path) -> None:
    rows, out, _ = looked_at(tmp_path, [asked("A?", "B.", split=Split.TEST), *some(3)])
    assert Findings(out).rows == len(read_rows(rows)) == 4
