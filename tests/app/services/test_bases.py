import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.domain.architectures import Architecture
from app.domain.base_models import BaseModel, is_hub_id, unknown_model
from app.domain.catalog import Asked, Catalog, Size
from app.domain.devices import Device
from app.domain.hub_models import HubModel, Looked
from app.domain.repository import Scan
from app.gateways.catalog import read_catalog
from app.services.bases import Base, Bases, measured, measures
from app.services.workers import Known

LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
    "num_key_value_heads": 4, "vocab_size": 512, "tie_word_embeddings": True,
}  # fmt: skip


@dataclass
class Folders:
    """Base models that are here, by name."""

    here: dict[str, BaseModel]

    def find(self, name: str) -> BaseModel:
        if name in self.here:
            return self.here[name]
        if is_hub_id(name):
            return BaseModel(name, None, None, None)
        raise unknown_model("no such model")

    def listed(self) -> list[BaseModel]:
        return list(self.here.values())


@dataclass
class Studio:
    bases: Folders
    catalog: Catalog


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(Path(__file__).parents[3] / "catalog")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return tmp_path


@pytest.fixture
def studio(catalog: Catalog, folder: Path) -> Studio:
    return Studio(Folders({str(folder): BaseModel(str(folder), folder, 260_032, has_template=False)}), catalog)


def worker(*devices: Device, is_alive: bool = True, queue: str = "gpu") -> Known:
    return cast("Known", SimpleNamespace(devices=list(devices), is_alive=is_alive, row=SimpleNamespace(queue=queue)))


def gpu(gigabytes: float, name: str = "NVIDIA L4") -> Device:
    return Device(name=name, kind="gpu", total_bytes=round(gigabytes * 1e9), used_bytes=0, uuid=None, utilisation=None, ours_bytes=None)


def of(catalog: Catalog, slug: str) -> Base:
    model = catalog.get(slug)
    return Base(model, None, model.architecture)


def test_a_folder_measures_what_its_config_says(studio: Studio, folder: Path) -> None:
    found = measures(studio, str(folder))
    assert found
    assert found.parameters == 260_032


def test_a_hub_id_measures_what_the_catalogue_says_until_it_is_here(studio: Studio, folder: Path) -> None:
    said = measures(studio, "qwen/qwen3-0.6b")
    studio.bases.here["Qwen/Qwen3-0.6B"] = BaseModel("Qwen/Qwen3-0.6B", folder, None, None)
    read = measures(studio, "Qwen/Qwen3-0.6B")
    assert said
    assert read
    assert (said.parameters, read.parameters) == (596_049_920, 260_032)


@pytest.mark.parametrize("name", ["nobody/nothing", "/no/such/folder", "prism-ml/Ternary-Bonsai-8B-unpacked"])
def test_of_what_nobody_has_seen_nothing_is_known(studio: Studio, name: str) -> None:
    assert measures(studio, name) is None


@pytest.mark.parametrize("config", ["[]", "{", '{"model_type": "llama"}', "\xff"])
def test_a_config_that_makes_no_sense_measures_nothing(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config, encoding="latin-1")
    assert measured(BaseModel("it", tmp_path, 1, has_template=False)) is None


def test_folders_stand_behind_the_catalogue_and_those_it_knows_stand_once(studio: Studio, folder: Path) -> None:
    studio.bases.here["hone-starter"] = BaseModel("hone-starter", folder, 7_212_288, has_template=True)
    listed = Bases(studio, []).listed(Asked())
    names = [base.name for base in listed]
    assert names.count("hone-starter") == 1
    assert (names[-1], listed[-1].parameters) == (str(folder), 260_032)
    assert next(base for base in listed if base.name == "hone-starter").local


def test_a_folder_is_listed_by_its_size_and_by_nothing_that_is_not_known_of_it(studio: Studio, folder: Path) -> None:
    bases = Bases(studio, [])
    assert str(folder) in [base.name for base in bases.listed(Asked(size=Size.TINY))]
    for asked in (Asked(size=Size.LARGE), Asked(licence="apache-2.0"), Asked(language="English")):
        assert str(folder) not in [base.name for base in bases.listed(asked)]


def test_without_a_worker_nobody_knows_what_fits(studio: Studio, catalog: Catalog) -> None:
    for workers in ([], [worker(gpu(24), is_alive=False)], [worker(gpu(24), queue="cpu")]):
        here = Bases(studio, workers).here(of(catalog, "qwen3-4b"))
        assert here
        assert (here.verdict, here.answers.verdict) == ("unknown", "unknown")
        assert here.qlora.words.startswith("Takes about ")
        assert "No worker has reported" in here.qlora.words


def test_a_small_model_fits_and_a_large_one_does_not(studio: Studio, catalog: Catalog) -> None:
    bases = Bases(studio, [worker(gpu(24))])
    small, large = bases.here(of(catalog, "qwen3-0.6b")), bases.here(of(catalog, "gemma-3-27b-it"))
    assert small
    assert large
    assert (small.verdict, small.answers.verdict, large.lora.verdict) == ("yes", "yes", "no")
    assert "NVIDIA L4 has 24.0 GB" in large.lora.words


def test_the_device_on_which_it_fits_best_is_named(studio: Studio, catalog: Catalog) -> None:
    here = Bases(studio, [worker(gpu(4, "NVIDIA T400"), gpu(80, "NVIDIA A100"))]).here(of(catalog, "qwen3-4b"))
    assert here
    assert here.lora.verdict == "yes"
    assert "NVIDIA A100" in here.lora.words


def test_where_a_gpu_holds_it_that_is_named_before_a_processor_with_more_memory(studio: Studio, catalog: Catalog) -> None:
    processor = gpu(68, "CPU, 16 cores").model_copy(update={"kind": "cpu"})
    bases = Bases(studio, [worker(processor, gpu(24))])
    small, large = (bases.here(of(catalog, slug)) for slug in ("qwen3-8b", "gpt-oss-20b"))
    assert small
    assert large
    assert "NVIDIA L4 has 24.0 GB" in small.qlora.words
    assert large.lora.words.endswith("CPU, 16 cores has 68.0 GB.")


def test_qlora_fits_where_lora_does_not(studio: Studio, catalog: Catalog) -> None:
    here = Bases(studio, [worker(gpu(14))]).here(of(catalog, "llama-3.1-8b"))
    assert here
    assert (here.qlora.verdict, here.lora.verdict, here.verdict) == ("yes", "no", "yes")


def test_of_a_model_without_measures_nobody_says_that_it_fits(studio: Studio, catalog: Catalog) -> None:
    assert Bases(studio, [worker(gpu(80))]).here(of(catalog, "ternary-bonsai-8b")) is None


def test_the_files_of_a_model_say_how_many_parameters_it_has(catalog: Catalog) -> None:
    base = of(catalog, "qwen3-0.6b")
    with_files = replace(base, local=BaseModel("it", None, 751_632_384, None))
    assert (base.parameters, with_files.parameters) == (596_049_920, 751_632_384)


def test_a_model_that_nobody_measured_is_as_large_as_its_maker_says() -> None:
    unknown: Any = SimpleNamespace(parameters=8_000_000_000, answers_by="maker/it")
    assert Base(unknown, None, None).parameters == 8_000_000_000
    assert Base(None, None, Architecture.from_config(LLAMA)).parameters == 260_032


def looked(config: dict[str, Any] | None, name: str = "acme/small", parameters: int | None = None) -> Looked:
    return Looked(HubModel(id=name, parameters=parameters), "a" * 40, Scan((), (), ()), config)


def test_a_model_of_the_hub_measures_what_its_own_config_says(studio: Studio) -> None:
    bases = Bases(studio, [worker(gpu(24))])
    base = bases.on_hub(looked(LLAMA, "Qwen/Qwen3-0.6B", parameters=7))
    here = bases.here(base)
    assert here
    assert (base.name, base.parameters, here.verdict, here.answers.verdict) == ("Qwen/Qwen3-0.6B", 260_032, "yes", "yes")


def test_a_model_of_the_hub_that_may_not_be_read_measures_what_the_catalogue_says(studio: Studio, catalog: Catalog) -> None:
    bases, name = Bases(studio, []), "meta-llama/Llama-3.2-3B-Instruct"
    base = bases.on_hub(looked(None, name, parameters=7))
    assert (base.name, base.parameters, base.architecture) == (name, 3_212_749_824, of(catalog, "llama-3.2-3b-instruct").architecture)
    assert bases.on_hub(looked({"model_type": "strange"}, name)).architecture is None


@pytest.mark.parametrize("config", [None, {}, {"model_type": "strange"}, {"model_type": 7}])
def test_of_a_model_of_the_hub_that_cannot_be_measured_nobody_says_that_it_fits(studio: Studio, config: dict[str, Any] | None) -> None:
    bases = Bases(studio, [worker(gpu(80))])
    base = bases.on_hub(looked(config, parameters=8_000_000_000))
    assert (base.name, base.parameters, base.architecture, bases.here(base)) == ("acme/small", 8_000_000_000, None, None)


@pytest.mark.parametrize(
    ("method", "qlora", "lora"),
    [
        ("gptq", "stored quantised (gptq), which is good for answering", "Take the model that it was made from."),
        ("fp8", "stored quantised in another way (fp8)", "Takes about"),
    ],
)
def test_what_is_quantised_already_is_trained_as_far_as_it_can_be_unpacked(studio: Studio, method: str, qlora: str, lora: str) -> None:
    bases = Bases(studio, [worker(gpu(80))])
    here = bases.here(bases.on_hub(looked(LLAMA | {"quantization_config": {"quant_method": method}})))
    assert here
    assert (here.qlora.verdict, qlora in here.qlora.words, lora in here.lora.words) == ("no", True, True)
    assert here.lora.verdict == ("yes" if "Takes" in lora else "no")


def test_of_a_family_that_nobody_knows_nobody_says_that_it_fits(studio: Studio) -> None:
    for gigabytes, verdict in ((80, "unknown"), (0.0001, "no")):
        bases = Bases(studio, [worker(gpu(gigabytes))])
        here = bases.here(bases.on_hub(looked(LLAMA | {"model_type": "newfangled"})))
        assert here
        assert {fit.verdict for fit in (here.qlora, here.lora, here.answers)} == {verdict}
        assert "does not know the family 'newfangled', so nobody here can say whether it loads" in here.lora.words


def test_qlora_does_not_fit_where_it_is_refused(catalog: Catalog) -> None:
    found = Bases(Studio(Folders({}), catalog), [])
    here = found.here(found.get("gpt-oss-20b"))
    assert here
    assert (here.qlora.verdict, here.qlora.takes) == ("no", 0)
    assert here.lora.takes > 0
