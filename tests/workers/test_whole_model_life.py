"""A model that was tuned as a whole, from its training to its answer in chat; and cut off, from its checkpoint."""

from __future__ import annotations

import queue
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import Engine
from transformers import AutoModelForCausalLM, AutoTokenizer

from app.db import Run
from app.db.session import reading, unit_of_work
from app.domain.chat import ChatMessage
from app.domain.events import Finished
from app.gateways.model_folders import ModelFolders
from app.services.accounts import Identity
from app.services.models import Models, Served
from tests.databases import add_dataset, add_run
from tests.workers.scenes import worker
from tests.workers.training.conftest import undisturbed
from tests.workers.training.tiny import make_model, write_rows, write_spec
from workers import train
from workers.inference.engine import Engine as ChatEngine
from workers.inference.jobs import Done, Failed, Piece, Report
from workers.inference.protocol import Place, ServedRequest
from workers.run_checkpoints import GoodCheckpoint, run_folder
from workers.training_work import TrainingWork
from workers.worker import Worker

__all__ = ["undisturbed", "worker"]
QUESTION = "1: which colour is the grass? Say it."


@pytest.fixture
def trained(engine: Engine, owner: Identity, worker: Worker, tmp_path: Path, undisturbed: None) -> str:
    """A run whose trainer has just ended well."""
    spec = {"settings": {"tuning": "full"}}
    run_id = add_run(engine, owner, add_dataset(engine, owner), spec=spec, lease_token=1, status="running", base_model="/gone")
    base, rows = make_model(tmp_path / "tiny-base"), write_rows(tmp_path / "rows.jsonl")
    written = write_spec(tmp_path, base, rows, tuning="full", max_steps=4, eval_every_steps=100, checkpoint_every_steps=2)
    assert train.main([str(written), "--out", str(run_folder(worker, run_id)), "--lease-token", "1"]) == 0
    torch.use_deterministic_algorithms(False)
    return run_id


def made(worker: Worker, run_id: str, owner: Identity, finished: Finished | None) -> Served:
    """Package a run's result as a supervisor does, and ask for its model as the studio does."""
    packed = TrainingWork().package(worker, run_id, 1, finished)
    assert packed is not None
    with unit_of_work(worker.engine) as session:
        TrainingWork().keep(session, worker, session.get_one(Run, run_id), packed)
    with reading(worker.engine) as session:
        folders = ModelFolders(Path("none"), [], only_under=True)
        return Models(session, worker.storage, folders).resolve(owner, session.get_one(Run, run_id).model or "")


def test_it_answers_in_chat_as_plain_transformers_has_it_answer(trained: str, worker: Worker, owner: Identity) -> None:
    model = made(worker, trained, owner, Finished(status="succeeded"))
    assert model.adapter_dir is None
    tokenizer: Any = AutoTokenizer.from_pretrained(model.base_dir)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tuned: Any = AutoModelForCausalLM.from_pretrained(model.base_dir)
    plain = tuned.generate(**asked, max_new_tokens=12, do_sample=False)
    expected = tokenizer.decode(plain[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer(model) == expected
    assert expected


def test_what_was_cut_off_is_the_model_of_its_checkpoint(
    trained: str, worker: Worker, owner: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(worker, trained)
    shutil.rmtree(folder / "adapter-t1")
    newest = GoodCheckpoint(folder / "checkpoints" / "2-t1", 2)
    monkeypatch.setattr("workers.training_work.newest_good_checkpoint", lambda *_: newest)
    model = made(worker, trained, owner, None)
    assert AutoModelForCausalLM.from_pretrained(model.base_dir).dtype == torch.float32
    assert not list(model.base_dir.glob("optimizer*"))
    assert "Trained with Hone for 2 steps" in (model.base_dir / "README.md").read_text()


def answer(model: Served) -> str:
    """Ask a model a question through the engine of the inference server."""
    told: queue.SimpleQueue[Report] = queue.SimpleQueue()
    chat = ChatEngine("cpu", 1)
    chat.start()
    place = Place(base_dir=model.base_dir, adapter_dir=model.adapter_dir)
    hello = ChatMessage(role="user", content=QUESTION)
    chat.submit(ServedRequest(model="m", messages=[hello], temperature=0, max_tokens=12, hone=place), told.put)
    said = ""
    while not isinstance(report := told.get(timeout=60), Done):
        assert not isinstance(report, Failed), report.error
        said += report.text if isinstance(report, Piece) else ""
    chat.close()
    answering = chat._answering
    assert answering is not None
    answering._renderer.close()  # which a server leaves to its own end
    return said
