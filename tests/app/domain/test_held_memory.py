"""What a run holds from its first step to its last."""

from __future__ import annotations

from app.domain.architectures import Architecture
from app.domain.held_memory import held_by, number_bytes
from app.domain.specs import TrainingSettings

BASE = Architecture.of_size(1e9)


def settings(**given: object) -> TrainingSettings:
    return TrainingSettings.model_validate(given)


def test_auto_is_bf16_but_for_narrow_bases_on_a_processor() -> None:
    narrow = BASE.model_copy(update={"hidden": 64})
    assert [number_bytes(narrow, settings(), kind) for kind in ("cpu", "gpu")] == [4, 2]
    assert [number_bytes(BASE, settings(precision=name), "cpu") for name in ("auto", "bf16", "fp32")] == [2, 2, 4]


def test_masters_are_held_where_products_are_narrower_than_what_is_moved() -> None:
    assert held_by(BASE, settings(tuning="full", precision="bf16"), "gpu").weights == BASE.parameters * 6
    assert held_by(BASE, settings(tuning="full", precision="fp32"), "gpu").weights == BASE.parameters * 4


def test_fast_layers_keep_adapters_in_the_type_of_the_products() -> None:
    trained = BASE.lora_parameters(16)
    assert held_by(BASE, settings(precision="bf16"), "cpu").cast == trained * 2
    assert held_by(BASE, settings(precision="bf16", dropout=0.1), "cpu").cast == 0


def test_only_a_processor_needs_room_to_move_a_weight_with_8_bit_state() -> None:
    wanted = settings(tuning="full", optimiser="adamw_8bit")
    assert held_by(BASE, wanted, "cpu").moving > 0
    assert held_by(BASE, wanted, "gpu").moving == 0
