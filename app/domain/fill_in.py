"""How code with a gap is asked for: the one wording that rows are trained in and a completion is asked in."""

from __future__ import annotations

GAP = "<GAP>"
SYSTEM = f"Complete the code: answer with what stands at {GAP}, and nothing else."


def question(before: str, after: str) -> str:
    """Return the code around a gap as the user's turn."""
    return f"{before}{GAP}{after}"
