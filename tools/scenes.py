"""Every page and every state of it that a picture is taken of: empty, loading, partial, error and stale ones too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playwright.sync_api import Page

from tools import sample_hub

if TYPE_CHECKING:
    from tools.sample_measured import Measured
    from tools.sample_project import Sample

Act = Callable[[Page], None]


@dataclass(frozen=True)
class Scene:
    """One page, what is done before it is opened and after, and whether what is shown lies over the window."""

    path: str
    before: Act | None = None
    after: Act | None = None
    in_window: bool = False


def scenes_of(sample: Sample) -> dict[str, Scene]:
    """Return every page and state of the sample project, by name."""
    datasets = {f"dataset-{name}": Scene(f"/datasets/{dataset_id}") for name, dataset_id in sample.datasets.items()}
    runs = {f"run-{name}": Scene(f"/runs/{run_id}") for name, run_id in sample.runs.items()}
    return PAGES | datasets | runs | _states(sample)


def scenes_of_team(measured: Measured) -> dict[str, Scene]:
    """Return the pages of a team's studio, and of what was measured in it."""
    return TEAM | {
        "team-run-foretold": Scene(f"/runs/{measured.run}"),
        "team-run-foretold-elsewhere": Scene(f"/runs/{measured.elsewhere}"),
        "team-baseline": Scene(f"/baselines/{measured.baseline}"),
        "team-baseline-differ": Scene(f"/baselines/{measured.baseline}?only=differ"),
        "team-baseline-failed": Scene(f"/baselines/{measured.failed}"),
        "team-baseline-asking": Scene(f"/baselines/{measured.asking}"),
    }


def _states(sample: Sample) -> dict[str, Scene]:
    desk = f"/datasets/{sample.datasets['desk']}"
    both = f"ids={sample.runs['done']}&ids={sample.runs['running']}"
    running = f"/runs/{sample.runs['running']}"
    return {
        "desk-near": Scene(f"{desk}?problem=near_duplicate"),
        "desk-nothing": Scene(f"{desk}?q=nobody"),
        "desk-aside": Scene(f"{desk}?problem=broken"),
        "desk-groups": Scene(f"{desk}/groups?problem=near_duplicate"),
        "desk-keep-best": Scene(f"{desk}/fix?op=keep_best&problem=near_duplicate"),
        "desk-trim": Scene(f"{desk}/fix?op=trim_end"),
        "desk-goals": Scene(desk, after=lambda page: page.locator(".guide summary").click()),
        "desk-mask": Scene(f"{desk}/fix?op=mask&problem=pii"),
        "desk-fill": Scene(f"{desk}/fix?op=fill&blank-0={{customer_name}}&fill-0=Lena"),
        "desk-columns": Scene(f"{desk}/mapping"),
        "desk-statistics": Scene(f"{desk}/statistics"),
        "desk-preflight-away": Scene(f"{desk}/preflight?look=1"),
        "desk-history": Scene(f"{desk}/history"),
        "desk-adding": Scene(desk, after=lambda page: page.locator("#add-rows summary").click()),
        "runs-found": Scene("/runs?tag=nightly&sizes=1"),
        "runs-nothing": Scene("/runs?q=nobody&tag=nightly&status=failed"),
        "runs-compare": Scene(f"/runs/compare?ids={sample.runs['done']},{sample.runs['running']}"),
        "runs-delete": Scene(f"/runs/delete?{both}"),
        "runs-delete-one": Scene(f"/runs/delete?ids={sample.runs['failed']}"),
        "new-run-clone": Scene(f"/runs/new?from={sample.runs['done']}&learning_rate=0.001&rank=32"),
        "new-run-wrong": Scene(f"/runs/new?dataset_id={sample.datasets['ready']}&learning_rate=12&rank=0"),
        "new-run-unknown": Scene(f"/runs/new?dataset_id={sample.datasets['ready']}&base_model=somebody/something"),
        "run-stale": Scene(running, before=_no_stream, after=_until_stale),
        "run-unanswered": Scene(running, before=_no_actions, after=_press_pause),
        "palette": Scene(running, after=_commands, in_window=True),
        "palette-found": Scene("/", after=_commands_for("emails"), in_window=True),
        "palette-loading": Scene("/", after=_still_looking, in_window=True),
        "palette-unanswered": Scene("/", before=_not_found, after=_commands_for("emails"), in_window=True),
        "shortcuts": Scene("/", after=lambda page: page.keyboard.press("?"), in_window=True),
        "box-found": Scene("/runs", after=_find, in_window=True),
    }


def _no_stream(page: Page) -> None:
    page.route("**/live?*", lambda route: route.abort())


def _until_stale(page: Page) -> None:
    page.locator("#stale").wait_for(timeout=10_000)


def _no_actions(page: Page) -> None:
    page.route("**/pause", lambda route: route.abort())


def _press_pause(page: Page) -> None:
    page.locator("#do-pause").click()
    page.locator("#notice .say").wait_for()


def _not_found(page: Page) -> None:
    page.route("**/search?*", lambda route: route.abort())


def _commands(page: Page) -> None:
    page.keyboard.press("Control+k")


def _commands_for(words: str) -> Act:
    def act(page: Page) -> None:
        page.keyboard.press("Control+k")
        page.keyboard.type(words)

    return act


def _still_looking(page: Page) -> None:
    # A statement: Playwright would call what an expression gives, and wait for it for ever.
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
    page.keyboard.press("Control+k")
    page.keyboard.type("emails")


def _find(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("emails")


def _until_described(page: Page) -> None:
    page.locator(".opblock").first.wait_for()


def _refused(page: Page) -> None:
    page.locator("#key").fill("hone_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.locator(".error").wait_for()


GOAL = "what=format&task=Support+e-mail+into+JSON+with+intent+and+urgency&output=json&tried_prompt=on&tried_examples=on&private=on"
PAGES = {
    "home": Scene("/"),
    "goal": Scene("/goal"),
    "goal-tune": Scene(f"/goal?{GOAL}&examples=700"),
    "goal-wrong": Scene("/goal?what=style&examples=many&task=A+support+bot"),
    "recipe": Scene("/goal/recipes/support-emails"),
    "recipe-code": Scene("/goal/recipes/code-completion"),
    "baselines": Scene("/baselines"),
    "datasets": Scene("/datasets"),
    "datasets-from": Scene("/datasets/from"),
    "runs": Scene("/runs"),
    "new-run": Scene("/runs/new"),
    "board": Scene("/board"),
    "wall": Scene("/board?wall=1"),
    "chat": Scene("/chat"),
    "workers": Scene("/workers"),
    "models": Scene("/models"),
    "models-chosen": Scene("/models?reasoning=1&tools=1&chosen=1"),
    "models-nothing": Scene("/models?q=nothing+like+it"),
    "model": Scene("/models/llama-3.2-3b-instruct"),
    "model-experts": Scene("/models/gpt-oss-20b"),
    "model-unmeasured": Scene("/models/ternary-bonsai-8b"),
    "model-here": Scene("/models/hone-starter"),
    "precision": Scene("/precision"),
    "cloud-costs": Scene("/cloud-costs"),
    "cloud-costs-paid-back": Scene("/cloud-costs?calls=1000000&prompt_tokens=600&answer_tokens=80&hosting=own&one_off=2000"),
    "cloud-costs-wrong": Scene("/cloud-costs?calls=many"),
    "precision-wrong": Scene("/precision?params=many"),
    "prices": Scene("/prices"),
    "estimates": Scene("/estimates"),
    "settings": Scene("/settings"),
    "connections": Scene("/settings#connections"),
    "hub": Scene("/models/hub"),
    "search": Scene("/search"),
    "search-found": Scene("/search?q=emails"),
    "search-nothing": Scene("/search?q=nobody"),
    "tour": Scene("/datasets?tour=1"),
    "signin": Scene("/signin"),
    "signin-refused": Scene("/signin", after=_refused),
    "docs": Scene("/docs", after=_until_described),
    "missing": Scene("/nowhere"),
}
"""What stands in an empty studio too."""
TEAM = {
    "team-board": Scene("/board"),
    "team-wall": Scene("/board?wall=1"),
    "team-workers": Scene("/workers"),
    "team-runs": Scene("/runs"),
    "team-home": Scene("/"),
    "team-estimates": Scene("/estimates"),
    "team-prices": Scene("/prices"),
    "team-baselines": Scene("/baselines"),
    "team-models": Scene("/models"),
    "team-hub": Scene("/models/hub"),
    "team-hub-found": Scene("/models/hub?q="),
    "team-hub-nothing": Scene("/models/hub?q=nothing+like+it"),
    "team-hub-look": Scene(f"/models/hub/look?repo={sample_hub.GOOD}"),
    "team-hub-look-quantised": Scene(f"/models/hub/look?repo={sample_hub.QUANTISED}"),
    "team-hub-look-stopped": Scene(f"/models/hub/look?repo={sample_hub.STOPPED}"),
    "team-hub-look-unmeasured": Scene(f"/models/hub/look?repo={sample_hub.UNMEASURED}"),
    "team-hub-look-missing": Scene("/models/hub/look?repo=nobody/nothing"),
    "team-new-run": Scene("/runs/new"),
    "team-new-run-too-large": Scene("/runs/new?base_model=Qwen/Qwen3-8B&rank=64"),
}
README = {"home": "home", "run": "run-running", "board": "team-board", "data": "dataset-ready"}
"""Which scenes the README shows, by the name of the picture."""
