"""What goes wrong in a real run is told on its page and over REST: what it was, which row, why, what to do, and what mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update

import workers.training_work
from app.config import Settings
from app.db import Dataset
from app.db.artifacts import Artifact
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts, Identity
from tests.databases import add_dataset, add_run
from tests.faults import narrow_trainer
from tests.faults.harness.chaos import be_patient
from tests.faults.narrow_trainer import MOST_ROWS
from tests.workers.scenes import worker
from tests.workers.training.tiny import TEMPLATE, make_model
from workers.child import Child
from workers.claim import claim_and_run
from workers.worker import Worker

__all__ = ["worker"]
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
SMALL = {
    "batch_size": 4, "precision": "fp32", "device": "cpu", "max_length": 128, "rank": 4, "max_steps": 1, "learning_rate": 0.003,
    "eval_every_steps": 100, "chat_template": "auto",
}  # fmt: skip
PLANTED = 7
"""The number of the row at fault, as people call it."""
STRANGE = "§"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE


def rows_with(planted: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Make twenty rows, of which one is as planted."""
    rows = [
        {"messages": [{"role": "user", "content": f"{number}: yes or no?"}, {"role": "assistant", "content": "yes"}]}
        for number in range(20)
    ]
    rows[PLANTED - 1] = {"messages": list(planted)}
    return rows


SOUND: tuple[dict[str, str], ...] = ({"role": "user", "content": "And this one?"}, {"role": "assistant", "content": "no"})


@dataclass
class Told:
    """What people and programs are told of a run that has ended."""

    page: str
    run: dict[str, Any]

    def on_page(self, *words: str) -> None:
        """See that the run's page says all of this."""
        assert [word for word in words if word not in self.page] == []


@dataclass
class Scene:
    """A studio whose worker and web are here, and whose trainer is a process of its own."""

    engine: Engine
    owner: Identity
    worker: Worker
    home: Path

    def ends(self, base: Path, planted: Sequence[dict[str, str]] = SOUND, **settings: Any) -> Told:
        """Train a base on rows of which one is as planted, and look at what is told of it."""
        spec = {"base_model": str(base), "dataset": "rows", "settings": SMALL | settings}
        run_id = add_run(self.engine, self.owner, self._dataset(rows_with(planted)), base_model=str(base), spec=spec)
        assert claim_and_run(self.worker)
        app = create_app(Settings(home=self.home))
        with unit_of_work(self.engine) as session:
            _, key = Accounts(session).create_key(self.owner, "test")
        with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as browser:
            page = browser.get(f"/runs/{run_id}").text
            run = browser.get(f"/api/v1/runs/{run_id}").json()
        app.state.studio.engine.dispose()
        return Told(page, run)

    def _dataset(self, rows: Sequence[dict[str, Any]]) -> str:
        file = self.worker.storage.incoming / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sealed = self.worker.storage.seal(file)
        self.worker.storage.put(sealed)
        dataset_id = add_dataset(self.engine, self.owner)
        with unit_of_work(self.engine) as session:
            version = session.get_one(Dataset, dataset_id).version
            assert version is not None
            session.execute(update(Artifact).where(Artifact.id == version.artifact.id).values(sha256=sealed.sha256))
        return dataset_id


@pytest.fixture
def scene(engine: Engine, owner: Identity, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("HONE_TRAINER_THREADS", "1")
    be_patient(engine)
    return Scene(engine, owner, worker, tmp_path)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs trained where there is little memory."""

    def begin(arguments: Sequence[str], **more: Any) -> Child:
        return Child([narrow_trainer.__name__, *arguments[1:]], **more)

    monkeypatch.setattr(workers.training_work, "Child", begin)


def spoilt(base: Path) -> Path:
    """Have a base read one character as no number at all, and so lose its way at the row that holds it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(base)(STRANGE, add_special_tokens=False)["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.get_input_embeddings().weight[tokens] = torch.nan
    model.save_pretrained(base)
    return base


def test_a_row_that_makes_the_loss_no_number_is_named_with_smaller_steps_to_take(scene: Scene, tmp_path: Path) -> None:
    planted = ({"role": "user", "content": f"Which one is {STRANGE}?"}, SOUND[1])
    told = scene.ends(spoilt(make_model(tmp_path / "base")), planted, max_steps=20)
    found = told.run["diagnosis"]
    assert (told.run["status"], found["code"]) == ("failed", "diverged")
    named = re.search(r"Step \d+: the loss is no number any more \(rows ([\d, and]+)\)", told.run["reason"])
    assert named, told.run["reason"]
    assert str(PLANTED) in re.findall(r"\d+", named[1])
    assert [fix["id"] for fix in found["fixes"]] == ["slower", "much_slower", "gentler"]
    todo = "Launch it again with smaller steps, or look at the rows it names."
    told.on_page("The training lost its way.", named[0], todo, "Lower the learning rate to 0.001", 'value="slower"', "Look at the rows")


def test_a_row_that_the_template_refuses_is_named_and_the_others_are_trained(scene: Scene, tmp_path: Path) -> None:
    told = scene.ends(make_model(tmp_path / "base", template=NO_SYSTEM), ({"role": "system", "content": "Be brief."}, *SOUND))
    assert (told.run["status"], told.run["diagnosis"]) == ("succeeded", None), told.run["reason"]
    told.on_page("the chat template refuses it: System role not supported", f"Numbered from 1 they are {PLANTED}.")


def test_a_base_without_a_template_and_memory_for_fewer_rows_are_told_and_the_run_goes_on(
    scene: Scene, tmp_path: Path, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MOST_ROWS, "2")
    told = scene.ends(make_model(tmp_path / "base", template=None))
    assert (told.run["status"], told.run["diagnosis"]) == ("succeeded", None), told.run["reason"]
    told.on_page(
        "This base has no chat template. Hone&#39;s plain default is used", "Memory does not hold 4 rows", "the result is the same"
    )


def test_a_machine_whose_memory_runs_out_is_told_what_needs_less(scene: Scene, tmp_path: Path, narrow: None) -> None:
    told = scene.ends(make_model(tmp_path / "base", hidden=2048))
    found = told.run["diagnosis"]
    assert (told.run["status"], found["code"]) == ("failed", "out_of_memory_host")
    assert [(fix["id"], fix["settings"]) for fix in found["fixes"]] == [("qlora", {"tuning": "qlora"}), ("again", {})]
    what = ("The machine&#39;s memory ran out.", "It happened while loading the base model.", "Launch it again with less to hold at once.")
    told.on_page(*what, 'value="qlora"', "Train with QLoRA")
