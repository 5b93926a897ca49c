"""What the inference server says of rows before a run, whatever the base's template does."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid
from app.domain.preflight import Preflight
from tests.waiting import until
from tests.workers.inference.conftest import Running
from tests.workers.training.tiny import TEMPLATE, make_tokenizer
from workers.inference.preflight import Preflights

CANARY = "CANARY"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
REACHING = [
    "''.__class__.__mro__[1].__subclasses__()", "[].__class__.__base__.__subclasses__()", "().__class__.__bases__[0]",
    "cycler.__init__.__globals__.os.system('touch CANARY')", "lipsum.__globals__['os'].popen('touch CANARY').read()",
    "joiner.__init__.__globals__.os.getcwd()", "namespace.__init__.__globals__", "self.__init__.__globals__",
    "self._TemplateReference__context", "messages | attr('__class__')", "(messages | attr('__class__')).__base__",
    "(messages | map(attribute='__class__') | list)[0].__mro__",
    "'{0.__class__.__mro__}'.format('')", "'%s'.__mod__.__self__.__class__.mro()",
    "('{0.__class__}'.format)('')", "''['__cla' ~ 'ss__']['__mr' ~ 'o__']", "raise_exception.__globals__['os']",
    "raise_exception.__code__.co_consts", "strftime_now.__globals__", "strftime_now.__closure__", "config.items()", "request.application",
    "get_flashed_messages.__globals__", "url_for.__globals__.os", "range.__self__", "dict.__base__.__subclasses__()",
    "messages.append({}) or messages.__class__", "(messages[0].items | attr('__func__')).__globals__",
    "''.join.__self__.__class__.__mro__[1]",
    "cycler('a').next.__func__.__globals__", "undefined_thing.attribute", "1 / 0", "raise_exception('No.')",
]  # fmt: skip
"""Expressions that try to get out of the sandbox, or only fail."""
HOSTILE = [
    *("{{ " + expression + " }}" for expression in REACHING),
    LOOP + ENDS,
    LOOP + "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" + ENDS,
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ 'x' * 99999999999 }}",
    "{{ 'x' * 9999999 }}",
    "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ 9 ** 9 ** 9 }}",
    "{% include 'other' %}",
    "{% import 'os' as os %}{{ os.getcwd() }}",
    "{% for i in range(10 ** 9) %}x{% endfor %}",
    "{% if %}",
]


def write_base(folder: Path, template: str | None = TEMPLATE, **tokenizer: Any) -> Path:
    """Write what a preflight needs of a base; its weights are never opened."""
    make_tokenizer(template=template, **tokenizer).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 256}))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def body(base: Path, rows: int = 5, **more: Any) -> bytes:
    def row(number: int) -> dict[str, Any]:
        asked = {"role": "user", "content": f"{number}: which colour?" + " Say it." * number}
        return {"number": number, "messages": [asked, {"role": "assistant", "content": "blue"}]}

    return json.dumps({"base_dir": str(base), "rows": [row(number) for number in range(1, rows + 1)], "max_length": 128, **more}).encode()


@pytest.fixture(scope="module")
def preflights() -> Iterator[Preflights]:
    """One child for all, as a server has it."""
    made = Preflights()
    yield made
    made.close()


def look(preflights: Preflights, raw: bytes) -> Preflight:
    return Preflight.model_validate(asyncio.run(preflights.look(raw)))


def test_there_are_forty_hostile_templates() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("template", HOSTILE)
def test_a_hostile_template_is_a_template_error_and_touches_nothing(
    preflights: Preflights, template: str, tmp_path: Path, root: Path
) -> None:
    base = write_base(tmp_path / "hostile", template.replace(CANARY, str(tmp_path / CANARY)))
    found = look(preflights, body(base))
    assert [fault.code for fault in found.blocking] == ["template_error"]
    assert [fix.settings for fix in found.blocking[0].fixes] == [{"chat_template": "plain"}]
    assert not list(tmp_path.rglob(CANARY)) + list(root.glob(CANARY))
    assert not look(preflights, body(base, chat_template="plain")).faults


def test_the_child_looks_again_after_a_template_has_broken_it(preflights: Preflights, tmp_path: Path) -> None:
    hostile, good = write_base(tmp_path / "hostile", "{{ 'x' * 99999999999 }}"), write_base(tmp_path / "good")
    assert look(preflights, body(hostile)).blocking
    assert not look(preflights, body(good)).faults


def test_a_base_written_anew_is_read_anew(preflights: Preflights, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    assert look(preflights, body(base)).template == "tokenizer"
    shutil.rmtree(base)
    assert look(preflights, body(write_base(base, None, eos="<|endoftext|>"))).template == "default"


def test_a_base_that_brings_code_is_not_looked_at(preflights: Preflights, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "auto_map": {"AutoConfig": "x.Y"}}))
    with pytest.raises(Invalid) as refused:
        look(preflights, body(base))
    assert refused.value.code == "remote_code"


def test_a_base_that_could_never_end_an_answer_cannot_be_mended(preflights: Preflights, tmp_path: Path) -> None:
    found = look(preflights, body(write_base(tmp_path / "base", None, eos=None)))
    assert [(fault.code, fault.fixes) for fault in found.blocking] == [("template_error", [])]


def test_the_server_answers_whoever_has_the_key(server: Running, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")

    def whole() -> Preflight | None:
        """Ask again where the machine was so busy that the time for a look was over before the last row."""
        found = Preflight.model_validate(server.post("/preflight", json.loads(body(base))).json())
        assert found.blocking == []
        return found if found.counts.rows == 5 else None

    found = until(whole)
    assert (found.counts.ends_learnt, found.context) == (5, 256)
    assert server.post("/preflight", {"base_dir": str(base), "rows": "none", "max_length": 1}).status_code == 400
    assert server.post("/preflight", json.loads(body(tmp_path / "gone"))).json()["error"]["code"] == "unknown_model"
