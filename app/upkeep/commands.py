"""What `hone backup`, `hone restore` and `hone doctor` print and answer: data on stdout, talk on stderr, the exit code."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from app.db.session import UNREACHABLE
from app.domain.errors import StudioError
from app.domain.figures import in_bytes
from app.upkeep.backup import make_backup
from app.upkeep.checks import Verdict
from app.upkeep.chests import BackupFailed
from app.upkeep.databases import away
from app.upkeep.doctor import examine
from app.upkeep.restore import restore as bring_back

if TYPE_CHECKING:
    from pathlib import Path

    from app.config import Settings

SIGNS = {Verdict.OK: "ok  ", Verdict.WARN: "warn", Verdict.FAIL: "FAIL"}


def backup(settings: Settings, target: Path, *, keep: int | None, as_json: bool) -> int:
    """Make a backup; 1 when there is none, or when the studio itself has lost a file."""
    if keep and target.suffix == ".tar":
        _tell("--keep: give a folder for that; a .tar file is one backup.")
        return 2
    os.umask(0o077)
    try:
        made = make_backup(settings, target, keep=keep)
    except UNREACHABLE:
        _tell(f"{' '.join(away(settings))} No backup was made.")
        return 1
    except (BackupFailed, StudioError, OSError) as error:
        _tell(f"{error} No backup was made.")
        return 1
    if as_json:
        _print(json.dumps({"backup": str(made.path), "files": made.files, "bytes": made.size_bytes, "missing": made.missing}))
    else:
        _print(str(made.path))
        _tell(f"{made.files:,} files, {in_bytes(made.size_bytes)}, read back and right.")
    for name in made.missing:
        _tell(f"{name} is missing or damaged in the studio itself, so it is not in the backup.")
    for old in made.left:
        _tell(f"{old} is older and could not be removed. Remove it yourself.")
    if keep and made.missing:
        _tell("Older backups were kept: one of them may be the last that has it.")
    return 1 if made.missing else 0


def restore(settings: Settings, source: Path, *, as_json: bool) -> int:
    """Bring a backup back."""
    os.umask(0o077)
    try:
        contents = bring_back(settings, source)
    except UNREACHABLE:
        _tell(f"{' '.join(away(settings))} Nothing was changed.")
        return 1
    except (BackupFailed, StudioError, OSError) as error:
        _tell(str(error))
        return 1
    home = settings.home.resolve()
    if as_json:
        _print(json.dumps({"home": str(home), "made_at": contents.made_at, "files": len(contents.files), "missing": contents.missing}))
    else:
        _print(str(home))
        _tell(f"The backup of {contents.made_at} is back: {len(contents.files):,} files, each as it was. Start it: hone up --home {home}")
    for name in contents.missing:
        _tell(f"{name} was missing or damaged already when the backup was made, so it is not here.")
    return 0


def doctor(settings: Settings, *, deep: bool, online: bool, as_json: bool) -> int:
    """Print one line for each check, and what to do where something is wrong."""
    os.umask(0o077)
    found = examine(settings, deep=deep, online=online)
    failed = any(check.verdict == Verdict.FAIL for check in found)
    if as_json:
        _print(json.dumps({"ok": not failed, "checks": [asdict(check) for check in found]}))
    else:
        for check in found:
            _print(f"{SIGNS[check.verdict]}  {check.name}: {check.what}{f' {check.advice}' if check.advice else ''}")
    return 1 if failed else 0


def _print(line: str) -> None:
    print(line)  # noqa: T201 - data goes to stdout


def _tell(line: str) -> None:
    print(f"hone: {line}", file=sys.stderr)  # noqa: T201 - talk goes to stderr
