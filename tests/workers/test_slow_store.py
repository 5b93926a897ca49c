"""A store that is slow or away: checkpoints count as they lie on their machine, and get into the store as they can."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.events import AnyEvent, Metric
from app.domain.ports import Sealed
from tests.waiting import until
from tests.workers.packing_scenes import TOKEN, blobs, bring, elsewhere, enter, entered, packs, run_id, save, worker
from workers import packing
from workers.packing import PackedCheckpoint, Packing
from workers.run_checkpoints import newest_good_checkpoint, run_folder
from workers.worker import Worker

__all__ = ["elsewhere", "packs", "run_id", "worker"]


class Gate(threading.Semaphore):
    """The store takes one file for each release of this."""

    def __init__(self) -> None:
        super().__init__(0)
        self.reached = threading.Event()


@pytest.fixture
def gate(packs: Packing, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made, seal = Gate(), worker.storage.seal

    def slowly(source: Path) -> Sealed:
        made.reached.set()
        made.acquire(timeout=30)
        return seal(source)

    monkeypatch.setattr(worker.storage, "seal", slowly)
    yield made
    packs.close()
    made.release(9)
    until(lambda: all(thread.name != "packing" for thread in threading.enumerate()))


def test_nothing_waits_for_the_store_and_a_newer_checkpoint_takes_the_place_of_a_waiting_one(
    worker: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    metric = Metric(step=30, name="train/loss", value=1.0)
    saved: list[AnyEvent] = [save(worker, run_id, step) for step in (10, 20, 30)]
    assert packs.through([saved[0]]) == [saved[0]]
    assert packs.through([saved[1], saved[2], metric]) == [saved[1], saved[2], metric]
    gate.release(2)
    assert [event.step for event in packs.rest(lambda: True) if isinstance(event, PackedCheckpoint)] == [10, 30]


def test_a_worker_killed_while_the_store_is_away_loses_nothing_of_what_lies_on_its_disk(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    gate.release()
    bring(packs, run_id, 10)
    for step in (20, 30, 40):
        enter(worker, run_id, packs.through([save(worker, run_id, step)]))
    # Killed here: nothing more is heard of what was under way.
    assert entered(worker) == {10: ("good", True), 20: ("removed", False), 30: ("good", False), 40: ("good", False)}
    assert [path.name for path in sorted((run_folder(worker, run_id) / "checkpoints").glob("*-t*"))] == ["30-t1", "40-t1"]
    found = newest_good_checkpoint(worker, run_id, TOKEN)
    assert found is not None
    assert found.step == 40
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 10


def test_a_slow_store_has_one_though_newer_ones_displace_it_on_its_way(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    enter(worker, run_id, packs.through([save(worker, run_id, 10)]))
    assert gate.reached.wait(30)
    for step in (20, 30, 40):
        enter(worker, run_id, packs.through([save(worker, run_id, step)]))
    assert entered(worker)[10] == ("removed", False)
    gate.release()
    until(lambda: packs._waiting is None)  # the first got there
    enter(worker, run_id, packs.through([]))
    assert entered(worker)[10] == ("good", True)
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 10
    gate.release()
    enter(worker, run_id, packs.rest(lambda: True))
    assert entered(worker) == {10: ("removed", False), 20: ("removed", False), 30: ("good", False), 40: ("good", True)}
    assert blobs(worker) == 1


def test_one_that_was_let_go_of_before_it_was_packed_is_left_out_without_a_word(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "AGAIN_SECONDS", 0.01)
    gone = save(worker, run_id, 10)
    (run_folder(worker, run_id) / gone.path / "x").unlink()  # as when its removal has begun: no part of one may be sent
    with pytest.raises(FileNotFoundError):
        packing.pack(run_folder(worker, run_id) / gone.path, worker.storage.incoming / "x.tar")
    (worker.storage.incoming / "x.tar").unlink()
    shutil.rmtree(run_folder(worker, run_id) / gone.path)
    packs.through([gone])
    assert packs.rest(lambda: True) == []
    assert list(worker.storage.incoming.iterdir()) == []


def test_a_thread_that_dies_keeps_nobody_waiting(worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as once:
        once.setattr(packing, "pack", broken)
        packs.through([save(worker, run_id, 10)])
        until(lambda: packs._under_way is None)
    bring(packs, run_id, 20)
    assert entered(worker) == {20: ("good", True)}
