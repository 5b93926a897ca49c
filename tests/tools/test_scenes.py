from __future__ import annotations

from pathlib import Path

from tools.sample_project import Sample
from tools.scenes import PAGES, README, TEAM, scenes_of
from tools.screenshots import README_BYTES, SCHEMES

STATES = {
    "datasets": dict.fromkeys(("ready", "unmapped", "failed", "importing", "desk"), "1"),
    "runs": dict.fromkeys(("done", "failed", "paused", "running", "queued", "cancelled"), "2"),
}


def test_every_kind_of_state_has_a_scene() -> None:
    scenes = scenes_of(Sample(**STATES, model="m"))
    for state in ("loading", "unanswered", "stale", "nothing", "importing", "failed", "refused", "wrong"):
        assert any(name.endswith(f"-{state}") for name in scenes), state
    assert PAGES.keys() < scenes.keys()


def test_the_readme_shows_scenes_that_there_are_in_both_colours_and_small(root: Path) -> None:
    assert set(README.values()) <= scenes_of(Sample(**STATES, model="m")).keys() | TEAM.keys()
    pictures = {f"{name}-{scheme}.webp" for name in README for scheme in SCHEMES}
    kept = {path.name: path.stat().st_size for path in (root / "docs" / "pictures").iterdir()}
    assert kept.keys() == pictures
    assert all(size <= README_BYTES for size in kept.values())
