"""Specs: presets, defaults, and what is refused by name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.differences import words_for
from app.domain.errors import Invalid
from app.domain.specs import NEWER, Preset, RunRequest, TrainingSettings, parse_settings, settings_for


def test_no_preset_is_balanced_and_settings_go_over_it() -> None:
    assert settings_for(None, {}) == settings_for(Preset.BALANCED, {})
    assert settings_for(Preset.QUICK, {"epochs": 7}).epochs == 7
    assert settings_for(Preset.THOROUGH, {}).rank > settings_for(Preset.QUICK, {}).rank


def test_alpha_is_twice_the_rank_unless_given() -> None:
    assert TrainingSettings(rank=8).alpha == 16
    assert TrainingSettings(rank=8, alpha=4).alpha == 4


@pytest.mark.parametrize(
    ("rows", "settings", "steps"),
    [
        (600, {"epochs": 2, "batch_size": 16}, 75),
        (7, {"epochs": 1, "batch_size": 4}, 2),
        (100, {"epochs": 1.1, "batch_size": 10}, 11),
        (1, {"epochs": 1e-9, "batch_size": 8}, 1),
    ],
)
def test_steps_cover_the_rows(rows: int, settings: dict[str, float], steps: int) -> None:
    assert TrainingSettings.model_validate(settings).total_steps(rows) == steps
    assert TrainingSettings.model_validate({**settings, "max_steps": 3}).total_steps(rows) == 3


def test_small_bases_learn_faster_and_unknown_ones_wait() -> None:
    settings = TrainingSettings()
    assert settings.filled_in(training_rows=100, parameters=6_000_000).learning_rate == 2e-3
    assert settings.filled_in(training_rows=100, parameters=600_000_000).learning_rate == 2e-4
    assert settings.filled_in(training_rows=100, parameters=None).learning_rate == "auto"
    whole = TrainingSettings(tuning="full")
    assert whole.filled_in(training_rows=100, parameters=600_000_000).learning_rate == 2e-5
    assert whole.filled_in(training_rows=100, parameters=6_000_000).learning_rate == 5e-4
    assert settings.filled_in(training_rows=800, parameters=None).eval_every_steps == 75


@pytest.mark.parametrize(
    "given", [{"lr": 1}, {"tuning": "whole"}, {"lora_plus": 0.5}, {"rank": 0}, {"epochs": 0}, {"learning_rate": "fast"}, {"device": "tpu"}]
)
def test_nonsense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(given)


@pytest.mark.parametrize("given", [{"adapter": "dora"}, {"rslora": True}, {"lora_plus": 16}, {"dropout": 0.1}])
def test_full_tuning_refuses_what_only_an_adapter_has_and_names_it(given: dict[str, object]) -> None:
    assert settings_for(None, {"tuning": "qlora", **given}).tuning == "qlora"
    request = RunRequest(name="n", base_model="b", dataset_id="d", settings={"tuning": "full", **given})
    with pytest.raises(Invalid) as refused:
        parse_settings(request)
    assert refused.value.param == f"settings.{next(iter(given))}"
    assert "full fine-tuning has no adapter" in refused.value.message


def test_full_tuning_takes_every_default_and_what_was_filled_in() -> None:
    settings = settings_for(None, {"tuning": "full"})
    assert TrainingSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "LoRA, rank 16"),
        ({"tuning": "qlora", "adapter": "dora"}, "QDoRA, rank 16"),
        ({"rslora": True, "lora_plus": 16, "rank": 64}, "LoRA+, rank 64 (rsLoRA)"),
        ({"tuning": "full"}, "full tuning"),
    ],
)
def test_what_is_trained_is_told_in_a_few_words(given: dict[str, object], words: str) -> None:
    assert TrainingSettings.model_validate(given).in_words == words


def test_what_stands_for_the_absence_of_a_newer_setting_is_its_default() -> None:
    told = TrainingSettings().model_dump()
    assert {name: told[name] for name in NEWER} == NEWER


ENDLESS = ["epochs", "learning_rate", "alpha", "dropout", "warmup_ratio", "weight_decay", "max_grad_norm", "lora_plus"]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", ENDLESS)
def test_no_setting_is_endless(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate({name: value})


@pytest.mark.parametrize("name", ["max_steps", "eval_every_steps", "checkpoint_every_steps", "micro_batch_size"])
def test_no_count_is_larger_than_a_column(name: str) -> None:
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate({name: 10**20})


def test_epochs_times_rows_are_bounded_too() -> None:
    with pytest.raises(Invalid) as refused:
        TrainingSettings(epochs=1000, batch_size=1, eval_every_steps=1).filled_in(training_rows=2_000_000, parameters=None)
    assert refused.value.param == "settings.epochs"


def test_prompts_of_ones_own_are_given_one_a_line_or_as_a_list() -> None:
    for given in ("What is a token?\r\n\n  And a row? ", ["What is a token?", "And a row?"]):
        assert TrainingSettings(sample_prompts=given).sample_prompts == ("What is a token?", "And a row?")
    several = TrainingSettings(sample_prompts=["Dear Ann,\r\n\n  who are you? ", "And a row?"])
    assert several.sample_prompts == ("Dear Ann, who are you?", "And a row?")
    assert TrainingSettings(sample_prompts=words_for("sample_prompts", several.sample_prompts)) == several
    with pytest.raises(ValidationError, match="at least 1"):
        TrainingSettings(sample_prompts=[" \n"])
    with pytest.raises(ValidationError, match="at most 8"):
        TrainingSettings(sample_prompts=("x",) * 9)
