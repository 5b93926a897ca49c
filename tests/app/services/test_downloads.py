"""Downloads as a project asks for them: what is under way, what is being called off, and what may not go because it is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.db import Artifact, Baseline, Download, Project
from app.db.session import reading, unit_of_work
from app.domain.architectures import Architecture
from app.domain.errors import Conflict
from app.domain.hub_models import HubModel, Looked
from app.domain.repository import HubFile, Scan
from app.domain.runs import RunStatus
from app.gateways.fetched_bases import FetchedBases
from app.services.accounts import Identity
from app.services.downloads import Downloads
from tests.databases import add_dataset, add_run
from tests.silent_queue import SilentQueue

REPO, COMMIT, LATER = "acme/small", "a" * 40, "b" * 40
LOOKED = Looked(HubModel(id=REPO), COMMIT, Scan((HubFile("config.json", "", 10),), (), ()), None)


@pytest.fixture
def bases(tmp_path: Path) -> FetchedBases:
    made = FetchedBases(tmp_path / "models")
    made.place(REPO, COMMIT).mkdir(parents=True)
    return made


def add_download(engine: Engine, by: Identity, status: RunStatus = RunStatus.SUCCEEDED) -> str:
    with unit_of_work(engine) as session:
        made = Download(project_id=by.project_id, queue="cpu", repo=REPO, revision=COMMIT, status=status)
        session.add(made)
        session.flush()
        return made.id


def add_model(engine: Engine, by: Identity, dataset: str, name: str, **columns: object) -> str:
    """Add a run that has made a model of the base."""
    with unit_of_work(engine) as session:
        adapter = Artifact(project_id=by.project_id, kind="adapter", filename="x", sha256="ab" * 32, size_bytes=1)
        session.add(adapter)
        session.flush()
        made = {"base_model": REPO, "status": "succeeded", "model": name, "adapter_id": adapter.id} | columns
    return add_run(engine, by, dataset, **made)


def delete(engine: Engine, by: Identity, bases: FetchedBases, download_id: str) -> str:
    """Delete a download, and return why it is refused, if it is."""
    try:
        with unit_of_work(engine) as session:
            Downloads(session, SilentQueue(), bases).delete(by, download_id)
    except Conflict as refused:
        return f"{refused.code}: {refused.message}"
    return ""


def test_a_model_that_is_on_its_way_measures_what_the_look_at_it_saw(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    config = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
        "num_key_value_heads": 4, "vocab_size": 512, "tie_word_embeddings": True,
    }  # fmt: skip
    stranger = replace(owner, project_id="another")
    with unit_of_work(engine) as session:
        downloads = Downloads(session, SilentQueue(), bases)
        assert downloads.measures(owner, REPO) is None
        download = downloads.start(owner, replace(LOOKED, config=config))
        known = downloads.measures(owner, REPO)
        assert known == Architecture.from_config(config)
        assert (downloads.measures(stranger, REPO), downloads.measures(owner, "acme/other")) == (None, None)
        downloads.cancel(owner, download.id)
        assert downloads.measures(owner, REPO) is None


def test_what_nobody_could_measure_is_fetched_all_the_same(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    with unit_of_work(engine) as session:
        downloads = Downloads(session, SilentQueue(), bases)
        downloads.start(owner, replace(LOOKED, config={"model_type": "strange"}))
        assert downloads.measures(owner, REPO) is None


def test_a_look_of_before_that_lacks_what_is_told_since_is_not_known(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    download_id = add_download(engine, owner, RunStatus.RUNNING)
    with unit_of_work(engine) as session:
        session.get_one(Download, download_id).facts = {"measures": {"family": "llama", "layers": 5}}
        assert Downloads(session, SilentQueue(), bases).measures(owner, REPO) is None


def test_what_is_being_cancelled_is_not_handed_out_as_under_way(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    download_id = add_download(engine, owner, RunStatus.RUNNING)
    with unit_of_work(engine) as session:
        downloads = Downloads(session, SilentQueue(), bases)
        assert downloads.start(owner, LOOKED).id == download_id
        downloads.cancel(owner, download_id)
        with pytest.raises(Conflict, match="just being cancelled") as refused:
            downloads.start(owner, LOOKED)
    assert refused.value.code == "being_cancelled"


def test_a_base_that_tuned_models_answer_with_stays(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    dataset, download_id = add_dataset(engine, owner), add_download(engine, owner)
    with unit_of_work(engine) as session:
        theirs = Project(name="theirs")
        session.add(theirs)
        session.flush()
        stranger = Identity(owner.user_id, "stranger", theirs.id, "theirs")
    add_model(engine, stranger, dataset, "ft:secret")
    assert delete(engine, owner, bases, download_id).startswith("base_in_use: 1 model of other projects needs acme/small to answer.")
    add_model(engine, owner, dataset, "ft:old")
    add_model(engine, owner, dataset, "ft:new")
    told = delete(engine, owner, bases, download_id)
    assert told.startswith("base_in_use: The model ft:new and 1 more and 1 model of other projects need acme/small to answer.")


def test_a_base_that_no_model_answers_with_goes(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    dataset, download_id = add_dataset(engine, owner), add_download(engine, owner)
    later = bases.place(REPO, LATER)
    later.mkdir(parents=True)
    add_model(engine, owner, dataset, "ft:of-the-later-commit", facts={"base_dir": str(later)})
    add_model(engine, owner, dataset, "ft:whole", spec={"settings": {"tuning": "full"}})
    add_model(engine, owner, dataset, "ft:of-another", base_model="acme/large")
    assert delete(engine, owner, bases, download_id) == ""
    assert not bases.has(REPO, COMMIT)


def test_a_base_that_is_measured_stays_until_that_is_over(engine: Engine, owner: Identity, bases: FetchedBases) -> None:
    download_id = add_download(engine, owner)
    with unit_of_work(engine) as session:
        plan = {"models": [{"name": REPO}]}
        measured = Baseline(project_id=owner.project_id, queue="cpu", dataset_id="d", version_id="v", plan=plan)
        session.add(measured)
    assert delete(engine, owner, bases, download_id).startswith("base_in_use: A measurement asks acme/small, and is not over.")
    with unit_of_work(engine) as session:
        session.get_one(Baseline, measured.id).status = RunStatus.SUCCEEDED
    assert delete(engine, owner, bases, download_id) == ""
    with reading(engine) as session:
        assert session.get(Download, download_id) is None
