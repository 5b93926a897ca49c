"""A child gets what it works with and nothing it could give away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workers.child import Child

HARMLESS = {"PATH", "HOME", "HF_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "HONE_TRAINER_THREADS", "PYTHONPATH"}
FOR_THE_HUB = {"HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
NEVER = {"HONE_DATABASE_URL", "HONE_REDIS_URL", "HONE_INFERENCE_KEY", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize("needs_hub", [False, True])
def test_only_who_fetches_from_the_hub_gets_its_token_and_the_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, needs_hub: bool
) -> None:
    for name in (HARMLESS | FOR_THE_HUB | NEVER) - {"PATH", "HOME", "PYTHONPATH"}:
        monkeypatch.setenv(name, "x")
    (tmp_path / "show.py").write_text("import json, os\njson.dump(dict(os.environ), open('seen.json', 'w'))\n")
    child = Child(["runpy", "show.py"], folder=tmp_path, log_file=tmp_path / "log.txt", needs_hub=needs_hub)
    child.process.wait(60)
    child.kill()
    seen = set(json.loads((tmp_path / "seen.json").read_text()))
    assert seen >= HARMLESS
    assert seen & FOR_THE_HUB == (FOR_THE_HUB if needs_hub else set())
    assert seen & NEVER == set()
