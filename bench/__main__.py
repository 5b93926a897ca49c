"""Runs the benchmarks by name, or all of them: `python -m bench [NAME …]`. Each writes its figures to bench/results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """Give every benchmark: the files beside this one that can be run."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if "\ndef main(" in path.read_text(encoding="utf-8"))


def main() -> int:
    """Run what was asked for, each in a process of its own so that no one measures another's memory."""
    asked = sys.argv[1:] or names()
    unknown = sorted(set(asked) - set(names()))
    if unknown:
        print(f"bench: no such benchmark: {', '.join(unknown)}. There are: {', '.join(names()) or 'none yet'}.", file=sys.stderr)
        return 2
    failed = [name for name in asked if subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=FOLDER.parent, check=False).returncode]
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
