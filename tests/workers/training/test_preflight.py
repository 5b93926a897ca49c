"""What is shown and counted before a run: tokens as they will be trained, spreads, shared beginnings, and what was seen of all rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.domain.datasets import Message, Split, row_hash
from app.domain.fixes import Drop
from app.domain.preflight import Fault, Preflight
from tests.workers.training.tiny import SPECIAL, TEMPLATE, chat, make_tokenizer
from workers.training.masks import Masker
from workers.training.preflight import HEAD_TOKENS, TAIL_TOKENS, Wanted, look
from workers.training.rows import Row
from workers.training.templates import chat_template

CONTEXT = 4096


def masker(template: str = TEMPLATE) -> Masker:
    tokenizer = make_tokenizer([*SPECIAL, "<s>"], bos="<s>", template=template)
    return Masker(tokenizer, chat_template(tokenizer))


def row(number: int, messages: Sequence[Message]) -> Row:
    return Row(tuple(messages), row_hash(messages), Split.TRAIN, number)


def rows(count: int = 20) -> list[Row]:
    """Give rows of ten tokens more each, whose answers have three and their end."""
    return [row(number, chat("z" * 10 * number, "zzz")) for number in range(1, count + 1)]


def seen(given: Sequence[Row], *, max_length: int = 1024, template: str = TEMPLATE, stop_after: int = 10**6, **wanted: int) -> Preflight:
    looked: list[Row] = []

    def go_on(one: Row) -> bool:
        looked.append(one)
        return len(looked) <= stop_after

    return look(given, masker(template), Wanted(max_length, **wanted), context=CONTEXT, go_on=go_on)


def only(found: Preflight) -> Fault:
    [fault] = found.faults
    return fault


def test_the_longest_the_shortest_and_some_by_lot_are_shown() -> None:
    found = seen(rows())
    assert [shown.number for shown in found.rows if shown.why == "longest"] == [20, 19, 18]
    assert [shown.number for shown in found.rows if shown.why == "shortest"] == [1, 2, 3]
    by_lot = [shown.number for shown in found.rows if shown.why == "random"]
    assert len(by_lot) == 3
    assert [shown.number for shown in seen(rows()).rows] == [shown.number for shown in found.rows]
    assert [shown.number for shown in seen(rows(), seed=1).rows if shown.why == "random"] != by_lot


def test_few_rows_are_shown_once_each() -> None:
    assert sorted(shown.number for shown in seen(rows(4)).rows) == [1, 2, 3, 4]


def test_the_pieces_are_the_rendered_text_and_say_what_is_trained() -> None:
    [shown] = seen([row(1, chat("Größe? 🙂", "groß 🙂"))]).rows
    assert "".join(piece.text for piece in shown.pieces) == "<|user|>\nGröße? 🙂<|end|><|assistant|>\ngroß 🙂<|end|>"
    assert "".join(piece.text for piece in shown.pieces if piece.trained) == "groß 🙂<|end|>"
    assert [piece.text for piece in shown.pieces if piece.special] == ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    assert len(shown.pieces) == shown.tokens
    assert shown.trained == sum(piece.trained for piece in shown.pieces)


def test_of_a_very_long_row_beginning_and_end_are_shown() -> None:
    [shown] = seen([row(1, chat("x" * 3000, "blue"))], max_length=CONTEXT).rows
    assert len(shown.pieces) == HEAD_TOKENS + TAIL_TOKENS
    assert shown.skipped == (HEAD_TOKENS, shown.tokens - HEAD_TOKENS - TAIL_TOKENS)
    assert any(piece.trained for piece in shown.pieces)


def test_where_a_row_is_cut_is_shown() -> None:
    [shown] = seen([row(1, chat("x", "y" * 100))], max_length=50).rows
    assert (shown.cut, shown.trained) == (50, 50 - next(n for n, piece in enumerate(shown.pieces) if piece.trained))


def test_the_figures_are_those_of_the_rows() -> None:
    found = seen(rows(), batch_size=8, total_rows=100)
    assert found.tokens is not None
    assert found.answers is not None
    assert (found.answers.min, found.answers.max) == (4, 4)
    assert sum(many for _, _, many in found.tokens.bins) == found.counts.rows == 20
    assert found.tokens.bins[0][0] == found.tokens.min
    assert found.tokens.bins[-1][1] == found.tokens.max + 1
    assert len(found.tokens.bins) <= 40
    assert (found.counts.total, found.steps_per_epoch, found.counts.ends_learnt) == (100, 13, 20)
    assert found.trained_share == pytest.approx(20 * 4 / found.tokens.sum)


def test_shared_beginnings_are_counted_as_a_tree_would_hold_them() -> None:
    same = [row(number, chat("abcdef" * 20, "g")) for number in range(4)]
    found = seen(same, batch_size=2)
    assert found.shared_prefix.all == pytest.approx(3 / 4)
    assert found.shared_prefix.steps == pytest.approx(1 / 2)


def test_what_is_too_little_to_be_computed_apart_counts_as_shared_by_all_rows_alone() -> None:
    short = [row(number, chat("abcdef", "g")) for number in range(4)]
    found = seen(short, batch_size=2)
    assert found.shared_prefix.all == pytest.approx(3 / 4)
    assert found.shared_prefix.steps == 0.0


def test_when_time_is_up_it_says_how_many_were_seen() -> None:
    found = seen(rows(), stop_after=5)
    assert (found.counts.rows, found.counts.total) == (5, 20)
    assert {shown.number for shown in found.rows} <= {1, 2, 3, 18, 19, 20}
    assert seen(rows(), stop_after=0).counts.rows == 1


def test_answers_that_are_cut_are_a_warning_until_they_are_half_of_the_rows() -> None:
    fault = only(seen(rows(), max_length=200))
    assert (fault.code, fault.blocking, fault.fixes[0].id) == ("answers_cut", False, "longer")
    assert "beyond the longest row allowed (max_length: " in fault.sentence
    cut = seen(rows(), max_length=200)
    assert cut.answers is not None
    assert cut.answers.sum == 4 * (20 - cut.counts.answers_cut)
    assert not seen(rows(), **fault.fixes[0].settings).faults
    assert only(seen(rows(), max_length=100)).blocking


def test_rows_to_be_left_out_are_named_as_fixes_count_them() -> None:
    fault = only(seen(rows(), max_length=200))
    [drop] = [fix.data for fix in fault.fixes if fix.data]
    assert isinstance(drop, Drop)
    assert [number + 1 for number in drop.rows or ()] == fault.rows
    assert not any(fix.data for fix in only(seen(rows(), max_length=200, total_rows=500)).fixes)


def test_a_base_that_reads_too_little_is_not_asked_to_read_more() -> None:
    fault = only(seen([row(number, chat("x" * 5000, "blue")) for number in range(4)], max_length=CONTEXT))
    assert (fault.code, fault.blocking, fault.fixes) == ("answers_cut", True, [])


def test_answers_of_weight_0_alone_teach_nothing() -> None:
    asked, answer = chat("a", "b")
    fault = only(seen([row(1, [asked, answer.model_copy(update={"weight": 0})])]))
    assert (fault.code, fault.blocking, fault.fixes) == ("no_trained_tokens", True, [])


def test_some_rows_that_a_template_refuses_are_a_warning_in_its_words() -> None:
    picky = "{% for m in messages %}{% if 'sky' in m.content %}{{ raise_exception('no sky') }}{% endif %}{% endfor %}" + TEMPLATE
    fault = only(seen([*rows(3), row(4, chat("the sky", "blue"))], template=picky))
    assert (fault.code, fault.blocking, fault.rows) == ("template_error", False, [4])
    assert "1 of 4 rows: the chat template refuses it: no sky" in fault.sentence
    assert [fix.id for fix in fault.fixes] == ["plain", "drop"]


def test_control_tokens_in_some_texts_are_a_warning() -> None:
    fault = only(seen([*rows(3), row(4, chat("the <|im_start|>sky", "blue"))]))
    assert (fault.code, fault.blocking, fault.rows, [fix.id for fix in fault.fixes]) == ("other_template", False, [4], ["repair"])


def test_marks_that_are_no_tokens_are_told_and_stop_nothing() -> None:
    turns = "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    fault = only(seen(rows(3), template=turns + "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"))
    assert (fault.code, fault.blocking) == ("other_template", False)
    assert "<|turn|>" in fault.sentence


def test_a_slow_template_ends_the_look() -> None:
    slow = "{% if 'z' in messages[0].content %}{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}{% endif %}"
    found = seen(rows(), template=slow + TEMPLATE)
    assert found.counts.rows == 1
    assert "2 seconds" in only(found).sentence
