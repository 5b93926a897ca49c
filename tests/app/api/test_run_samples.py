"""REST of a run's samples: the newest unless a step is named."""

from __future__ import annotations

from fastapi.testclient import TestClient

from app.db.run_samples import enter_samples
from app.db.session import unit_of_work
from app.domain.datasets import Message
from app.domain.events import Sample
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]


def test_samples_are_the_newest_or_those_of_a_step(client: TestClient, studio: Studio, owner: Identity) -> None:
    run = add_run(studio.engine, owner, add_dataset(studio.engine, owner))
    address = f"/api/v1/runs/{run}/samples"
    assert client.get(address).json() == {"steps": [], "step": None, "data": []}
    asked = [Message(role="user", content="Which colour is the sky?")]
    with unit_of_work(studio.engine) as session:
        for step, answer in ((0, "sky"), (20, "green"), (40, "blue")):
            told = Sample(step=step, place=0, origin="held_out", row=7, prompt=asked, expected="blue", answer=answer, is_cut=step == 20)
            enter_samples(session, run, [told])
    newest = client.get(address).json()
    assert (newest["steps"], newest["step"]) == ([0, 20, 40], 40)
    assert newest["data"] == [
        {
            "place": 0, "origin": "held_out", "row": 7, "prompt": [{"role": "user", "content": "Which colour is the sky?"}],
            "expected": "blue", "base_answer": "sky", "answer": "blue", "is_cut": False,
        }
    ]  # fmt: skip
    [earlier] = client.get(address, params={"step": 20}).json()["data"]
    assert (earlier["answer"], earlier["is_cut"]) == ("green", True)
    refused = client.get(address, params={"step": 30})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "samples_not_found")
