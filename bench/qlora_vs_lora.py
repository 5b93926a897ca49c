"""How much slower four bits are: our QLoRA (NF4, double quantisation) against our LoRA, the same rows and steps, in turns.

    python -m bench.qlora_vs_lora [--repeats 5] [--steps 4]

On the shape of a 135-million-parameter model with random weights. The last line is one JSON object; above 8 % slower it fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from bench.models import made
from bench.parity import apart
from bench.results_file import keep
from bench.sides import OURS, Work, in_turns, median, summary

MOST_SLOWER = 0.08


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--shape", default="135m")
    wanted = parser.parse_args()
    lora = Work(*made(wanted.shape, "plain"), steps=wanted.steps, cpu=True)
    sides = [(OURS, replace(lora, qlora=True).arguments()), (OURS, lora.arguments())]
    four_bit, whole = in_turns(sides, wanted.repeats)
    slower = median(whole, "rows_per_second") / median(four_bit, "rows_per_second") - 1
    figures = {
        "slower": round(slower, 4),
        "work": lora.described() | {"repeats": wanted.repeats},
        "qlora": summary(four_bit),
        "lora": summary(whole),
        "losses_apart": max(apart(four_bit[0]["losses"], whole[0]["losses"])),
    }
    keep("qlora_vs_lora", figures)
    print(json.dumps(figures))
    sys.exit(0 if slower <= MOST_SLOWER else 1)


if __name__ == "__main__":
    main()
