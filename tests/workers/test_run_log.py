"""A run's log reaches the database: whole lines, each attempt's beginning and newest part, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, update

import workers.run_log
from app.config import Settings
from app.db import LogPiece, Run
from app.db.leases import claim, held
from app.db.run_log import end_of_log, log_of
from app.db.session import reading, unit_of_work
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from workers.run_log import LEFT_OUT, LogTail, take_untaken
from workers.worker import Worker


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    """A run that is held."""
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        claim(session, Run, "w", "gpu", has_gpu=False)
    return made


@pytest.fixture
def tail(tmp_path: Path) -> LogTail:
    """The tail of a first attempt."""
    return LogTail(tmp_path / "log.txt")


def write(folder: Path, text: str) -> None:
    with (folder / "log.txt").open("a") as log:
        log.write(text)


def take(engine: Engine, run_id: str, tail: LogTail, *, to_the_end: bool = False, token: int = 1) -> None:
    with unit_of_work(engine) as session:
        tail.take(session, held(session, Run, run_id, token), to_the_end=to_the_end)


def next_attempt(engine: Engine) -> None:
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(status="queued"))
        claim(session, Run, "w", "gpu", has_gpu=False)


def log(engine: Engine, run_id: str) -> str:
    with reading(engine) as session:
        return log_of(session, run_id)


def test_whole_lines_are_taken_once_and_the_rest_at_the_end(engine: Engine, run_id: str, tail: LogTail, tmp_path: Path) -> None:
    assert not tail.has_more()
    write(tmp_path, "one\ntwo\nth")
    assert tail.has_more()
    take(engine, run_id, tail)
    take(engine, run_id, tail)
    assert log(engine, run_id) == "[attempt 1]\none\ntwo\n"
    take(engine, run_id, tail, to_the_end=True)
    assert log(engine, run_id) == "[attempt 1]\none\ntwo\nth"
    assert not tail.has_more()


def test_what_was_not_committed_is_taken_again(engine: Engine, run_id: str, tail: LogTail, tmp_path: Path) -> None:
    write(tmp_path, "one\n")
    with reading(engine) as session:
        tail.take(session, session.get_one(Run, run_id), to_the_end=False)
    take(engine, run_id, tail)
    assert log(engine, run_id) == "[attempt 1]\none\n"


def test_odd_bytes_are_no_trouble(engine: Engine, run_id: str, tail: LogTail, tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("ab") as file:
        file.write(b"a\0b\xffc\n")
    take(engine, run_id, tail)
    assert log(engine, run_id).endswith("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\n")


def test_of_a_long_log_beginning_and_end_stay(
    engine: Engine, run_id: str, tail: LogTail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.run_log, "FIRST_BYTES", 16)
    monkeypatch.setattr(workers.run_log, "NEWEST_BYTES", 40)
    for number in range(20):
        write(tmp_path, f"line {number:03}\n")
        take(engine, run_id, tail)
    kept = [f"line {number:03}\n" for number in range(20)]
    assert log(engine, run_id) == "[attempt 1]\n" + "".join(kept[:2]) + LEFT_OUT + "".join(kept[-4:])
    with reading(engine) as session:
        assert session.query(LogPiece).count() == 7


def test_of_very_much_at_once_the_newest_part_is_taken(
    engine: Engine, run_id: str, tail: LogTail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.run_log, "NEWEST_BYTES", 20)
    write(tmp_path, "".join(f"line {number:03}\n" for number in range(20)))
    take(engine, run_id, tail)
    assert log(engine, run_id) == f"[attempt 1]\n{LEFT_OUT}7\nline 018\nline 019\n"


def test_a_file_that_grows_long_is_emptied_and_goes_on(
    engine: Engine, run_id: str, tail: LogTail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.run_log, "FILE_BYTES", 40)
    for number in range(12):
        write(tmp_path, f"line {number:03}\n")
        take(engine, run_id, tail)
    assert (tmp_path / "log.txt").stat().st_size <= 40
    assert log(engine, run_id) == "[attempt 1]\n" + "".join(f"line {number:03}\n" for number in range(12))


def test_the_last_words_that_nobody_took_are_taken_with_the_next_attempt(
    engine: Engine, run_id: str, tail: LogTail, tmp_path: Path
) -> None:
    write(tmp_path, "one\n")
    take(engine, run_id, tail)
    write(tmp_path, "Killed: out of mem")
    next_attempt(engine)
    tail = LogTail(tmp_path / "log.txt")
    write(tmp_path, "two\n")
    take(engine, run_id, tail, token=2)
    write(tmp_path, "three\n")
    take(engine, run_id, tail, token=2)
    assert log(engine, run_id) == "[attempt 1]\none\nKilled: out of mem\n[attempt 2]\ntwo\nthree\n"


def test_an_attempt_on_a_file_that_was_emptied_takes_all_of_it(engine: Engine, run_id: str, tail: LogTail, tmp_path: Path) -> None:
    write(tmp_path, "what was taken\n")
    take(engine, run_id, tail)
    (tmp_path / "log.txt").write_text("")
    tail = LogTail(tmp_path / "log.txt")
    assert not tail.has_more()
    write(tmp_path, "two\n")
    take(engine, run_id, tail)
    assert log(engine, run_id) == "[attempt 1]\nwhat was taken\ntwo\n"


def test_what_is_written_while_the_file_is_to_be_emptied_is_not_lost(
    engine: Engine, run_id: str, tail: LogTail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.run_log, "FILE_BYTES", 4)
    write(tmp_path, "line 000\n")
    with unit_of_work(engine) as session:
        tail.take(session, held(session, Run, run_id, 1), to_the_end=False)
        write(tmp_path, "line 001\n")
    take(engine, run_id, tail)
    assert log(engine, run_id) == "[attempt 1]\nline 000\nline 001\n"
    assert (tmp_path / "log.txt").stat().st_size == 0


@pytest.mark.parametrize("status", ["failed", "running"])
def test_a_worker_that_starts_takes_what_ended_runs_left(engine: Engine, run_id: str, tmp_path: Path, status: str) -> None:
    worker = Worker(Settings(home=tmp_path), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    for name in (run_id, "of another studio"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write(tmp_path / "runs" / name, "the reason\n")
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(status=status))
    take_untaken(worker)
    take_untaken(worker)
    assert log(engine, run_id) == ("[attempt 1]\nthe reason\n" if status == "failed" else "")


def test_a_page_shows_the_last_whole_lines(engine: Engine, run_id: str) -> None:
    with unit_of_work(engine) as session:
        session.add_all(LogPiece(run_id=run_id, lease_token=1, text=f"line {number:03}\n") for number in range(20))
    with reading(engine) as session:
        assert end_of_log(session, run_id, characters=22) == "line 018\nline 019\n"
        assert end_of_log(session, run_id, characters=10_000).startswith("line 000\n")
        assert end_of_log(session, "another", characters=22) == ""


@pytest.mark.parametrize("end", ["", "\n"])
def test_of_a_line_longer_than_a_page_shows_it_shows_the_end(engine: Engine, run_id: str, end: str) -> None:
    with unit_of_work(engine) as session:
        session.add(LogPiece(run_id=run_id, lease_token=1, text=f"\r1%\r2%\r3%{end}"))
    with reading(engine) as session:
        assert end_of_log(session, run_id, characters=6).endswith(f"\r3%{end}")
