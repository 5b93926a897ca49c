"""A checkpoint is whole, or it is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.checkpoints import CheckpointBroken, verify
from workers.training.checkpoints import Checkpoints
from workers.training.room import NoRoom


def write(folder: Path) -> None:
    (folder / "weights").write_text("numbers")
    (folder / "state").write_text("more")


def test_the_newest_one_that_verifies_is_found_not_the_highest_name(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, lease_token=3, keep=None)
    for step in (9, 10, 100):
        checkpoints.save(step, write)
    (tmp_path / "100-t3" / "weights").write_text("Numbers")
    (tmp_path / "200-t3").mkdir()
    (tmp_path / ".staging" / "300-t3").mkdir(parents=True)
    assert checkpoints.newest_good() == tmp_path / "10-t3"


@pytest.mark.parametrize("damage", ["missing", "longer", "changed", "no manifest"])
def test_any_damage_is_noticed(damage: str, tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path, lease_token=0, keep=None).save(1, write)
    harm: dict[str, Callable[[], object]] = {
        "missing": (folder / "state").unlink,
        "longer": lambda: (folder / "state").write_text("more!"),
        "changed": lambda: (folder / "state").write_text("mOre"),
        "no manifest": lambda: (folder / "manifest.json").write_text("{}"),
    }
    harm[damage]()
    with pytest.raises(CheckpointBroken):
        verify(folder)


def test_a_failing_save_leaves_the_earlier_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, lease_token=0, keep=1)
    checkpoints.save(1, write)

    def full(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(NoRoom):
        checkpoints.save(2, full)
    assert checkpoints.newest_good() == tmp_path / "1-t0"


def test_older_ones_go_only_when_asked(tmp_path: Path) -> None:
    for keep, left in ((2, {"2-t0", "3-t0"}), (None, {"1-t0", "2-t0", "3-t0"})):
        folder = tmp_path / str(keep)
        for step in (1, 2, 3):
            Checkpoints(folder, lease_token=0, keep=keep).save(step, write)
        assert {path.name for path in folder.iterdir()} - {".staging"} == left


def room_for(number: int, folder: Path) -> Callable[[Path, int], bool]:
    """Return a disk that takes so many checkpoints."""
    return lambda _folder, _size: len([path for path in folder.iterdir() if path.name != ".staging"]) < number


def test_room_is_made_at_the_price_of_all_but_the_newest_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, lease_token=0, keep=2)
    for step in (1, 2):
        checkpoints.save(step, write)
    (tmp_path / "3-t0").mkdir()
    monkeypatch.setattr("workers.training.checkpoints.fits", room_for(2, tmp_path))

    def look_and_write(folder: Path) -> None:
        assert checkpoints.newest_good() == tmp_path / "2-t0"
        write(folder)

    checkpoints.save(4, look_and_write)
    assert {path.name for path in tmp_path.iterdir()} - {".staging"} == {"4-t0"}


def test_a_supervisor_s_checkpoints_are_never_dropped_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, lease_token=0, keep=None)
    for step in (1, 2):
        checkpoints.save(step, write)
    monkeypatch.setattr("workers.training.checkpoints.fits", room_for(2, tmp_path))
    with pytest.raises(NoRoom):
        checkpoints.save(3, write)
    assert {path.name for path in tmp_path.iterdir()} - {".staging"} == {"1-t0", "2-t0"}


def test_what_an_earlier_attempt_left_half_written_is_dropped(tmp_path: Path) -> None:
    (tmp_path / ".staging" / "300-t3").mkdir(parents=True)
    Checkpoints(tmp_path, lease_token=4, keep=None)
    assert not (tmp_path / ".staging" / "300-t3").exists()


def test_a_trainer_that_slept_past_its_lease_leaves_alone_what_a_later_one_is_saving(tmp_path: Path) -> None:
    later = Checkpoints(tmp_path, lease_token=2, keep=None)

    def write_while_the_earlier_wakes_up(folder: Path) -> None:
        write(folder)
        Checkpoints(tmp_path, lease_token=1, keep=None)

    verify(later.save(5, write_while_the_earlier_wakes_up))
