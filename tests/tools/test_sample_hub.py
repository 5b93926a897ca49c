"""The Hub that pictures are taken with: it has a model of each kind that a look can find, and asks no network."""

from __future__ import annotations

import pytest

from app.domain.architectures import Architecture
from app.domain.errors import NotFound
from app.domain.hub_models import Search
from tools.sample_hub import GOOD, QUANTISED, STOPPED, UNMEASURED, SampleHub


@pytest.mark.parametrize(
    ("repo", "codes"),
    [(GOOD, ["pickles"]), (QUANTISED, ["quantised"]), (STOPPED, ["incomplete"]), (UNMEASURED, [])],
)
def test_each_kind_of_look_has_a_model(repo: str, codes: list[str]) -> None:
    looked = SampleHub().look(repo)
    assert [finding.code for finding in looked.scan.findings] == codes
    assert (looked.scan.objection is not None) is (repo == STOPPED)


def test_the_good_one_is_counted_as_the_hub_says_it_counts() -> None:
    looked = SampleHub().look(GOOD)
    assert Architecture.from_config(looked.config or {}).parameters == looked.model.parameters


def test_a_search_finds_by_words_and_what_is_not_there_is_said() -> None:
    assert [model.id for model in SampleHub().search(Search(text="gptq")).models] == [QUANTISED]
    with pytest.raises(NotFound, match="has no model"):
        SampleHub().look("nobody/nothing")
