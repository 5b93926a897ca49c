"""Rows that were tokenised once are not again; what is kept is whole, the same, bounded, and never in the way."""

from __future__ import annotations

import ast
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from app.domain.datasets import Split, row_hash
from tests.workers.training.conftest import Train
from tests.workers.training.test_preflight import row
from tests.workers.training.tiny import SPECIAL, chat, curve, make_tokenizer, read_events, write_spec
from workers import train
from workers.training import material, token_cache
from workers.training.masks import Masker
from workers.training.prepare import Prepared, prepare
from workers.training.rows import Row, Rows
from workers.training.templates import ChatTemplate, chat_template
from workers.training.token_cache import STAGED, STAGED_SECONDS, Made, TokenCache, cache_key

MAX_LENGTH = 30
PICKY = (
    "{% if 'bad' in messages[0].content %}{{ raise_exception('no') }}{% endif %}{% if 'twice' in messages[0].content %}<s>{% endif %}<s>"
)


def template() -> ChatTemplate:
    return chat_template(make_tokenizer())


def some_rows(count: int = 6) -> list[Row]:
    """Give rows of all kinds: cut, silent, beyond the longest, refused, with control tokens, doubled."""
    asked, answer = chat("a", "b")
    silent = asked, answer.model_copy(update={"weight": 0})
    odd = [chat("x" * 50, "blue"), silent, chat("bad", "b"), chat("<|im_start|>", "b"), chat("twice", "b" * 60)]
    plain = [chat(f"{number}: which colour?", "blue") for number in range(count)]
    return [row(number, messages) for number, messages in enumerate([*odd, *plain], 1)]


def made(count: int = 6) -> Made:
    tokenizer = make_tokenizer([*SPECIAL, "<s>"], bos="<s>")
    tokenizer.chat_template = PICKY + str(tokenizer.chat_template)
    masker = Masker(tokenizer, chat_template(tokenizer))
    return Made(*(prepare(side, masker, MAX_LENGTH, check=lambda: None) for side in (some_rows(count), some_rows(1))))


def same(one: Prepared, other: Prepared) -> bool:
    """Say whether nothing differs, arrays and their kinds included."""
    pairs = list(zip(one.rows, other.rows, strict=True))
    alike = all(a.ids.tolist() == b.ids.tolist() and a.trained.tolist() == b.trained.tolist() and a.cut == b.cut for a, b in pairs)
    kinds = all(b.ids.dtype == np.int32 and b.trained.dtype == np.bool_ and b.ids.flags.writeable for _, b in pairs)
    return alike and kinds and all(vars(one)[name] == vars(other)[name] for name in vars(one) if name != "rows")


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    cache, rows = TokenCache(tmp_path / "tokens"), made()
    assert rows.train.refusals
    assert rows.train.beyond
    assert rows.train.silent
    assert rows.train.doubled
    assert rows.train.marked
    assert rows.train.truncated
    cache.keep("a", rows)
    found = cache.find("a")
    assert found is not None
    assert same(rows.train, found.train)
    assert same(rows.held_out, found.held_out)
    assert cache.find("b") is None


def test_no_rows_at_all_are_kept_too(tmp_path: Path) -> None:
    TokenCache(tmp_path).keep("a", Made(made().train, Prepared()))
    found = TokenCache(tmp_path).find("a")
    assert found is not None
    assert found.held_out.rows == []


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "something else"])
def test_a_damaged_file_is_told_and_goes(tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    cache = TokenCache(tmp_path)
    cache.keep("a", made())
    [file] = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    harmed = {"cut": content[:-9], "flipped": content, "emptied": bytearray(), "something else": bytearray(b"\x02\0\0\0\0\0\0\0{}")}
    file.write_bytes(harmed[harm])
    assert cache.find("a") is None
    assert "made anew" in capsys.readouterr().err
    assert not file.exists()


def test_a_folder_that_may_only_be_read_serves_what_is_whole_and_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    cache, rows = TokenCache(tmp_path), made()
    cache.keep("whole", rows)
    (tmp_path / "broken.safetensors").touch()
    monkeypatch.setattr(Path, "unlink", refused)
    monkeypatch.setattr(os, "utime", refused)
    found = cache.find("whole")
    assert found is not None
    assert same(rows.train, found.train)
    assert cache.find("broken") is None


def test_a_disk_that_takes_nothing_costs_only_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.training.token_cache.fits", lambda *_: False)
    TokenCache(tmp_path).keep("a", made())
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    TokenCache(tmp_path / "file" / "below").keep("a", made())


def test_a_write_that_is_cut_short_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    TokenCache(tmp_path).keep("a", made())
    assert not list(tmp_path.iterdir())
    assert "No space left" in capsys.readouterr().err


def test_what_was_unused_for_longest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, rows = TokenCache(tmp_path), made()
    for key, age in {"old": 300, "used": 200, "new": 100}.items():
        cache.keep(key, rows)
        os.utime(tmp_path / f"{key}.safetensors", (time.time() - age,) * 2)
    cache.find("used")
    size = (tmp_path / "old.safetensors").stat().st_size
    monkeypatch.setattr("workers.training.token_cache.MOST_BYTES", 2 * size + rows.size)
    cache.keep("next", rows)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["new", "next", "used"]


def test_what_nobody_uses_goes_after_a_while(tmp_path: Path) -> None:
    cache, rows = TokenCache(tmp_path), made()
    cache.keep("old", rows)
    half, fresh = tmp_path / f"left{STAGED}", tmp_path / f"fresh{STAGED}"
    for path, age in {tmp_path / "old.safetensors": 15 * 86_400, half: STAGED_SECONDS + 60, fresh: 60}.items():
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    cache.keep("new", rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fresh{STAGED}", "new.safetensors"]


def test_what_nobody_uses_goes_too_when_something_else_is_found(tmp_path: Path) -> None:
    cache, rows = TokenCache(tmp_path), made()
    for key in ("old", "found"):
        cache.keep(key, rows)
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 15 * 86_400,) * 2)
    cache.find("found")
    assert [path.name for path in tmp_path.iterdir()] == ["found.safetensors"]


def test_rows_that_are_too_large_to_keep_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.training.token_cache.MOST_OF_ONE", 10)
    TokenCache(tmp_path).keep("a", made())
    assert not list(tmp_path.iterdir())


def test_whatever_decides_the_tokens_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, first = tmp_path / "base", some_rows()
    make_tokenizer().save_pretrained(base)
    keys = [cache_key(base, Rows(first, first[:1]), template(), MAX_LENGTH)]
    assert keys == [cache_key(base, Rows([*first], first[:1]), template(), MAX_LENGTH)]
    plain = chat_template(make_tokenizer(), "plain")
    renumbered = [Row(each.messages, each.hash, Split.TRAIN, each.number + 1) for each in first]
    keys += [
        cache_key(base, Rows(first[::-1], first[:1]), template(), MAX_LENGTH),
        cache_key(base, Rows(first, []), template(), MAX_LENGTH),
    ]
    keys += [
        cache_key(base, Rows(renumbered, first[:1]), template(), MAX_LENGTH),
        cache_key(base, Rows(first, first[:1]), plain, MAX_LENGTH),
    ]
    keys += [cache_key(base, Rows(first, first[:1]), template(), MAX_LENGTH + 1)]
    monkeypatch.setattr("workers.training.token_cache._sources", lambda: "of a later version")
    keys += [cache_key(base, Rows(first, first[:1]), template(), MAX_LENGTH)]
    make_tokenizer(texts=["another text"]).save_pretrained(base)
    keys += [cache_key(base, Rows(first, first[:1]), template(), MAX_LENGTH)]
    assert len(set(keys)) == len(keys) == 8
    assert row_hash(first[0].messages) == first[0].hash


@pytest.mark.parametrize("slow", ["train", "held_out"])
def test_rows_that_were_refused_for_their_time_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    base, tokenizer, cache = tmp_path / "base", make_tokenizer(), TokenCache(tmp_path / "tokens")
    tokenizer.save_pretrained(base)
    masker, rows = Masker(tokenizer, template()), Rows(some_rows(1), some_rows(1))
    late = {side: Prepared(slow=int(side == slow)) for side in ("train", "held_out")}
    sides = iter(late.values())
    with monkeypatch.context() as busy:
        busy.setattr(material, "prepare", lambda *_, **__: next(sides))
        material._made(base, rows, masker, MAX_LENGTH, check=lambda: None, cache=cache)
    again = material._made(base, rows, masker, MAX_LENGTH, check=lambda: None, cache=cache)
    assert len(again.train.rows) == len(again.held_out.rows) == len(rows.train)


def test_a_second_run_trains_bit_for_bit_the_same_and_tokenises_nothing(
    tmp_path: Path, base: Path, rows: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, without = train_here(out="without")
    spec = write_spec(tmp_path, base, rows)
    arguments = [str(spec), "--cache", str(tmp_path / "tokens"), "--out"]
    assert train.main([*arguments, str(tmp_path / "first")]) == 0
    [kept] = (tmp_path / "tokens").iterdir()

    def never(*_: object, **__: object) -> None:
        raise AssertionError(kept)

    monkeypatch.setattr(material, "prepare", never)
    assert train.main([*arguments, str(tmp_path / "second")]) == 0
    assert curve(without) == curve(read_events(tmp_path / "first")) == curve(read_events(tmp_path / "second"))


BESIDE = {"app.domain.errors", "app.domain.datasets", "workers.training.room", "workers.curation.importing"}
"""What these modules import too: what a row is, how one is refused, where there is room."""


def test_all_that_makes_tokens_is_part_of_the_key(root: Path) -> None:
    imported = set()
    for name in filter(re.compile("workers").match, token_cache.OURS):
        tree = ast.parse((root / f"{name.replace('.', '/')}.py").read_text())
        found = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        imported |= {module for module in found if module.startswith(("app.", "workers."))}
    assert imported - BESIDE <= set(token_cache.OURS)
    assert len(token_cache._sources()) == 64
