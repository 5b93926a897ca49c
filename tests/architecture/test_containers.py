"""The images and how they are put together: read here, since nothing on this side can build them."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml
from click import Group

from app.cli import cli
from app.config import Settings
from tools.setup import BROWSER_FILES, TORCH
from workers.inference import __main__ as inference

ROOT = Path(__file__).resolve().parents[2]
NAMES = {f"HONE_{field.upper()}" for field in Settings.model_fields}
OF_WORKERS = {"HONE_TRAINER_THREADS", "HONE_INFERENCE_THREADS"}
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
OF_TRACKERS = set(re.findall(r"^# ((?:WANDB|MLFLOW|DATABRICKS|TRACKIO)_\w+)=", EXAMPLE, re.MULTILINE))
FOREIGN = {"HF_HOME", "HF_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB"} | OF_TRACKERS
SETTLED = {"HONE_STORAGE_URL", "HONE_CACHE_BYTES", "HONE_WORKERS", "HONE_PORT"}
"""What the set-up decides by itself: files lie on the volume and need no cache, workers are services, the port is published."""
COMPOSED = {"migrate", "web", "worker-cpu", "worker-gpu", "worker-gpu-less", "inference"}


class Stage:
    """One stage of the Dockerfile: what it begins with, and its instructions."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.steps: list[tuple[str, str]] = []

    def all(self, kind: str) -> list[str]:
        """Return the arguments of every instruction of one kind."""
        return [rest for name, rest in self.steps if name == kind]


def stages() -> dict[str, Stage]:
    """Read the Dockerfile."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    found: dict[str, Stage] = {}
    for line in filter(None, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            base, _, label = rest.partition(" AS ")
            found[label] = stage = Stage(base)
        else:
            stage.steps.append((name, rest.strip()))
    return found


def family(label: str) -> list[Stage]:
    """Return a stage and those it stands on."""
    found, all_stages = [], stages()
    while label in all_stages:
        found.append(all_stages[label])
        label = all_stages[label].base
    return found


def is_sent(path: Path) -> bool:
    """Return whether .dockerignore lets a path through; the last line that matches decides."""
    relative, sent = path.relative_to(ROOT), True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if (
            line
            and not line.startswith("#")
            and any(fnmatch.fnmatch(str(part), pattern) for part in (relative, *list(relative.parents)[:-1]))
        ):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("label", stages())
def test_what_an_image_copies_is_there_and_is_sent(label: str) -> None:
    for copied in stages()[label].all("COPY"):
        if not copied.startswith("--from="):
            for source in copied.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert is_sent(ROOT / source), source


@pytest.mark.parametrize("secret", [".env", "var/hone.db", "models/other/model.safetensors", ".git/config", "app/.env"])
def test_nothing_of_ones_own_is_sent_to_a_build(secret: str) -> None:
    assert not is_sent(ROOT / secret)


def test_the_web_has_nothing_that_trains() -> None:
    text = " ".join(rest for stage in family("web") for _, rest in stage.steps)
    assert "requirements/base.txt" in text
    assert not re.search(r"torch|train\.txt|dev\.txt|\bworkers\b", text.replace("--no-workers", ""))


def test_the_worker_has_torch_for_a_gpu_or_a_cpu() -> None:
    [packages] = stages()["worker-packages"].all("RUN")
    assert stages()["worker-packages"].all("ARG") == ["TORCH_BACKEND=cu130"]
    assert f"--torch-backend ${{TORCH_BACKEND}} {TORCH}" in packages
    assert "requirements/train.txt" in packages


@pytest.mark.parametrize("label", ["web", "worker"])
def test_an_image_is_nobodys_root_and_ends_cleanly(label: str) -> None:
    stage = stages()[label]
    assert stage.all("USER") == ["hone"]
    assert stage.all("STOPSIGNAL") == ["SIGTERM"]
    assert len(stage.all("HEALTHCHECK")) == 1
    assert [rest for _, rest in stage.steps if re.search(r"(?i)password|secret|_key|token", rest)] == []
    assert stage.steps[-1][0] == "CMD"


def test_packages_are_taken_by_their_hashes() -> None:
    commands = [command for stage in stages().values() for line in stage.all("RUN") for command in line.split("&&")]
    fetching = [command for command in commands if "pip install" in command and "--no-index" not in command]
    assert fetching
    assert [line for line in fetching if "--require-hashes" not in line and TORCH not in line] == []


def test_the_browsers_files_are_those_of_set_up() -> None:
    copied = re.findall(r"node_modules/(\S+)", " ".join(stages()["browser"].all("RUN")))
    assert copied == list(BROWSER_FILES)
    assert "--from=browser /src/vendor static/vendor" in stages()["web"].all("COPY")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The services as YAML says them."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def test_every_service_is_built_from_a_stage_and_keeps_what_it_must(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert set(services) == COMPOSED | {"postgres", "redis"}
    for name in COMPOSED:
        service = services[name]
        assert service["build"]["target"] == ("web" if name in {"web", "migrate"} else "worker"), name
        assert (service["init"], service["volumes"]) == (True, ["data:/data"]), name
        assert name == "migrate" or "stop_grace_period" in service, name
        assert (service["depends_on"].get("migrate", {}).get("condition") == "service_completed_successfully") == (name != "migrate"), name
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert mounted == set(composed["volumes"])


def test_every_variable_is_one_that_something_reads(composed: dict[str, Any]) -> None:
    given = {name for service in composed["services"].values() for name in service.get("environment", {})}
    assert given <= NAMES | OF_WORKERS | FOREIGN
    assert given >= NAMES - SETTLED
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"\$\{([A-Z_]+)", text) if f"{name}=" not in EXAMPLE} <= OF_WORKERS


def test_what_says_where_a_tracker_is_reaches_what_trains(composed: dict[str, Any]) -> None:
    told = set(re.findall(r"`((?:WANDB|MLFLOW|TRACKIO)_[A-Z_]+)", (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")))
    named = {name for name in told if not name.endswith("_")} - {"TRACKIO_DIR"}  # a folder of the container, which goes with it
    assert {"WANDB_MODE", "WANDB_BASE_URL"} <= named <= OF_TRACKERS
    for service in ("worker-gpu", "worker-gpu-less"):
        given = composed["services"][service]["environment"]
        assert {name: given.get(name) for name in OF_TRACKERS} == {name: f"${{{name}:-}}" for name in OF_TRACKERS}


def test_no_secret_is_written_down_and_nothing_is_open_to_others(composed: dict[str, Any]) -> None:
    for service in composed["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY|TOKEN", name) or re.fullmatch(r"\$\{\w+:[?-][^}]*\}", value), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_inference_server_knows_no_database(composed: dict[str, Any]) -> None:
    assert set(composed["services"]["inference"]["environment"]) == {"HONE_HOME", "HONE_INFERENCE_KEY", "HONE_INFERENCE_THREADS"}


def test_only_who_contacts_others_can_open_the_secrets_of_the_database(composed: dict[str, Any]) -> None:
    given = {name for name, service in composed["services"].items() if "HONE_SECRET_KEY" in service.get("environment", {})}
    assert given == {"web", "worker-cpu"}


def test_all_gpus_are_reserved_as_compose_wants_it(composed: dict[str, Any]) -> None:
    service = composed["services"]["worker-gpu"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert (service["profiles"], service["shm_size"]) == (["gpu"], "1g")


def test_redis_throws_nothing_away(composed: dict[str, Any]) -> None:
    command = " ".join(composed["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@pytest.mark.parametrize("name", sorted(COMPOSED))
def test_every_command_is_one_that_hone_has(composed: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = composed["services"][name]["command"]
    if program == "python":
        assert words[:2] == ["-m", "workers.inference"]
        monkeypatch.setattr("sys.argv", ["inference", *words[2:]])
        given = inference._arguments()
        assert (given.alone, given.host, given.port) == (True, "0.0.0.0", 8001)  # noqa: S104
        return
    assert program == "hone"
    group = cast("Group", typer.main.get_command(cli))
    group.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("label", ["web", "worker"])
def test_an_image_starts_with_a_command_that_hone_has(label: str) -> None:
    [started] = stages()[label].all("CMD")
    program, *words = yaml.safe_load(started)
    assert program == "hone"
    cast("Group", typer.main.get_command(cli)).commands[words[0]].make_context(words[0], words[1:])


def test_compose_itself_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = shutil.which("docker-compose")
    for name in ("POSTGRES_PASSWORD", "HONE_INFERENCE_KEY"):
        monkeypatch.setenv(name, "x")
    if compose:
        done = subprocess.run(
            [compose, "--profile", "gpu", "--profile", "cpu", "config"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert set(yaml.safe_load(done.stdout)["services"]) == COMPOSED | {"postgres", "redis"}
