"""Write the samples: `python -m tools.samples [--out samples]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.samples.writing import SAMPLES, write


def main() -> None:
    """Write every sample, or those named."""
    parser = argparse.ArgumentParser(prog="python -m tools.samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("samples"))
    parser.add_argument("--only", choices=sorted(SAMPLES), action="append")
    asked = parser.parse_args()
    for slug in asked.only or SAMPLES:
        print(write(slug, asked.out))


if __name__ == "__main__":
    main()
