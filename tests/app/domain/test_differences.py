from __future__ import annotations

from typing import Any

from app.domain.differences import Difference, chosen, differences, differing_rows
from app.domain.specs import NEWER, Preset, TrainingSettings, settings_for


def spec(*, rows: int = 160, **given: Any) -> dict[str, Any]:
    settings = TrainingSettings(**given).filled_in(training_rows=rows, parameters=6_000_000)
    made = {"base_model": "hone-starter", "dataset": "mails", "eval_dataset": None, "method": "sft"}
    return made | {"settings": settings.model_dump(mode="json"), "total_steps": settings.total_steps(rows)}


def test_equal_specs_do_not_differ() -> None:
    assert differences(spec(), spec()) == []


def test_what_differs_is_told_in_words_in_the_order_of_a_spec() -> None:
    found = differences(spec(epochs=4), spec(epochs=2.5, max_steps=20, tuning="qlora") | {"dataset": "calls", "eval_dataset": "test"})
    assert found == [
        Difference("dataset", "dataset", "mails", "calls"),
        Difference("eval_dataset", "held-out rows", "a tenth of the dataset", "test"),
        Difference("tuning", "tuning", "lora", "qlora"),
        Difference("epochs", "epochs", "4", "2.5"),
        Difference("max_steps", "max steps", "no limit", "20"),
    ]


def test_what_only_follows_from_another_setting_is_left_out() -> None:
    assert [d.label for d in differences(spec(rank=16, epochs=4), spec(rank=32, epochs=8))] == ["epochs", "rank"]


def test_what_somebody_chose_is_told_though_the_other_followed() -> None:
    [alpha, checks] = differences(spec(), spec(alpha=8, eval_every_steps=3))
    assert (alpha.before, alpha.after, checks.label, checks.after) == ("32", "8", "eval every steps", "3")


def test_an_integer_and_the_same_number_with_a_point_are_the_same() -> None:
    stored = spec(epochs=4)
    stored["settings"] = stored["settings"] | {"epochs": 4.0}
    assert differences(spec(epochs=4), stored) == []


def test_settings_that_an_older_run_did_not_have_are_told() -> None:
    older = spec()
    older["settings"] = {name: value for name, value in older["settings"].items() if name != "dropout"}
    assert differences(older, spec()) == [Difference("dropout", "dropout", "–", "0")]


def test_several_runs_are_compared_side_by_side() -> None:
    [row] = differing_rows([spec(rank=8), spec(rank=16), spec(rank=8)])
    assert (row.label, row.values) == ("rank", ("8", "16", "8"))


def test_a_preset_chosen_as_it_is_leaves_nothing_to_fill_in() -> None:
    for preset in Preset:
        settings = settings_for(preset, {}).filled_in(training_rows=614, parameters=6_000_000)
        assert chosen(settings.model_dump(mode="json"), preset, total_steps=settings.total_steps(614), parameters=6_000_000) == {}


def test_what_was_chosen_over_a_preset_is_filled_in_again() -> None:
    given = {"rank": 64, "learning_rate": 0.001, "seed": 7, "eval_every_steps": 5}
    settings = settings_for(Preset.QUICK, given).filled_in(training_rows=614, parameters=6_000_000)
    assert chosen(settings.model_dump(mode="json"), Preset.QUICK, total_steps=settings.total_steps(614), parameters=6_000_000) == given


def test_other_rows_are_told_only_of_a_dataset_of_the_same_name() -> None:
    before = spec() | {"rows": "5f2a"}
    assert [d.label for d in differences(before, spec() | {"rows": "91c0"})] == ["rows of the dataset"]
    assert [d.label for d in differences(before, spec() | {"rows": "91c0", "dataset": "calls"})] == ["dataset"]


def test_settings_that_came_later_are_what_they_are_when_nobody_chooses() -> None:
    older = spec()
    older["settings"] = {name: value for name, value in older["settings"].items() if name not in NEWER}
    assert differences(older, spec()) == []
    assert differences(older, spec(rslora=True)) == [Difference("rslora", "rsLoRA", "no", "yes")]


def test_the_learning_rate_of_full_tuning_is_nobody_s_choice() -> None:
    told = spec(tuning="full")["settings"]
    assert chosen(told, Preset.BALANCED, total_steps=120, parameters=6_000_000) == {"tuning": "full"}
