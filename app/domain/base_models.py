"""Which model folders may be loaded at all: safetensors only, and nothing that brings code of its own.

Pure: the caller lists the folder and hands over a reader, so the web process and the trainer ask the same question.
Why each rule is there: SECURITY.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeGuard

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MAX_JSON_BYTES = 64 * 1024 * 1024
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
"""Of a repository on the Hub."""
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - a variable's name
HUB_KEYS = (HUB_TOKEN, "HUGGING_FACE_HUB_TOKEN")
"""The variables whose value opens the Hub."""
WEIGHTS = ".safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
WHOLE = "model.safetensors"
INDEXED = ".index.json"
INDEX = WHOLE + INDEXED
"""Says in which files the weights lie that do not lie in one."""
NAMED_BY_CONFIG = "transformers_weights"
"""Where config.json may name another file that the weights, or the index of them, lie in: a loader looks there and nowhere else."""
ADAPTER = "adapter_"
"""Begins the names of an adapter's files."""
SHARD = re.compile(r"(.+-)(\d{1,6})(-of-(\d{1,6})\.safetensors)", re.ASCII)
"""How one of several files of weights is called."""
CODE_KEYS = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "custom_generate"})


@dataclass(frozen=True)
class BaseModel:
    """A base model that may be trained. `folder` None: on the Hub and not here yet, so size and template are not known."""

    name: str
    folder: Path | None
    parameters: int | None
    has_template: bool | None


def is_hub_id(name: str) -> bool:
    """Return whether `name` has the form organisation/name; the Hub gives none that holds two hyphens or dots in a row."""
    return HUB_ID.fullmatch(name) is not None and "--" not in name and ".." not in name


def unknown_model(message: str) -> Invalid:
    """Return the error for a base model that cannot be found or read."""
    return Invalid(message, param="base_model", code="unknown_model")


def check_model_folder(names: Iterable[str], read: Callable[[str], bytes]) -> dict[str, Any]:
    """Return the folder's config.json, or raise Invalid: unknown_model, unsafe_format, incomplete or remote_code.

    `names` are the folder's file names; `read` returns a file's bytes and is asked for small JSON files only.
    """
    present = set(names)
    if "config.json" not in present:
        message = "The folder has no config.json, so it is no model in the Hugging Face layout."
        raise unknown_model(message)
    _check_weights(present)
    for name in sorted(present):
        if name.endswith(".json"):
            _check_json(name, read(name))
    config: dict[str, Any] = json.loads(read("config.json"))
    if "model_type" not in config:
        message = "config.json names no model_type, so nobody can tell how to load it."
        raise unknown_model(message)
    _check_loadable(present, read, config)
    return config


def _check_weights(present: set[str]) -> None:
    pickled = sorted(n for n in present if n.endswith(PICKLED))
    if pickled and not any(n.endswith(WEIGHTS) for n in present):
        message = f"The weights lie in {pickled[0]}, a pickle, which can run code when it is read. Convert them to safetensors."
        raise Invalid(message, param="base_model", code="unsafe_format")
    if not any(n.endswith(WEIGHTS) for n in present):
        message = "The folder has no .safetensors file, so there are no weights to load."
        raise unknown_model(message)


def _check_json(name: str, raw: bytes) -> None:
    if len(raw) > MAX_JSON_BYTES:
        message = f"{name} is larger than {MAX_JSON_BYTES // 2**20} MiB."
        raise unknown_model(message)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        message = f"{name} is not valid JSON."
        raise unknown_model(message) from None
    if not isinstance(document, dict):
        if name == "config.json":
            message = "config.json is no JSON object."
            raise unknown_model(message)
        return
    if name.endswith(INDEXED):
        _check_index(name, document)
    elif not name.startswith(("tokenizer.json", "vocab", "merges")):
        _refuse_code(name, document)


def _check_index(name: str, document: dict[str, Any]) -> None:
    files = document.get("weight_map")
    for file in files.values() if isinstance(files, dict) else ():
        if not _is_beside(file, WEIGHTS):
            raise _points_elsewhere(name, file)


def _is_beside(file: object, *endings: str) -> TypeGuard[str]:
    return isinstance(file, str) and "/" not in file and "\\" not in file and file.endswith(endings)


def _points_elsewhere(name: str, file: object) -> Invalid:
    message = f"{name} points at {str(file)[:80]!r}; weights must be .safetensors files of the same folder."
    return Invalid(message, param="base_model", code="unsafe_format")


def files_named(index: dict[str, Any]) -> set[str]:
    """Return the files in which the weights lie, as an index says."""
    files = index.get("weight_map")
    return {file for file in files.values() if isinstance(file, str)} if isinstance(files, dict) else set()


def weights_named(config: dict[str, Any]) -> str | None:
    """Return the file of weights, or the index of several, that config.json names; None where it names nothing that could be one."""
    named = config.get(NAMED_BY_CONFIG)
    return named if _is_beside(named, WEIGHTS, WEIGHTS + INDEXED) else None


def _check_loadable(present: set[str], read: Callable[[str], bytes], config: dict[str, Any]) -> None:
    """Refuse weights that lie where no loader looks: it opens one file, or those that an index names."""
    named = _check_named(present, config)
    if named and named.endswith(WEIGHTS):
        return
    index = named or INDEX
    document = json.loads(read(index)) if index in present else None
    listed = files_named(document) if isinstance(document, dict) else set()
    # Where config.json names none, a loader takes the weights that lie in one file before it looks at an index.
    if named is None and WHOLE in present and WHOLE not in listed:
        return
    if not listed:
        raise _unlisted(present, index)
    if missing := sorted(listed - present):
        message = f"The folder lacks {len(missing)} of the {len(listed)} files that {index[:80]} names, such as {missing[0][:80]!r}."
        raise Invalid(f"{message} Its weights are not whole.", param="base_model", code="incomplete")


def _check_named(present: set[str], config: dict[str, Any]) -> str | None:
    """Return what config.json names for the weights, None where it names nothing; refuse what is not there, or could not be opened."""
    named = weights_named(config)
    if named is None and config.get(NAMED_BY_CONFIG) is not None:
        raise _points_elsewhere("config.json", config[NAMED_BY_CONFIG])
    if named and named not in present:
        message = f"The folder lacks {named[:80]!r}, where config.json says that the weights lie: nothing looks for them elsewhere."
        raise Invalid(message, param="base_model", code="incomplete")
    return named


def _unlisted(present: set[str], index: str) -> Invalid:
    """Return what stands against weights that no index names and that do not lie in one file."""
    weights = sorted(name for name in present if name.endswith(WEIGHTS))
    if all(name.startswith(ADAPTER) for name in weights):
        return unknown_model(f"The folder holds an adapter ({weights[0][:80]}) and no model. Take the base that it was trained on.")
    shards = [shard for shard in map(SHARD.fullmatch, weights) if shard]
    message = _of_shards(shards, index[:80], has_index=index in present) if shards else _of_odd_names(weights, index[:80])
    return Invalid(message, param="base_model", code="incomplete")


def _of_shards(shards: list[re.Match[str]], index: str, *, has_index: bool) -> str:
    """Say what files of weights lack that no index names: some of them, the index, or what it should say."""
    before, digits, after, all_of_them = shards[0].groups()
    there = {int(shard[2]) for shard in shards if shard[4] == all_of_them}
    if len(there) >= int(all_of_them):
        lacks = f"The folder's {index} names no files; it has to say" if has_index else f"The folder lacks {index}, which says"
        return f"{lacks} what lies in which of its {len(there)} files of weights. Nothing can load them without."
    missing = next(number for number in count(1) if number not in there)
    first = f"{before}{missing:0{len(digits)}}{after}"
    lacking = f"The folder lacks {int(all_of_them) - len(there)} of the {int(all_of_them)} files that its weights lie in"
    unnamed = f"{index} names no files" if has_index else index
    return f"{lacking}, such as {first[:80]!r}, and {unnamed}. Its weights are not whole."


def _of_odd_names(weights: list[str], index: str) -> str:
    more = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
    lie = f"The folder's weights lie in {weights[0][:80]}{more}, where nothing looks for them"
    return f"{lie}: they have to lie in {WHOLE}, or {index} names them." if index == INDEX else f"{lie}: {index} has to name them."


def _refuse_code(name: str, document: dict[str, Any]) -> None:
    """Refuse configurations that make a loader fetch or run foreign code (SECURITY.md lists the advisories)."""
    pending: list[Any] = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            for key, value in item.items():
                foreign = key in CODE_KEYS or ("attn_implementation" in key and isinstance(value, str) and "/" in value)
                if foreign and value:
                    message = f"{name} has {key[:80]!r}: this model wants to run code of its own, which Hone never does."
                    raise Invalid(message, param="base_model", code="remote_code")
                pending.append(value)
