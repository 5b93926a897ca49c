"""What a run takes in memory, part by part, and what is given up so that it fits."""

from __future__ import annotations

import pytest

from app.domain.accelerators import Unit
from app.domain.architectures import Architecture
from app.domain.figures import in_bytes
from app.domain.memory_estimate import MemoryEstimate, estimate_memory, fits
from app.domain.packs import Work
from app.domain.specs import TrainingSettings

SEVEN_B = Architecture.of_size(7e9)
SMALL = Architecture.of_size(135e6)
WORK = Work(rows=1000, steps=375, mean_tokens=300, longest_tokens=1024)
GB = 10**9


def told(
    arch: Architecture = SEVEN_B, kind: Unit = "gpu", capacity: int | None = None, work: Work = WORK, **given: object
) -> MemoryEstimate:
    return estimate_memory(arch, TrainingSettings.model_validate({"precision": "bf16"} | given), work, kind, capacity)


def part(found: MemoryEstimate, key: str) -> int:
    return next((each.bytes for each in found.parts if each.key == key), 0)


def test_parts_add_up_and_each_lies_within_its_range() -> None:
    found = told()
    assert found.total == sum(each.bytes for each in found.parts)
    assert all(each.low <= each.bytes <= each.high for each in found.parts)
    assert all(each.arithmetic.endswith(f"= {in_bytes(each.bytes)}") for each in found.parts)


def test_no_part_of_a_small_model_is_told_as_nothing() -> None:
    found = told(Architecture.of_size(1e6), "cpu", precision="fp32")
    assert all("0.00 GB" not in each.arithmetic for each in found.parts)
    assert "= 4.0 MB" in next(each.arithmetic for each in found.parts if each.key == "weights")


def test_weights_of_an_adapter_s_base_take_what_their_numbers_take() -> None:
    assert part(told(), "weights") == 14 * GB
    assert part(told(precision="fp32"), "weights") == 28 * GB
    packed = told(tuning="qlora")
    others = SEVEN_B.parameters - SEVEN_B.linear_parameters
    assert part(packed, "weights") == round(SEVEN_B.linear_parameters / 2 + others * 2)
    assert part(packed, "quantisation") == pytest.approx(SEVEN_B.linear_parameters * 0.127 / 8, rel=0.01)


def test_full_tuning_holds_masters_gradients_and_two_states_for_each_weight() -> None:
    found = told(tuning="full", optimiser="adamw")
    assert (part(found, "weights"), part(found, "gradients"), part(found, "optimiser")) == (42 * GB, 28 * GB, 56 * GB)
    assert part(found, "adapter") == 0


def test_four_bits_take_paged_state_in_8_bits_on_a_gpu_and_none_on_a_processor() -> None:
    trained = SEVEN_B.lora_parameters(16)
    assert part(told(tuning="qlora"), "optimiser") == pytest.approx(trained * 2.03, rel=0.01)
    assert part(told(tuning="qlora", kind="cpu"), "optimiser") == trained * 8


def test_a_processor_keeps_the_file_that_four_bit_weights_were_read_from() -> None:
    assert part(told(tuning="qlora", kind="cpu"), "weights") > part(told(kind="cpu"), "weights")
    assert "stays mapped" in told(tuning="qlora", kind="cpu").parts[0].arithmetic
    assert part(told(tuning="qlora", kind="cpu", precision="fp32"), "weights") < 8 * GB


def test_one_pack_s_gradients_take_the_room_of_what_it_kept() -> None:
    short = Work(rows=100, steps=10, mean_tokens=100, longest_tokens=100)
    alone = told(SMALL, "cpu", work=short, tuning="full", batch_size=8)
    many = told(SMALL, "cpu", work=short, tuning="full", batch_size=8, micro_batch_size=4)
    assert part(alone, "activations") < part(many, "activations")  # though twice as many rows are computed at once
    assert "gone when the gradients need room" in next(each for each in alone.parts if each.key == "activations").arithmetic


def test_a_processor_needs_room_to_move_the_largest_weight_with_8_bit_state() -> None:
    short = Work(rows=100, steps=10, mean_tokens=50, longest_tokens=50)
    narrow, wide = (told(SMALL, "cpu", work=short, tuning="full", precision="fp32", optimiser=kind) for kind in ("adamw_8bit", "adamw"))
    state = part(narrow, "optimiser") - SMALL.parameters * 2
    assert state > 0.2 * GB
    assert part(wide, "optimiser") == SMALL.parameters * 8


def test_longer_rows_and_more_of_them_take_more() -> None:
    sizes = [part(told(max_length=1024, batch_size=size, work=WORK), "activations") for size in (1, 2, 4, 8)]
    assert sizes == sorted(sizes)
    longer = WORK.model_copy(update={"mean_tokens": 600.0})
    assert part(told(work=longer), "activations") > part(told(), "activations")


def test_what_is_given_up_to_fit_costs_least_first() -> None:
    work = Work(rows=1000, steps=10, mean_tokens=1000, longest_tokens=1024)
    free = told(SMALL, work=work)
    assert (free.micro_batch, free.layers_twice) == (8, 0)
    needs = [told(SMALL, work=work, capacity=capacity * 100 * 10**6) for capacity in range(110, 0, -5)]
    packs, twice = [each.micro_batch for each in needs], [each.layers_twice for each in needs]
    assert packs == sorted(packs, reverse=True)
    assert twice == sorted(twice)
    assert all(rows == 1 for rows, count in zip(packs, twice, strict=True) if count)
    assert twice[-1] == SMALL.layers


def test_what_settings_say_is_not_changed_to_fit() -> None:
    found = told(SMALL, capacity=GB, gradient_checkpointing=3)
    assert (found.fits, found.layers_twice) == ("no", 3)
    assert told(SMALL, gradient_checkpointing=1000).layers_twice == SMALL.layers


@pytest.mark.parametrize(("capacity", "said"), [(None, "unknown"), (30, "yes"), (22, "tight"), (20, "tight"), (10, "no")])
def test_what_fits_is_told_with_its_doubt(capacity: int | None, said: str) -> None:
    assert fits(18, 21, 25, capacity) == said
