"""Where a measurement is kept: one JSON file, with the machine and the versions it was made on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "scikit-learn", "pyarrow", "duckdb", "datasets", "trl", "unsloth")


def keep(name: str, figures: dict[str, Any]) -> Path:
    """Write figures to bench/results/<name>.json and return the path."""
    document = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions(), **figures}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def machine() -> str:
    """Describe the processor in a line."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Return the versions of what was measured."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"python": platform.python_version()}
