"""Every silent failure of chat templates, planted in bases with real ones: seen before a launch, which is refused with a fix that works."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.session import unit_of_work
from app.domain.datasets import Message, Row, Split
from app.domain.fixes import Repair
from app.domain.preflight import Preflight
from app.domain.problems import Finding, Trouble
from app.domain.repairs import changed
from app.domain.specs import TrainingSettings
from app.main import create_app
from app.services.accounts import Accounts, Identity
from app.services.preflight import Preflights
from app.services.studio import Studio
from tests.databases import add_dataset
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.training.tiny import chat, make_tokenizer
from workers.inference import preflight as near_side
from workers.inference import rendering

pytestmark = pytest.mark.material
STARTER, GEMMA, SMOL = "hone-starter", "google-gemma-2-2b-it", "HuggingFaceTB-SmolLM3-3B"
LLAMA, MISTRAL = "meta-llama-Llama-3.2-3B-Instruct", "mistralai-Ministral-3-14B-Reasoning-2512"
QWEN, PHI = "Qwen-Qwen3-0.6B", "microsoft-Phi-3.5-mini-instruct"
ROWS = 20
CONTEXT = 8192


@dataclass(frozen=True)
class Base:
    """What a base is to a preflight: its tokenizer's control tokens, and its template."""

    special: tuple[str, ...]
    eos: str
    bos: str | None
    template: str = ""

    def write(self, folder: Path) -> Path:
        make_tokenizer(self.special, eos=self.eos, bos=self.bos, template=self.template).save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": CONTEXT}))
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
        return folder


CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
BASES = {
    STARTER: Base(CHATML, "<|im_end|>", None),
    GEMMA: Base(("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", "<bos>"),
    SMOL: Base((*CHATML, "<think>", "</think>"), "<|im_end|>", None),
    LLAMA: Base(
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"), "<|eot_id|>", "<|begin_of_text|>"
    ),
    MISTRAL: Base(
        (
            "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
            "[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[THINK]", "[/THINK]",
        ),
        "</s>", "<s>",
    ),
    QWEN: Base((*CHATML, "<think>", "</think>", "<tool_call>", "</tool_call>"), "<|im_end|>", None),
    PHI: Base(("<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|endoftext|>", "<s>"),
}  # fmt: skip
TAKES_NO_SYSTEM = {GEMMA}
WRITES_TOOLS = {LLAMA, MISTRAL, QWEN}
OTHERS = {STARTER: LLAMA, GEMMA: QWEN, SMOL: PHI, LLAMA: GEMMA, MISTRAL: SMOL, QWEN: LLAMA, PHI: STARTER}
"""Whose template a base is given in place of its own."""
ENDS = re.compile(r"<end_of_turn>|<\|im_end\|>|<\|eot_id\|>|<\|end\|>|\{\{-? eos_token \}\}")
MARKS = re.compile(r"\{% (?:end)?generation %\}")


def template_of(name: str, material: Path, root: Path) -> str:
    place = root / "models" / STARTER / "chat_template.jinja" if name == STARTER else material / "chat_templates" / f"{name}.jinja"
    return place.read_text()


@dataclass(frozen=True)
class Planted:
    """A base with a fault in it, and where its rows are cut."""

    base: Base
    max_length: int = CONTEXT


Plant = Callable[[Base, str], Planted]
"""Makes a fault of a sound base, and another model's template."""


def all_masked(base: Base, _other: str) -> Planted:
    return Planted(replace(base, template="{% generation %}{% endgeneration %}" + MARKS.sub("", base.template)))


def end_not_trained(base: Base, _other: str) -> Planted:
    return Planted(replace(base, template=ENDS.sub("", base.template)))


def doubled_bos(base: Base, _other: str) -> Planted:
    bos = base.bos or "<|begin|>"
    return Planted(replace(base, bos=bos, special=(*base.special, bos), template="{{ bos_token }}{{ bos_token }}" + base.template))


def template_of_another(base: Base, other: str) -> Planted:
    return Planted(replace(base, template=other))


def trained_prompt(base: Base, _other: str) -> Planted:
    return Planted(replace(base, template="{% generation %}" + MARKS.sub("", base.template) + "{% endgeneration %}"))


def answers_cut(base: Base, _other: str) -> Planted:
    return Planted(base, max_length=16)


FAULTS: dict[str, Plant] = {
    "no_trained_tokens": all_masked,
    "never_stops": end_not_trained,
    "doubled_bos": doubled_bos,
    "other_template": template_of_another,
    "trained_prompt": trained_prompt,
    "answers_cut": answers_cut,
}


class Stored:
    """A store that has the rows of one dataset in its head."""

    def __init__(self, conversations: list[list[Message]], tools: list[dict[str, Any]] | None = None) -> None:
        sides = [Split.TEST if number % 10 == 0 else Split.TRAIN for number in range(len(conversations))]
        self.held = [
            Row(row=n, split=side, messages=said, tools=tools) for n, (side, said) in enumerate(zip(sides, conversations, strict=True))
        ]

    def rows(self, _sha256: str) -> Stored:
        return self

    def each(self, numbers: Iterable[int]) -> Iterator[Row]:
        return (self.held[number] for number in numbers)


class Looking:
    """Looks in the child that the inference server has for it."""

    def __init__(self) -> None:
        self.near = near_side.Preflights()

    def look(self, body: bytes) -> Preflight:
        return Preflight.model_validate(asyncio.run(self.near.look(body)))


@pytest.fixture(scope="module")
def looking() -> Iterator[Looking]:
    made = Looking()
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(rendering, "PATIENCE_SECONDS", PATIENCE_SECONDS)  # on a busy machine it is long in reading a tokenizer
        yield made
    made.near.close()


class Launcher:
    """A studio whose store holds the rows it is given."""

    def __init__(self, client: TestClient, studio: Studio, owner: Identity, looking: Looking) -> None:
        self.client, self.studio, self.owner, self.looking = client, studio, owner, looking
        self.dataset_id = add_dataset(studio.engine, owner, rows=ROWS)

    def holds(self, store: Any) -> None:
        vars(self.studio)["preflights"] = Preflights(self.studio.engine, store, self.studio.queue, self.studio.bases, self.looking)

    def look(self, base: Path, **settings: Any) -> Preflight:
        return self.studio.preflights.look(self.owner, self.dataset_id, str(base), TrainingSettings(**settings))

    def look_at_all(self, base: Path, store: Any) -> Preflight:
        """Look until all rows were seen: the time for a look may be over before, when others have the processor."""

        def whole() -> Preflight | None:
            self.holds(store)  # what was seen is remembered
            found = self.look(base, max_length=CONTEXT)
            return found if found.counts.rows == found.counts.total else None

        return until(whole)

    def launch(self, base: Path, settings: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        wanted = {"name": "run", "base_model": str(base), "dataset_id": self.dataset_id, "settings": settings}
        answer = self.client.post("/api/v1/runs", json=wanted)
        return answer.status_code, answer.json()["error"]["data"]["faults"] if answer.status_code == 422 else []


@pytest.fixture
def launcher(migrated_sqlite: Path, tmp_path: Path, looking: Looking) -> Iterator[Launcher]:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        owner = accounts.ensure_owner()
        _, key = accounts.create_key(owner, "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as client:
        yield Launcher(client, app.state.studio, owner, looking)


def rows(said: str = "It is blue.") -> list[list[Message]]:
    return [list(chat(f"{number}: which colour has the sky?", said, "And at night?", "Black.")) for number in range(ROWS)]


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("name", BASES)
def test_a_planted_fault_stops_the_launch_and_its_fix_lets_it_go(
    name: str, code: str, launcher: Launcher, material: Path, root: Path, tmp_path: Path
) -> None:
    sound = replace(BASES[name], template=template_of(name, material, root))
    planted = FAULTS[code](sound, template_of(OTHERS[name], material, root))
    base = planted.base.write(tmp_path / name)
    settings: dict[str, Any] = {"max_length": planted.max_length}
    launcher.holds(Stored(rows()))
    status, faults = launcher.launch(base, settings)
    assert (status, [fault["code"] for fault in faults]) == (422, [code])
    [fix] = [fix for fix in faults[0]["fixes"] if fix["settings"]]
    mended = settings | fix["settings"]
    assert launcher.look(base, **mended).blocking == []
    assert launcher.launch(base, mended)[0] == 201


@pytest.mark.parametrize("name", BASES)
def test_rows_that_another_model_s_template_has_written_stop_the_launch_until_its_tokens_are_taken_out(
    name: str, launcher: Launcher, material: Path, root: Path, tmp_path: Path
) -> None:
    base = replace(BASES[name], template=template_of(name, material, root)).write(tmp_path / name)
    store = Stored(rows("[INST] Which? [/INST] It is blue. <|eot_id|>"))
    launcher.holds(store)
    status, [fault] = launcher.launch(base, {"max_length": CONTEXT})
    assert (status, fault["code"]) == (422, "other_template")
    repair = Repair.model_validate(fault["fixes"][0]["data"])
    finding = Finding(0, (Trouble.CONTROL_TOKENS,))
    mended = Stored([list(row.messages) for each in store.held if (row := changed(repair, each, finding))])
    assert len(mended.held) == ROWS
    launcher.holds(mended)
    assert launcher.look(base, max_length=CONTEXT).faults == []
    assert launcher.launch(base, {"max_length": CONTEXT})[0] == 201


TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
]
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}


def allowed(name: str) -> dict[str, tuple[list[list[Message]], list[dict[str, Any]] | None]]:
    """Return conversations that a template allows."""
    called = [
        Message(role="user", content="Rain in Bern?"), Message(role="assistant", tool_calls=[CALL]),
        Message(role="tool", content='{"rain": true}', tool_call_id="1"), Message(role="assistant", content="Yes."),
    ]  # fmt: skip
    found: dict[str, Any] = {
        "one turn": ([list(chat(f"{n}: which?", "blue")) for n in range(ROWS)], None), "several turns": (rows(), None)
    }  # fmt: skip
    if name not in TAKES_NO_SYSTEM:
        found["system"] = ([list(chat(f"{n}: which?", "blue", system="Name a colour.")) for n in range(ROWS)], None)
    return found | ({"tools": ([called] * ROWS, TOOLS)} if name in WRITES_TOOLS else {})


@pytest.mark.parametrize("name", BASES)
def test_a_sound_template_has_no_fault_in_conversations_it_allows(
    name: str, launcher: Launcher, material: Path, root: Path, tmp_path: Path
) -> None:
    base = replace(BASES[name], template=template_of(name, material, root)).write(tmp_path / name)
    for kind, (conversations, tools) in allowed(name).items():
        found = launcher.look_at_all(base, Stored(conversations, tools))
        assert (kind, found.faults, found.counts.ends_learnt) == (kind, [], 18)
        assert 0 < found.trained_share < 1
        shown = found.rows[0].pieces
        assert any(piece.trained for piece in shown)
        assert not all(piece.trained for piece in shown)
    assert launcher.launch(base, {"max_length": CONTEXT})[0] == 201
