"""What becomes of a dataset when a worker has done something with it: versions, what they were made from, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.db import Dataset, DatasetVersion, EventRow, Import
from app.db.datasets import KEPT_STEPS
from app.db.session import reading, unit_of_work
from app.domain.datasets import DatasetStatus, ImportReport
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.fixes import Drop, Mask, TrimEnd
from app.domain.ports import Brought, Sealed
from app.domain.problems import Trouble
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.desk import Desk
from app.services.removal import Removal
from tests.databases import add_run
from tests.silent_queue import SilentQueue
from workers.dataset_tasks import TASKS, Made, task_of
from workers.import_work import ImportWork
from workers.worker import Worker

DROP = Drop(problem=Trouble.PLACEHOLDER)


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(Settings(home=tmp_path), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.leaving.set()


def services(worker: Worker, session: Session) -> tuple[Datasets, Desk]:
    datasets = Datasets(session, worker.storage, SilentQueue())
    return datasets, Desk(session, worker.storage, datasets)


class Play:
    """A dataset, what is asked of it, and a worker whose children make what the test says."""

    session: Session

    def __init__(self, worker: Worker, by: Identity) -> None:
        self.worker, self.by, self.made = worker, by, 0
        with unit_of_work(worker.engine) as session:
            self.dataset_id = services(worker, session)[0].create(by, name="mails", files=[self.brought("a.jsonl")]).id

    def brought(self, name: str) -> Brought:
        path = self.worker.storage.incoming / f"upload-{name}"
        path.write_text(name)
        return Brought(name, path)

    def ask(self, what: Callable[[Datasets, Desk], object]) -> None:
        with unit_of_work(self.worker.engine) as session:
            what(*services(self.worker, session))

    def do(self, *, rows: int = 10, status: DatasetStatus = DatasetStatus.READY, **more: Any) -> str:
        """End the piece of work that waits, as if its child had made that; return which task it was."""
        with unit_of_work(self.worker.engine) as session:
            row = session.scalars(select(Import).where(Import.status == "queued").order_by(Import.id)).one()
            for state in ("starting", "running", "finalizing"):
                row.move_to(state)  # type: ignore[arg-type]
            task = task_of(row)
            report = ImportReport(status=status, format="chat", rows=rows, train_rows=rows - 1, test_rows=1).model_dump(mode="json")
            kinds = {"check": ["findings"], "fix": ["rows", "aside", *more.pop("also", [])]}.get(
                task, ["rows", "aside"] if status == DatasetStatus.READY else []
            )
            files = {kind: self.worker.storage.seal(self._file(kind)) for kind in kinds}
            why = more.pop("reason", "")
            ImportWork().keep(session, self.worker, row, Made(report | more, why, files))
            row.move_to("succeeded")  # type: ignore[arg-type]
        return task

    def _file(self, kind: str) -> Path:
        self.made += 1
        path = self.worker.storage.incoming / f"{kind}-{self.made}"
        path.write_text(f"{kind} {self.made}")
        return path

    def state(self) -> tuple[int | None, str, int]:
        """Return the number of the version, the dataset's status, and its rows as the report has them."""
        with reading(self.worker.engine) as session:
            dataset = session.get_one(Dataset, self.dataset_id)
            return dataset.version.number if dataset.version else None, dataset.status, dataset.report.get("rows", 0)

    def blobs(self) -> int:
        return sum(path.is_file() for path in (self.worker.storage.folder / "blobs").rglob("*"))

    def files(self) -> list[str]:
        with reading(self.worker.engine) as session:
            return [file.filename for file in session.get_one(Dataset, self.dataset_id).files]

    def report(self) -> dict[str, Any]:
        with reading(self.worker.engine) as session:
            return session.get_one(Dataset, self.dataset_id).report

    def map(self) -> str:
        """Return what is handed out as the map of masks."""
        with reading(self.worker.engine) as session:
            sha256, _ = services(self.worker, session)[1].mask_map(self.by, self.dataset_id)
            return self.worker.storage.path(sha256).read_text()

    def told(self) -> list[str]:
        with reading(self.worker.engine) as session:
            return list(session.scalars(select(EventRow.message).where(EventRow.subject_id == self.dataset_id).order_by(EventRow.id)))


@pytest.fixture
def play(worker: Worker, owner: Identity) -> Play:
    return Play(worker, owner)


def checked(play: Play) -> Play:
    assert [play.do(), play.do()] == ["import", "check"]
    return play


def test_rows_that_were_read_are_looked_at(play: Play) -> None:
    assert play.do() == "import"
    assert play.state() == (1, "ready", 10)
    assert play.do() == "check"
    with reading(play.worker.engine) as session:
        version = session.get_one(Dataset, play.dataset_id).version
        assert version is not None
        assert {each.kind for each in version.files} == {"aside", "findings"}
        assert version.findings["rows"] == 10


def test_a_change_is_a_version_and_can_be_undone(play: Play) -> None:
    checked(play)
    before = play.blobs()
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    assert play.do(rows=7, words="3 rows left out") == "fix"
    assert play.state() == (2, "ready", 7)
    assert play.do(rows=7) == "check"
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert (play.state(), play.blobs()) == ((1, "ready", 10), before)
    assert play.told()[-1] == "Undone: 3 rows left out"
    with pytest.raises(Conflict, match="no earlier state"):
        play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))


def test_undoing_does_not_take_rows_from_a_run(play: Play, worker: Worker, owner: Identity) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    play.do(rows=7)
    play.do()
    with reading(worker.engine) as session:
        version = session.get_one(Dataset, play.dataset_id).version_id
    before = play.blobs()
    run_id = add_run(worker.engine, owner, play.dataset_id, status="failed")
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    with reading(worker.engine) as session:
        assert session.get(DatasetVersion, version) is not None
    assert play.blobs() == before
    with unit_of_work(worker.engine) as session:
        Removal(session, worker.storage, worker.settings.runs, lambda _: False).delete(owner, run_id)
    with reading(worker.engine) as session:
        assert session.get(DatasetVersion, version) is None
    assert (play.state(), play.blobs()) == ((1, "ready", 10), before - 3)


def test_deleting_a_run_leaves_the_rows_that_a_dataset_has_or_can_go_back_to(play: Play, worker: Worker, owner: Identity) -> None:
    checked(play)
    runs = [add_run(worker.engine, owner, play.dataset_id, status="failed")]
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    play.do(rows=7)
    play.do()
    runs.append(add_run(worker.engine, owner, play.dataset_id, status="failed"))
    for run_id in runs:
        with unit_of_work(worker.engine) as session:
            Removal(session, worker.storage, worker.settings.runs, lambda _: False).delete(owner, run_id)
    assert play.state() == (2, "ready", 7)
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert play.state() == (1, "ready", 10)


def test_rows_nobody_has_looked_at_are_changed_only_where_that_needs_nothing(play: Play) -> None:
    play.do()
    with pytest.raises(Conflict, match="not looked at"):
        play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, TrimEnd()))


def test_one_thing_is_done_at_a_time_but_a_look_at_the_rows_makes_room(play: Play) -> None:
    with pytest.raises(Conflict, match="still busy"):
        play.ask(lambda _, desk: desk.check(play.by, play.dataset_id))
    checked(play)
    play.ask(lambda _, desk: desk.check(play.by, play.dataset_id))
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    assert play.do(rows=7) == "fix"


def test_a_fix_that_changes_nothing_makes_no_version(play: Play) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    with unit_of_work(play.worker.engine) as session:
        row = session.scalars(select(Import).where(Import.status == "queued")).one()
        TASKS["fix"].keep(session, play.worker, row, Made({"words": "Nothing changed"}, "Nothing changed."))
    assert play.state()[0] == 1


def test_more_files_come_behind_the_rows_there_are(play: Play) -> None:
    checked(play)
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl"), play.brought("c.csv")]))
    with reading(play.worker.engine) as session:
        row = session.scalars(select(Import).where(Import.status == "queued")).one()
        needed = TASKS["append"].needs(session, row)
    given = needed(play.worker, Path)
    assert ([file["filename"] for file in given["files"]], given["first_file"], bool(given["base"])) == (["b.jsonl", "c.csv"], 1, True)
    assert play.do(rows=25) == "append"
    assert (play.state(), play.told()[-1]) == ((2, "ready", 25), "15 rows were added.")
    play.do()
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert play.state() == (1, "ready", 10)


def test_files_without_a_usable_row_leave_everything_as_it_was(play: Play) -> None:
    checked(play)
    before = play.blobs()
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    assert play.do(rows=0, status=DatasetStatus.FAILED) == "append"
    assert (play.state(), play.blobs()) == ((1, "ready", 10), before)
    with reading(play.worker.engine) as session:
        assert [file.filename for file in session.get_one(Dataset, play.dataset_id).files] == ["a.jsonl"]


def test_only_so_many_changes_are_kept_and_what_a_run_has_used_as_long_as_it_stays(play: Play, worker: Worker, owner: Identity) -> None:
    checked(play)
    run_id = add_run(worker.engine, owner, play.dataset_id, status="failed")
    for _ in range(KEPT_STEPS + 3):
        play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
        play.do()
        play.do()
    versions = select(DatasetVersion.number).order_by(DatasetVersion.number)
    with reading(worker.engine) as session:
        assert session.scalars(versions).all() == [1, *range(4, KEPT_STEPS + 5)]
    with unit_of_work(worker.engine) as session:
        Removal(session, worker.storage, worker.settings.runs, lambda _: False).delete(owner, run_id)
        assert session.scalars(versions).all() == [*range(4, KEPT_STEPS + 5)]


def test_what_is_called_off_leaves_the_rows_there_were(play: Play) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    play.ask(lambda _, desk: desk.cancel(play.by, play.dataset_id))
    assert play.state() == (1, "ready", 10)
    with pytest.raises(Conflict, match="Nothing is being done"):
        play.ask(lambda _, desk: desk.cancel(play.by, play.dataset_id))


def test_what_no_worker_had_yet_is_called_off_whole(play: Play) -> None:
    play.ask(lambda _, desk: desk.cancel(play.by, play.dataset_id))
    assert play.state() == (None, "failed", 0)
    play.ask(lambda datasets, _: datasets.remap(play.by, play.dataset_id, None, None))
    checked(play)
    before = play.blobs()
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    play.ask(lambda _, desk: desk.cancel(play.by, play.dataset_id))
    assert (play.state(), play.blobs(), play.files()) == ((1, "ready", 10), before, ["a.jsonl"])


def test_undoing_brings_back_what_was_set_aside_and_takes_added_files_off(play: Play) -> None:
    problems = [{"line": 3, "reason": "broken", "code": "broken"}]
    assert play.do(problem_count=2, problems=problems, aside={"broken": 1, "no_answer": 1}) == "import"
    play.do()
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, TrimEnd()))
    play.do(rows=11, taken={"no_answer": 1}, problems=problems)
    assert (play.report()["aside"], play.report()["problem_count"]) == ({"broken": 1}, 1)
    play.do(rows=11)
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    play.do(rows=15, problem_count=1, aside={"broken": 1})
    play.do(rows=15)
    assert (play.report()["aside"], play.report()["problem_count"], play.files()) == ({"broken": 2}, 2, ["a.jsonl", "b.jsonl"])
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert (play.report()["aside"], play.report()["rows"], play.files()) == ({"broken": 1}, 11, ["a.jsonl"])
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert (play.report()["aside"], play.report()["problem_count"], play.state()) == ({"broken": 1, "no_answer": 1}, 2, (1, "ready", 10))


def test_rows_set_aside_that_are_not_kept_still_count_when_all_others_are_taken_in(play: Play) -> None:
    play.do(problem_count=12_001, aside={"no_answer": 12_000, "broken": 1}, not_kept={"no_answer": 2_000, "broken": 1})
    play.do()
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, TrimEnd()))
    play.do(rows=20, taken={"no_answer": 10_000}, problems=[])
    counts = [play.report()[name] for name in ("aside", "problem_count", "not_kept", "problems")]
    assert counts == [{"no_answer": 2_000, "broken": 1}, 2_001, {"no_answer": 2_000, "broken": 1}, []]
    play.do(rows=20)
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    play.do(rows=25, problem_count=3, aside={"broken": 3}, not_kept={"broken": 2})
    assert (play.report()["aside"], play.report()["not_kept"]) == ({"no_answer": 2_000, "broken": 4}, {"no_answer": 2_000, "broken": 3})
    play.do(rows=25)
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert play.report()["not_kept"] == {"no_answer": 2_000, "broken": 1}


@pytest.mark.parametrize("status", [DatasetStatus.FAILED, DatasetStatus.NEEDS_MAPPING])
def test_files_that_read_in_another_way_give_nothing_leave_the_rows_there_were(play: Play, status: DatasetStatus) -> None:
    checked(play)
    before = play.blobs()
    play.ask(lambda datasets, _: datasets.remap(play.by, play.dataset_id, None, "Be brief."))
    assert play.do(rows=0, status=status, reason="No row can be used.") == "import"
    assert (play.state(), play.blobs()) == ((1, "ready", 10), before)
    with reading(play.worker.engine) as session:
        dataset = session.get_one(Dataset, play.dataset_id)
        assert (dataset.system, "the rows stay as they were" in dataset.reason) == (None, True)


def test_the_map_of_masks_goes_along_with_the_rows(play: Play) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, Mask(problem=Trouble.PII, keep_map=True)))
    play.do(also=["mask_map"])
    play.do()
    first = play.map()
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
    with reading(play.worker.engine) as session:
        row = session.scalars(select(Import).where(Import.status == "queued")).one()
        given = TASKS["fix"].needs(session, row)(play.worker, Path)
    assert Path(given["mask_map_base"]).read_text() == first
    play.do(also=["mask_map"])
    play.do()
    made = play.map()
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    play.do(rows=25)
    play.do()
    assert play.map() == made
    for _ in range(2):
        play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert play.map() == first != made
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    with pytest.raises(NotFound):
        play.map()


def test_a_map_that_two_versions_share_goes_with_the_last_of_them(play: Play) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, Mask(problem=Trouble.PII, keep_map=True)))
    play.do(also=["mask_map"])
    play.do()
    play.ask(lambda datasets, _: datasets.append(play.by, play.dataset_id, [play.brought("b.jsonl")]))
    play.do(rows=25)
    play.do()
    play.ask(lambda _, desk: desk.undo(play.by, play.dataset_id))
    assert play.map().startswith("mask_map")
    play.ask(lambda datasets, _: datasets.delete(play.by, play.dataset_id))
    assert play.blobs() == 0


def test_rows_that_have_gone_are_a_reason_and_no_crash(play: Play) -> None:
    checked(play)
    play.ask(lambda _, desk: desk.check(play.by, play.dataset_id))
    with unit_of_work(play.worker.engine) as session:
        row = session.scalars(select(Import).where(Import.status == "queued")).one()
        row.task = row.task | {"version_id": "gone"}
        with pytest.raises(Invalid, match="have gone"):
            TASKS["check"].needs(session, row)


def test_files_are_hashed_before_anything_is_locked(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(play)
    locked: list[bool] = []
    seal = LocalStorage.seal

    def note(self: LocalStorage, source: Path) -> Sealed:
        locked.append(play.session.in_transaction() and bool(play.session.connection().connection.dbapi_connection))
        return seal(self, source)

    monkeypatch.setattr(LocalStorage, "seal", note)
    with Session(play.worker.engine) as play.session:
        services(play.worker, play.session)[0].append(play.by, play.dataset_id, [play.brought("b.jsonl")])
        play.session.rollback()
    assert locked == [False]


def test_without_a_map_nobody_can_tell_what_masks_stand_for(play: Play) -> None:
    checked(play)
    with pytest.raises(NotFound):
        play.ask(lambda _, desk: desk.mask_map(play.by, play.dataset_id))


def test_a_dataset_that_is_deleted_takes_all_its_states_along(play: Play) -> None:
    checked(play)
    for _ in range(2):
        play.ask(lambda _, desk: desk.fix(play.by, play.dataset_id, DROP))
        play.do()
        play.do()
    play.ask(lambda datasets, _: datasets.delete(play.by, play.dataset_id))
    assert play.blobs() == 0
