"""The sample datasets: what is committed is what the tool writes, the test halves are new, and planted faults are there."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.domain.grammar import lists
from app.domain.written.rows import ROLES, Row, answered, asked
from tools.samples import brand_voice, faults, pii_masking, private, support_emails
from tools.samples.grammar import read, runs_of_words, words
from tools.samples.writing import SAMPLES, write

ROOT = Path(__file__).resolve().parents[2]
FILES = ("train.jsonl", "test.jsonl", "sample.json")
EMAIL = re.compile(r"[\w.]+@example\.(?:com|org)\b")
PHONE = re.compile(r"\b555[- ]01\d\d\b")
CARD = re.compile(r"\b\d{4} \d{4,6} \d{4,5}(?: \d{4})?\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: [A-Z0-9]{1,4})+\b")


def rows_of(slug: str, half: str) -> list[Row]:
    """Read the committed rows of one half."""
    return [json.loads(line) for line in (ROOT / "samples" / slug / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()]


def about(slug: str) -> dict[str, Any]:
    """Read what is said about a sample."""
    told: dict[str, Any] = json.loads((ROOT / "samples" / slug / "sample.json").read_text(encoding="utf-8"))
    return told


def by_line(slug: str, fault: str) -> list[Row]:
    """Give the rows of a planted fault that stands alone in its line."""
    train = rows_of(slug, "train")
    return [train[line - 1] for line in about(slug)["planted_lines"][fault]]


def pairs(fault: str) -> list[tuple[str, str]]:
    """Give both e-mails of each planted duplicate."""
    train = rows_of("support-emails", "train")
    found = about("support-emails")["planted_lines"][fault]
    return [(asked(train[one - 1]), asked(train[other - 1])) for one, other in found]


@pytest.mark.parametrize("slug", SAMPLES)
def test_what_is_committed_is_what_the_tool_writes(slug: str, tmp_path: Path) -> None:
    folder = write(slug, tmp_path)
    for name in FILES:
        assert (folder / name).read_bytes() == (ROOT / "samples" / slug / name).read_bytes(), name


@pytest.mark.parametrize("slug", SAMPLES)
def test_a_row_is_three_messages_and_none_is_empty(slug: str) -> None:
    for half in ("train", "test"):
        for row in rows_of(slug, half):
            assert [message["role"] for message in row["messages"]] == list(ROLES)
            assert all(message["content"].strip() for message in row["messages"])


@pytest.mark.parametrize(("slug", "train", "test"), [("support-emails", 700, 120), ("pii-masking", 600, 100), ("brand-voice", 500, 80)])
def test_sizes_are_as_told(slug: str, train: int, test: int) -> None:
    told = about(slug)
    assert (len(rows_of(slug, "train")), len(rows_of(slug, "test"))) == (train, test) == (told["rows"], told["test_rows"])
    assert told["slug"] == slug
    assert {"title", "description", "task", "planted"} <= set(told)


@pytest.mark.parametrize("slug", SAMPLES)
def test_no_five_words_in_a_row_of_a_test_text_stand_in_training(slug: str) -> None:
    trained = set[tuple[str, ...]]().union(*(runs_of_words(asked(row), 5) for row in rows_of(slug, "train")))
    tested = set[tuple[str, ...]]().union(*(runs_of_words(asked(row), 5) for row in rows_of(slug, "test")))
    assert {" ".join(run) for run in trained & tested} == set()


@pytest.mark.parametrize("kind", ["product", "colour", "town", "first", "last", "day", "month"])
def test_the_shop_of_the_test_shares_no_word_with_that_of_training(kind: str) -> None:
    train, test = (set(words(" ".join(lists(read("shop")[half])[kind]))) for half in ("train", "test"))
    assert train & test == set()


@pytest.mark.parametrize("half", ["train", "test"])
def test_an_email_is_answered_by_compact_json_of_known_words(half: str) -> None:
    for row in rows_of("support-emails", half):
        found = json.loads(answered(row))
        assert list(found) == ["intent", "urgency"]
        assert found["intent"] in support_emails.INTENTS
        assert found["urgency"] in support_emails.URGENCIES


@pytest.mark.parametrize("half", ["train", "test"])
@pytest.mark.parametrize(("label", "least"), [("intent", 0.08), ("urgency", 0.2)])
def test_no_label_of_the_emails_is_rare(half: str, label: str, least: float) -> None:
    rows = rows_of("support-emails", half)
    counts = Counter(json.loads(answered(row))[label] for row in rows)
    assert min(counts.values()) / len(rows) >= least


def test_emails_are_neither_long_nor_empty() -> None:
    broken = [asked(row) for row in by_line("support-emails", "broken_emails")]
    lengths = [len(words(asked(row))) for row in rows_of("support-emails", "train") if asked(row) not in broken]
    assert min(lengths) >= support_emails.FEWEST_WORDS
    assert max(lengths) <= support_emails.MOST_WORDS
    assert 30 <= sum(lengths) / len(lengths) <= 36


def test_exact_duplicates_are_planted_and_nothing_else_repeats() -> None:
    assert len(pairs("exact_duplicates")) == about("support-emails")["planted"]["exact_duplicates"] == 12
    assert all(one == other for one, other in pairs("exact_duplicates"))
    assert len({asked(row) for row in rows_of("support-emails", "train")}) == 700 - 12


def test_near_duplicates_are_nearly_but_not_quite_the_same() -> None:
    assert len(pairs("near_duplicates")) == about("support-emails")["planted"]["near_duplicates"] == 10
    for one, other in pairs("near_duplicates"):
        ones, others = runs_of_words(one, 3), runs_of_words(other, 3)
        assert one != other
        assert len(ones & others) / len(ones | others) > 0.75


def test_sixty_emails_hold_personal_data_of_nobody_and_the_others_none() -> None:
    told = {id(row): row for row in by_line("support-emails", "personal_data")}
    assert len(told) == about("support-emails")["planted"]["personal_data"] == 60
    named = {asked(row) for row in told.values()}
    for row in [*rows_of("support-emails", "train"), *rows_of("support-emails", "test")]:
        assert any(kind.search(asked(row)) for kind in (EMAIL, PHONE, CARD, IBAN)) == (asked(row) in named)


def test_accounts_and_cards_have_valid_checksums() -> None:
    known = read("private")
    ibans = [iban for half in ("train", "test") for iban in lists(known["ibans"])[half]]
    assert [iban for iban in ibans if not private.has_valid_iban_checksum(iban)] == []
    assert [card for card in lists(known["cards"])["number"] if not private.has_valid_card_checksum(card)] == []


def test_one_label_is_plainly_wrong() -> None:
    [row] = by_line("support-emails", "wrong_labels")
    assert "password" in asked(row)
    assert json.loads(answered(row))["intent"] == "refund"


def test_two_emails_are_broken_off() -> None:
    assert [asked(row) for row in by_line("support-emails", "broken_emails")] in (list(faults.BROKEN), list(faults.BROKEN[::-1]))


@pytest.mark.parametrize("half", ["train", "test"])
def test_a_masked_text_keeps_every_other_word_and_no_personal_data(half: str) -> None:
    shop = lists(read("shop")[half])
    for row in rows_of("pii-masking", half):
        kept = re.split(r"\[[A-Z]+\]", answered(row))
        assert re.fullmatch(".+?".join(map(re.escape, kept)), asked(row)), asked(row)
        assert not any(kind.search(answered(row)) for kind in (EMAIL, PHONE, IBAN)), answered(row)
        assert not {*shop["first"], *shop["last"]} & set(re.findall(r"[\w-]+", answered(row))), answered(row)


def test_every_kind_is_masked_often_and_some_texts_have_nothing_to_mask() -> None:
    rows = rows_of("pii-masking", "train")
    counts = Counter(kind for row in rows for kind in re.findall(r"\[([A-Z]+)\]", answered(row)))
    assert set(counts) == set(pii_masking.KINDS)
    assert min(counts.values()) >= 60
    assert 0.08 <= sum(asked(row) == answered(row) for row in rows) / len(rows) <= 0.2


@pytest.mark.parametrize("where", ["masking street", "voice tea", "private ibans"])
def test_streets_teas_and_accounts_of_the_test_are_new(where: str) -> None:
    file, word = where.split()
    known = read(file)
    tables = known.get("words", known)
    train, test = (lists(known[word])[half] if word in known else lists(tables[half])[word] for half in ("train", "test"))
    assert set(train) & set(test) == set()


@pytest.mark.parametrize("half", ["train", "test"])
def test_every_answer_of_the_shop_keeps_its_rules(half: str) -> None:
    for row in rows_of("brand-voice", half):
        said, signed = answered(row).split("\n")
        assert signed == brand_voice.SIGN_OFF
        assert len(re.findall(r"\.(?: |$)", said)) == 2, said
        assert not re.search(r"!|\b(?:I|customer|unfortunately|policy|parcel)\b", said), said
        assert set(re.findall(r"\d+", said)) <= set(re.findall(r"\d+", asked(row))), said
