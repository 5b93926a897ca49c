"""`hone doctor`: looks a studio over, whether it runs or not. A tiny file goes into the store and out again; nothing else is changed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from app.db.session import UNREACHABLE
from app.domain.figures import in_bytes
from app.gateways.gpus import all_gpus
from app.gateways.logs import without_secrets
from app.gateways.secrets import KEY_FILE
from app.services.disk import is_nearly_full
from app.upkeep import parts
from app.upkeep.checks import fail, ok, warn
from app.upkeep.databases import away
from app.upkeep.trackers import trackers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.config import Settings
    from app.upkeep.checks import Check

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")
FLOOR = re.compile(r"(?P<name>[\w.-]+)(\[.*\])?[>=]=(?P<least>[\d.]+)(; extra == .train.)?")
"""How our own package's data names what it needs, tools of developers aside; `torch==` is the least we were tried with."""
CUDA_OF_DRIVER = re.compile(r"CUDA (?:UMD )?Version: (\d+)\.")
CUDA_OF_TORCH = re.compile(r"\+cu(\d+)\d$")
NETWORK_FILES = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "lustre"}
MOUNTS = Path("/proc/self/mounts")
ASK_SECONDS = 10.0


def examine(settings: Settings, *, deep: bool = False, online: bool = False) -> list[Check]:
    """Return every check's finding."""
    checks: dict[str, Callable[[Settings], Iterable[Check]]] = {
        "versions": lambda _: versions(),
        "disk": disks,
        "keys": keys,
        "network files": network_files,
        "database": parts.database,
        "store": parts.store,
        "broker": parts.broker,
        "workers": parts.workers,
        "GPU": lambda _: gpus(),
        "inference": inference,
        "trackers": trackers,
    }
    if online:
        checks["Hub"] = lambda _: hub()
    if deep:
        checks["files"] = parts.every_file
    found = [check for name, look in checks.items() for check in _guarded(name, partial(look, settings), settings)]
    return list(dict.fromkeys(found))  # what several of them need is told once where it is away


def _guarded(name: str, look: Callable[[], Iterable[Check]], settings: Settings) -> list[Check]:
    try:
        return list(look())
    except UNREACHABLE:
        return [fail("database", *away(settings))]
    except Exception as error:  # noqa: BLE001 - one check that cannot be made must not hide the others
        first = str(error).strip().partition("\n")[0]
        return [fail(name, without_secrets(f"{type(error).__name__}: {first}."), "")]


def versions() -> Iterable[Check]:
    """Say what is installed, without loading it."""
    yield ok("Hone", f"{version('hone')} on Python {platform.python_version()}, {platform.system()} {platform.release()}.")
    found = {name: _installed(name) for name in LIBRARIES}
    there = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    missing = [name for name, number in found.items() if not number]
    if not there:
        yield ok("training", "No training libraries are installed here, which is right for a web alone.")
    elif missing:
        yield warn("training", f"{there}; not installed: {', '.join(missing)}.", "Run make setup where workers run.")
    else:
        yield ok("training", f"{there}.")
    old = [
        f"{name} {number} ({least} or newer)"
        for name, least in _floors()
        if (number := _installed(name)) and _parts(number) < _parts(least)
    ]
    if old:
        yield fail("versions", f"Too old for this Hone: {', '.join(old)}.", "Run make setup.")


def _floors() -> Iterable[tuple[str, str]]:
    for requirement in requires("hone") or ():
        if needed := FLOOR.fullmatch(requirement):
            yield needed["name"], needed["least"]


def _parts(number: str) -> tuple[int, ...]:
    """Return a version's numbers, to compare; 2.0 and 2 are the same."""
    return tuple(int(part) for part in re.findall(r"\d+", re.sub(r"(\.0+)+$", "", number.partition("+")[0])))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def disks(settings: Settings) -> Iterable[Check]:
    """Say how much room there is."""
    for name, place in {"home": settings.home, "store": settings.store, "logs": settings.log_file.parent}.items():
        there = next((folder for folder in (place, *place.resolve().parents) if folder.exists()), place)
        free = shutil.disk_usage(there).free
        told = f"{in_bytes(free)} are free for {place.resolve()}."
        full = is_nearly_full(there)
        yield fail(f"disk of {name}", told, "Free some space, or work will stop.") if full else ok(f"disk of {name}", told)


def keys(settings: Settings) -> Iterable[Check]:
    """See that the key of the secrets is its owner's alone."""
    key = settings.home.resolve() / KEY_FILE
    if not key.exists():
        yield ok("key", "HONE_SECRET_KEY is set." if settings.secret_key else "No secret was kept so far.")
    elif key.stat().st_mode & 0o077:
        yield fail("key", f"{key} can be read by others.", f"Run: chmod 600 {key}")
    else:
        yield ok("key", f"{key} is its owner's alone.")


def network_files(settings: Settings) -> Iterable[Check]:
    """See that SQLite's file is on a disk of this machine."""
    kind = _file_system(settings.home.resolve())
    if kind in NETWORK_FILES and not settings.database_url:
        advice = "Locks do not hold there: put HONE_HOME on a disk of this machine, or use PostgreSQL (HONE_DATABASE_URL)."
        yield fail("file system", f"The database lies on {kind}.", advice)
    elif kind:
        yield ok("file system", f"{settings.home.resolve()} lies on {kind}.")


def _file_system(place: Path) -> str:
    """Return the kind of file system a folder lies on; empty where the system does not tell."""
    if not MOUNTS.exists():
        return ""
    mounts = [line.split()[1:3] for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    above = [(len(where), kind) for where, kind in mounts if place.is_relative_to(where.replace("\\040", " "))]
    return max(above, default=(0, ""), key=lambda found: found[0])[1]


def gpus() -> Iterable[Check]:
    """Say which GPUs the driver shows, and whether the torch that is installed can use them."""
    found = all_gpus()
    if found:
        driver, cuda = _asked("--query-gpu=driver_version", "--format=csv,noheader").split(), CUDA_OF_DRIVER.search(_asked())
        told = f"{', '.join(gpu.name for gpu in found)}; driver {driver[0] if driver else 'unknown'}."
        torch = _installed("torch") or ""
        built = CUDA_OF_TORCH.search(torch)
        if torch.endswith("+cpu"):
            advice = "Training would run on the processor: install a build for this GPU where workers run."
            yield warn("GPU", f"{told} torch {torch} cannot use it.", advice)
        elif built and cuda and int(built[1]) > int(cuda[1]):
            advice = "Training would run on the processor: update the driver, or install a build for it."
            yield warn("GPU", f"{told} torch {torch} needs a driver for CUDA {built[1]}; this one is for CUDA {cuda[1]}.", advice)
        else:
            yield ok("GPU", told)
    elif shutil.which("nvidia-smi"):
        yield fail("GPU", "The driver is installed and shows no GPU.", "Run nvidia-smi: it says why.")
    else:
        yield ok("GPU", "None here; training runs on the processor.")


def _asked(*options: str) -> str:
    """Return what the driver's tool prints."""
    command = [str(shutil.which("nvidia-smi")), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False).stdout


def inference(settings: Settings) -> Iterable[Check]:
    """See that the inference server answers, where its address is known."""
    if not settings.inference_url:
        yield ok("inference", "hone up starts a server of its own.")
        return
    try:
        httpx.get(f"{settings.inference_url}/livez", timeout=ASK_SECONDS, trust_env=False).raise_for_status()
        yield ok("inference", f"{settings.inference_url} answers.")
    except httpx.HTTPError as error:
        yield fail("inference", f"{settings.inference_url} does not answer ({type(error).__name__}).", "Start it, or see its log.")


def hub() -> Iterable[Check]:
    """See that the Hugging Face Hub can be reached from here."""
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        yield warn("Hub", "HF_HUB_OFFLINE is set, so nothing is fetched.", "Unset it to fetch bases by name.")
        return
    try:
        httpx.head(address, timeout=ASK_SECONDS, follow_redirects=True)
        yield ok("Hub", f"{address} answers.")
    except httpx.HTTPError as error:
        advice = "Bases that are here already can be used; for others see the network and HTTPS_PROXY."
        yield warn("Hub", f"{address} does not answer ({type(error).__name__}).", advice)
