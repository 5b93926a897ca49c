from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from app.domain import tensorboard


def read(folder: Path) -> EventAccumulator:
    """Return what TensorBoard itself finds in a folder."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


def write(folder: Path, *records: bytes, began_ns: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    (folder / tensorboard.file_name(began_ns)).write_bytes(b"".join(records))


def test_tensorboard_reads_the_numbers_with_their_steps_and_times(tmp_path: Path) -> None:
    losses = [tensorboard.scalars(1000.5 + step, step, [("train/loss", 1 / (step + 1)), ("ä/ö", -2.0)]) for step in range(300)]
    write(tmp_path, tensorboard.head(1000.0), *losses)
    found = read(tmp_path)
    assert found.Tags()["scalars"] == ["train/loss", "ä/ö"]
    assert [(e.step, e.wall_time) for e in found.Scalars("train/loss")] == [(step, 1000.5 + step) for step in range(300)]
    assert [e.value for e in found.Scalars("train/loss")] == pytest.approx([1 / (step + 1) for step in range(300)])


def test_a_later_file_takes_the_place_of_what_it_repeats(tmp_path: Path) -> None:
    write(tmp_path, tensorboard.head(1.0), *[tensorboard.scalars(2.0, step, [("loss", 9.0)]) for step in range(1, 9)], began_ns=5)
    again = [tensorboard.scalars(4.0, step, [("loss", 1.0)]) for step in (4, 5)]
    write(tmp_path, tensorboard.head(3.0, first_step=4), *again, began_ns=40)
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("loss")] == [(1, 9.0), (2, 9.0), (3, 9.0), (4, 1.0), (5, 1.0)]


def test_without_the_mark_of_a_new_start_repeated_steps_stand_twice(tmp_path: Path) -> None:
    write(tmp_path, tensorboard.head(1.0), tensorboard.scalars(2.0, 4, [("loss", 9.0)]), began_ns=5)
    write(tmp_path, tensorboard.head(3.0), tensorboard.scalars(4.0, 4, [("loss", 1.0)]), began_ns=40)
    assert len(read(tmp_path).Scalars("loss")) == 2


def test_settings_and_the_end_stand_under_hparams(tmp_path: Path) -> None:
    chosen: dict[str, bool | float | str | None] = {"rank": 16, "tuning": "qlora", "dora": True, "learning_rate": 2e-4, "max_steps": None}
    write(tmp_path, tensorboard.head(1.0), tensorboard.settings(2.0, chosen), tensorboard.ending(3.0, "succeeded"))
    contents = read(tmp_path).PluginTagToContent("hparams")
    begun = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    told = {name: getattr(value, value.WhichOneof("kind")) for name, value in begun.hparams.items()}
    assert told == {"rank": 16.0, "tuning": "qlora", "dora": True, "learning_rate": 2e-4}
    ended = plugin_data_pb2.HParamsPluginData.FromString(contents[metadata.SESSION_END_INFO_TAG]).session_end_info
    assert (ended.status, ended.end_time_secs) == (1, 3.0)


def test_numbers_that_are_none_and_those_beyond_float32_are_told_as_such(tmp_path: Path) -> None:
    write(tmp_path, tensorboard.head(1.0), *[tensorboard.scalars(1.0, n, [("loss", v)]) for n, v in enumerate((math.nan, 1e300, -1e300))])
    first, *beyond = [e.value for e in read(tmp_path).Scalars("loss")]
    assert math.isnan(first)
    assert beyond == [math.inf, -math.inf]


def test_a_record_that_was_cut_off_ends_what_is_read(tmp_path: Path) -> None:
    whole = tensorboard.scalars(1.0, 1, [("loss", 1.0)])
    write(tmp_path, tensorboard.head(1.0), whole, tensorboard.scalars(1.0, 2, [("loss", 2.0)])[:-3])
    assert [e.step for e in read(tmp_path).Scalars("loss")] == [1]
