"""Every way to fail has words, and its fixes are settings that really differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.domain.diagnosis import KNOWN, LOADING, WHAT_WOULD_BE_LEARNT, Case, Diagnosis, diagnose, what_happened
from app.domain.specs import TrainingSettings

OWN_WORDS = {"internal", "unusable_spec"}
"""Failures that nobody can say more of than their reason."""


def explain(code: str, *, facts: dict[str, Any] | None = None, base_model: str = "lab/base", **settings: Any) -> Diagnosis:
    return diagnose(Case(code, "It broke.", TrainingSettings(**settings), base_model, facts or {}, "d1"))


def fixes(code: str, *, facts: dict[str, Any] | None = None, **settings: Any) -> dict[str, dict[str, Any]]:
    return {fix.id: fix.settings for fix in explain(code, facts=facts, **settings).fixes}


def test_every_code_that_the_trainer_raises_is_explained(root: Path) -> None:
    files = [*(root / "workers" / "training").glob("*.py"), root / "workers" / "train.py", root / "app" / "domain" / "base_models.py"]
    raised = {code for file in files for code in re.findall(r'(?:code="|return "(?=out_of_memory_))([a-z_]+)"', file.read_text())}
    assert "out_of_memory_gpu" in raised
    assert raised - set(KNOWN) - OWN_WORDS == set()


@pytest.mark.parametrize("code", [*KNOWN, "internal", "what nobody has heard of"])
def test_each_says_what_why_and_what_to_do_and_its_fixes_are_settings(code: str) -> None:
    found = explain(code, facts={"failure": {"longest_row": 90, "rows": [7]}}, learning_rate=1e-3, device="gpu", max_length=64)
    assert all(text.endswith(".") for text in (found.what, found.why, found.todo))
    ids = [fix.id for fix in found.fixes]
    assert len(ids) == len(set(ids))
    for fix in found.fixes:
        TrainingSettings.model_validate(fix.settings)


def test_memory_is_saved_by_the_harmless_first() -> None:
    assert fixes("out_of_memory_gpu", facts={"longest_row": 700}, rank=32) == {
        "one_row": {"micro_batch_size": 1}, "qlora": {"tuning": "qlora"}, "shorter": {"max_length": 352},
        "lower_rank": {"rank": 16, "alpha": "auto"}, "again": {},
    }  # fmt: skip


def test_full_tuning_is_offered_an_adapter_and_no_lower_rank() -> None:
    found = fixes("out_of_memory_gpu", facts={"longest_row": 700}, tuning="full", rank=64, learning_rate=1e-5)
    assert list(found) == ["one_row", "adapter", "adamw_8bit", "shorter", "again"]
    assert found["adapter"] == {"tuning": "lora", "learning_rate": "auto"}
    assert "adamw_8bit" not in fixes("out_of_memory_gpu", tuning="full", optimiser="adamw_8bit")


def test_no_fix_is_offered_that_cannot_help() -> None:
    one_row = {"longest_row": 16, "failure": {"rows_at_once": 1, "tokens_at_once": 16}}
    assert list(fixes("out_of_memory_gpu", facts=one_row, tuning="qlora", rank=8)) == ["again"]
    assert list(fixes("out_of_memory_host", facts={"failure": {"while": LOADING}}, rank=64)) == ["qlora", "again"]
    assert "one_row" not in fixes("worker_crash_loop", micro_batch_size=1)
    assert fixes("diverged", learning_rate="auto", max_grad_norm=0.1) == {}
    assert fixes("no_trained_tokens", facts={"failure": {"longest_row": 900, "context": 512}}, max_length=256) == {}
    assert fixes("no_trained_tokens", facts={"failure": {"longest_row": 1, "context": 512}}) == {}
    assert "shorter" not in fixes("out_of_memory_host")


def test_a_loss_that_explodes_is_met_with_smaller_steps() -> None:
    found = fixes("diverged", learning_rate=2e-3)
    assert found == {"slower": {"learning_rate": 6.7e-4}, "much_slower": {"learning_rate": 2e-4}, "gentler": {"max_grad_norm": 0.3}}


def test_rows_too_long_are_read_whole() -> None:
    assert fixes("no_trained_tokens", facts={"failure": {"longest_row": 900, "context": 2048}}, max_length=256) == {
        "longer": {"max_length": 900}
    }


def test_the_rows_at_fault_are_where_the_link_leads() -> None:
    see = explain("diverged", facts={"failure": {"rows": [40, 3]}}).see
    assert see is not None
    assert see.href == "/datasets/d1?after=38"  # the page shows what comes after this number, counted from 0


def test_a_model_of_the_hub_is_linked_and_a_folder_is_not() -> None:
    linked = explain("gated_model").see
    assert linked is not None
    assert linked.href == "https://huggingface.co/lab/base"
    assert explain("unknown_model", base_model="/models/base").see is None


def test_what_only_needs_a_disk_is_to_be_resumed_and_says_so_once() -> None:
    found = diagnose(Case("disk_full", "The disk at /data is full. Free some space there, then resume the run.", TrainingSettings(), "b"))
    assert (found.why, found.fixes) == ("The disk at /data is full.", ())
    assert found.todo.startswith("Free some space there, then resume the run.")


def test_lists_say_it_in_a_few_words() -> None:
    assert what_happened("diverged", "Since step 9 …") == "The training lost its way."
    assert what_happened("internal", "KeyError: 'x'") == "KeyError: 'x'"
    assert what_happened(None, "") == ""


@pytest.mark.parametrize("code", WHAT_WOULD_BE_LEARNT)
def test_what_a_preflight_would_have_said_is_said_of_a_run_with_its_fixes(code: str) -> None:
    longer = {"id": "longer", "label": "Read 90 tokens", "help": "More.", "settings": {"max_length": 90}, "data": None}
    fault = {"code": code, "sentence": "All rows are so.", "why": "It matters.", "fixes": [longer]}
    facts = {"failure": {"faults": [fault], "rows": [4]}}
    assert explain(code, facts=facts).why == "All rows are so. It matters."
    assert fixes(code, facts=facts) == {"longer": {"max_length": 90}}
