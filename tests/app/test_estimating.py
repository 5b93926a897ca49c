"""`hone estimate`: what it prints, as a table and as JSON, and what it refuses."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.domain.architectures import NO_FOUR_BITS, Architecture
from tests.driver import driver

__all__ = ["driver"]


def hone(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["estimate", *arguments])
    return done.exit_code, done.stdout, done.stderr


def quote(*arguments: str) -> dict[str, Any]:
    code, out, told = hone(*arguments, "--json")
    assert code == 0, told
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_weights_of_seven_billion_parameters() -> None:
    told = quote("--params", "7e9")
    sizes = {key: told["weights_bytes"][key] for key in ("fp32", "fp16", "int8", "int4", "1bit")}
    assert sizes == {"fp32": 28e9, "fp16": 14e9, "int8": 7e9, "int4": 3.5e9, "1bit": 875e6}
    _, table, _ = hone("--params", "7B")
    for size in ("28.0 GB", "14.0 GB", "7.0 GB", "3.5 GB", "875 MB"):
        assert size in table


def test_the_cheapest_device_that_holds_it_is_named_with_its_dollars() -> None:
    told = quote("--params", "7e9", "--tuning", "qlora", "--examples", "5000")
    holding = [each for each in told["devices"] if each["fits"] != "no" and each["provider"]]
    assert told["cost_usd"]["cheapest"] == min(each["cost_usd"] for each in holding)
    assert told["cost_usd"]["by_device"][told["cost_usd"]["device"]] == told["cost_usd"]["cheapest"]
    assert {each["provider"] for each in told["devices"]} == {None, "Vast.ai", "RunPod", "AWS"}


def test_this_machine_s_gpus_are_told_each_kind_once_and_one_that_the_table_does_not_know_too(driver: Path) -> None:
    driver.write_text("GPU 0: Some GPU (UUID: GPU-0aa)\nGPU 1: Some GPU (UUID: GPU-1bb)\nGPU 2: NVIDIA GB10 (UUID: GPU-2cc)\n")
    driver.with_name("GPU-2cc").write_text("[N/A]\n")
    gpus = [each for each in quote("--params", "1B")["devices"] if each["provider"] is None and each["key"] != "own:cpu"]
    assert [(each["name"], each["capacity_bytes"]) for each in gpus] == [("Some GPU (here)", 23_034 * 2**20)]
    assert "an assumed peak" in gpus[0]["arithmetic"]["rate"]


def test_parts_sum_up_to_the_memory() -> None:
    memory = quote("--params", "3e9", "--tuning", "qlora")["memory_bytes"]
    assert sum(part["bytes"] for part in memory["parts"]) == memory["total"]
    assert memory["low"] <= memory["total"] <= memory["high"]
    assert "quantisation" in {part["key"] for part in memory["parts"]}


def test_more_examples_take_longer_and_full_tuning_more_memory() -> None:
    few, many = (quote("--params", "1B", "--examples", number) for number in ("100", "10000"))
    seconds = [{each["key"]: each["seconds"] for each in told["devices"]}["runpod:h100:1"] for told in (few, many)]
    assert seconds[0] < seconds[1]
    gradients = [gradient_bytes(told) for told in (few, quote("--params", "1B", "--tuning", "full"))]
    assert gradients[1] > 10 * gradients[0]


def test_rows_of_several_cards_say_that_hone_trains_on_one_device() -> None:
    _, table, _ = hone("--params", "27B")
    rows = [line for line in table.partition("Devices, ")[2].splitlines() if " $" in line]
    assert {" × " in line for line in rows} == {True, False}
    assert all(("Hone trains on one device" in line) == (" × " in line) for line in rows)


def gradient_bytes(told: dict[str, Any]) -> int:
    return sum(part["bytes"] for part in told["memory_bytes"]["parts"] if part["key"] == "gradients")


@pytest.mark.parametrize("model", ["hone-starter", "models/hone-starter"])
def test_a_model_is_measured_by_its_configuration(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    told = quote("--model", model)
    assert told["exact"] is True
    assert 5e6 < told["parameters"] < 8e6


@pytest.mark.parametrize("model", ["llama-3.2-1b-instruct", "meta-llama/Llama-3.2-1B-Instruct"])
def test_a_model_of_the_catalogue_is_known_by_both_its_names(model: str) -> None:
    told = quote("--model", model)
    assert (told["parameters"], told["exact"]) == (1_235_814_400, True)


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refused)
    assert quote("--params", "7e9")["parameters"] == 7_000_000_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--params", "7x"], "--params: '7x' is no number"),
        ([], "--params 7e9"),
        (["--params", "7e9", "--model", "hone-starter"], "not both"),
        (["--params", "7e9", "--tuning", "half"], "--tuning: Choose lora, qlora or full"),
        (["--params", "7e9", "--examples", "0"], "--examples: Give a number"),
        (["--params", "7e9", "--tokens", "0"], "--tokens: Give a number"),
        (["--params", "7"], "none that is known"),
        (["--model", "nobody/nothing"], "Give its size instead"),
        (["--model", "no such thing"], "neither hone-starter"),
    ],
)
def test_nonsense_is_refused_with_what_to_say(arguments: list[str], says: str) -> None:
    code, out, told = hone(*arguments)
    assert (code, out) == (2, "")
    assert told.startswith("hone: ")
    assert says in told


def test_a_model_of_the_catalogue_is_known_by_each_of_its_names() -> None:
    assert {quote("--model", name)["parameters"] for name in ("qwen3-8b", "Qwen3 8B", "Qwen/Qwen3-8B")} == {8_190_735_360}


def test_nf4_leaves_the_embeddings_of_a_model_alone() -> None:
    arch = Architecture.of_size(7e9)
    kept = arch.unquantised_parameters
    assert kept > arch.embedding_parameters
    assert quote("--params", "7e9")["weights_bytes"]["nf4"] == round(((7_000_000_000 - kept) * 4.5 + kept * 16) / 8)


def test_qlora_is_said_to_be_refused_for_experts_in_one_block() -> None:
    assert NO_FOUR_BITS in quote("--model", "gpt-oss-20b", "--tuning", "qlora")["assumptions"]
    assert NO_FOUR_BITS not in quote("--model", "gpt-oss-20b")["assumptions"]
    assert NO_FOUR_BITS not in quote("--model", "qwen3-8b", "--tuning", "qlora")["assumptions"]
