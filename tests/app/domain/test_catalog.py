from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from app.domain.catalog import Asked, Catalog, Need, Size, Task, size_of
from app.domain.errors import NotFound
from app.gateways.catalog import read_catalog
from tests.facts import FACTS


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(Path(__file__).parents[3] / "catalog")


def test_every_family_is_there(catalog: Catalog) -> None:
    families = {model.family_title for model in catalog.models}
    assert families >= {
        "Phi-4", "Gemma 3", "Gemma 3n", "Qwen 3", "Qwen 3.5", "Llama 3", "SmolLM2", "SmolLM3", "Ministral 3", "gpt-oss", "Granite 4",
        "Ternary Bonsai", "Qwen 2.5", "Hone",
    }  # fmt: skip


@pytest.mark.parametrize(("hub_id", "parameters"), FACTS.items())
def test_a_models_parameters_are_those_that_were_published(catalog: Catalog, hub_id: str, parameters: int) -> None:
    model = catalog.by_hub_id(hub_id)
    assert model
    assert model.architecture
    assert model.parameters == parameters


def test_a_model_without_a_known_config_has_a_size_in_words_and_no_measures(catalog: Catalog) -> None:
    model = catalog.get("ternary-bonsai-8b")
    assert (model.architecture, model.parameters) == (None, 8_000_000_000)
    assert "by its name" in model.size_note
    assert all(model.architecture or model.size_note for model in catalog.models)


def test_what_is_left_out_of_a_count_is_said(catalog: Catalog) -> None:
    architecture = catalog.get("ministral-3-3b-instruct").architecture
    assert architecture
    assert not architecture.exact
    assert "sees pictures" in architecture.gap


def test_an_instruction_model_measures_as_the_base_it_was_trained_from(catalog: Catalog) -> None:
    assert catalog.get("llama-3.2-1b-instruct").architecture == catalog.get("llama-3.2-1b").architecture
    assert catalog.get("llama-3.2-1b-instruct").chat_template
    assert not catalog.get("llama-3.2-1b").chat_template


@pytest.mark.parametrize(
    ("slug", "context"),
    [("granite-4.0-h-tiny", 131_072), ("granite-4.0-micro", 131_072), ("phi-4", 16_384), ("gemma-3-1b-it", 32_768), ("smollm3-3b", 65_536)],
)
def test_a_context_is_what_its_maker_names_and_no_converters_filler(catalog: Catalog, slug: str, context: int) -> None:
    architecture = catalog.get(slug).architecture
    assert architecture
    assert architecture.context == context


def test_no_more_languages_are_listed_than_its_maker_counts(catalog: Catalog) -> None:
    assert [model.slug for model in catalog.models if 0 < model.language_count < len(model.languages)] == []


def test_every_licence_says_what_it_allows_and_asks_and_where_that_was_read(catalog: Catalog) -> None:
    for licence in catalog.licences:
        assert licence.allows
        assert licence.asks
        assert licence.source
        assert licence.url.startswith("https://")


@pytest.mark.parametrize(
    ("asked", "there", "not_there"),
    [
        (Asked(size=Size.TINY), "qwen3-0.6b", "qwen3-4b"),
        (Asked(licence="mit"), "phi-4", "qwen3-4b"),
        (Asked(task=Task.PICTURES), "gemma-3-4b-it", "gemma-3-1b-it"),
        (Asked(language="Ukrainian"), "qwen3-4b", "smollm3-3b"),
        (Asked(size=Size.SMALL, licence="gemma"), "gemma-3-4b-it", "gemma-3-1b-it"),
    ],
)  # fmt: skip
def test_a_list_is_narrowed(catalog: Catalog, asked: Asked, there: str, not_there: str) -> None:
    found = {model.slug for model in catalog.asked(asked)}
    assert there in found
    assert not_there not in found


@pytest.mark.parametrize(
    ("need", "families"),
    [
        (Need.REASONING, ["phi4", "qwen3"]),
        (Need.MULTILINGUAL, ["gemma3", "qwen3"]),
        (Need.TOOLS, ["llama3", "qwen3"]),
        (Need.SMALLEST, ["qwen3.5", "qwen3"]),
        (Need.NEWEST, ["ternary-bonsai", "qwen3.5"]),
    ],
)  # fmt: skip
def test_each_need_leads_to_its_family_and_the_next_best(catalog: Catalog, need: Need, families: list[str]) -> None:
    choice = catalog.choose([need])
    assert [choice.model.family, choice.runner_up.family] == families
    assert not choice.unmet


def test_what_the_questions_say_of_a_model_its_maker_says_too(catalog: Catalog) -> None:
    picks = {pick.need: [catalog.get(slug) for slug in pick.models] for pick in catalog.chooser.picks}
    assert all(Task.REASONING in model.tasks for model in picks[Need.REASONING])
    assert all(Task.TOOLS in model.tasks and model.chat_template for model in picks[Need.TOOLS])
    assert all(model.languages_spoken >= 10 for model in picks[Need.MULTILINGUAL])


def test_who_needs_a_small_model_for_tools_is_not_led_to_one_that_calls_them_badly(catalog: Catalog) -> None:
    assert catalog.choose([Need.TOOLS, Need.SMALLEST]).model.slug == "qwen3-0.6b"


def test_two_needs_lead_to_a_model_that_meets_both(catalog: Catalog) -> None:
    choice = catalog.choose([Need.REASONING, Need.MULTILINGUAL])
    assert choice.model.slug == "qwen3-4b"
    assert len(choice.reasons) == 2


def test_whatever_is_asked_there_is_an_answer_of_two_families(catalog: Catalog) -> None:
    for number in range(len(Need) + 1):
        for needs in combinations(Need, number):
            choice = catalog.choose(needs)
            assert choice.model.family != choice.runner_up.family
            assert len(choice.reasons) + len(choice.unmet) == max(1, number)


def test_who_asks_for_what_no_model_has_is_told_what_is_not_met(catalog: Catalog) -> None:
    picks = tuple(pick for pick in catalog.chooser.picks if pick.need == Need.REASONING)
    other = catalog.chooser.picks[1].model_copy(update={"models": ("gemma-3-1b-it", "gemma-3-4b-it", "gemma-3-12b-it")})
    choice = Catalog(catalog.models, catalog.chooser.model_copy(update={"picks": (*picks, other)})).choose(
        [Need.REASONING, Need.MULTILINGUAL]
    )
    assert choice.unmet == (Need.MULTILINGUAL,)


def test_a_model_that_the_catalogue_does_not_have_is_not_found(catalog: Catalog) -> None:
    assert catalog.by_hub_id("nobody/nothing") is None
    with pytest.raises(NotFound):
        catalog.get("nothing")


@pytest.mark.parametrize(
    ("parameters", "size"), [(7_212_288, "tiny"), (3_212_749_824, "small"), (8_030_261_248, "medium"), (10**12, "large")]
)
def test_a_size_has_a_step(parameters: int, size: Any) -> None:
    assert size_of(parameters) == size
