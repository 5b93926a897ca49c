"""Base models as a person names them: the bundled one, a folder, or a Hub id; folders are checked before anything loads them."""

from __future__ import annotations

import json
import math
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.base_models import MAX_JSON_BYTES, BaseModel, check_model_folder, is_hub_id, unknown_model
from app.domain.errors import Invalid
from app.domain.specs import STARTER

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.gateways.fetched_bases import FetchedBases

Stamp = tuple[tuple[str, int, int, int], ...]
"""Of each file: name, size, when it was last changed, and which file it is."""
MAX_EDGES, MAX_EDGE = 16, 2**40
"""No tensor has more dimensions, or longer ones; a header that says so would take for ever to multiply."""


class ModelFolders:
    """Finds base models: the bundled one, those fetched from the Hub, and folders.

    `only_under`: outside the known folders nothing is read (a studio that others can reach).
    """

    def __init__(self, bundled: Path, known: list[Path], *, only_under: bool, fetched: FetchedBases | None = None) -> None:
        self.bundled, self.known, self.only_under, self.fetched = bundled, known, only_under, fetched
        self._good: dict[Path, tuple[Stamp, BaseModel]] = {}

    def find(self, name: str) -> BaseModel:
        """Return the base `name` means, or raise Invalid: unknown_model, unsafe_format or remote_code."""
        if name == STARTER:
            return self._checked(STARTER, self.bundled)
        path = _as_path(name)
        if path is not None:
            folder = self._allowed(path)
            return self._checked(str(folder), folder)
        if is_hub_id(name):
            here = self.fetched.newest(name) if self.fetched else None
            return self._checked(name, here) if here else BaseModel(name, None, None, None)
        message = f"{name[:200]!r} is neither {STARTER}, nor a folder on this machine, nor a Hub id like org/name."
        raise unknown_model(message)

    def listed(self) -> list[BaseModel]:
        """Return the bundled base, those that were fetched, and every good model folder right under the known folders."""
        places = [(STARTER, self.bundled)] if self.bundled.is_dir() else []
        places += self.fetched.listed() if self.fetched else []
        for folder in self.known:
            places += [(str(path), path) for path in sorted(p.parent for p in folder.glob("*/config.json"))]
        found = []
        for name, path in places:
            try:
                found.append(self._checked(name, path))
            except Invalid:  # a bad folder is left out of the list; naming it says why
                continue
        return found

    def _allowed(self, path: Path) -> Path:
        try:
            resolved = path.resolve()
        except (OSError, ValueError, RuntimeError):
            message = "That is no path of this machine."
            raise unknown_model(message) from None
        if self.only_under and not any(resolved.is_relative_to(folder) for folder in self.known):
            message = "Model folders must lie under HONE_MODEL_DIRS, since this studio can be reached from other machines."
            raise unknown_model(message)
        if not resolved.is_dir():
            message = f"There is no folder {str(path)[:200]!r} on this machine."
            raise unknown_model(message)
        return resolved

    def _checked(self, name: str, folder: Path) -> BaseModel:
        try:
            stamp = _stamp(folder)
            known = self._good.get(folder)
            if known is None or known[0] != stamp:
                # Pages ask for every folder at each changed field, and to read the files takes longer than all the rest of such a page.
                known = self._good[folder] = stamp, _read(name, folder, [file for file, *_ in stamp])
            return replace(known[1], name=name)
        except OSError as error:
            message = f"The folder cannot be read: {error.strerror}."
            raise unknown_model(message) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            message = "The folder's files are no model's: a header or a configuration makes no sense."
            raise unknown_model(message) from None


def _stamp(folder: Path) -> Stamp:
    """Return what changes when any of a folder's files is written anew: the time of its last change is the system's own to set."""
    found = ((entry.name, entry.stat()) for entry in sorted(folder.iterdir()) if entry.exists())
    # Regular files only: opening a pipe would wait for ever.
    return tuple((name, has.st_size, has.st_ctime_ns, has.st_ino) for name, has in found if stat.S_ISREG(has.st_mode))


def _read(name: str, folder: Path, names: list[str]) -> BaseModel:
    check_model_folder(names, lambda file: _small_file(folder / file))
    weights = [folder / file for file in names if file.endswith(".safetensors")]
    return BaseModel(name, folder, sum(map(count_parameters, weights)), has_template(folder, names))


def _as_path(name: str) -> Path | None:
    """Return the folder a name means, if it looks like one; what no file system takes is none."""
    try:
        path = Path(name).expanduser()
        return path if path.is_absolute() or path.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


def has_template(folder: Path, names: Collection[str]) -> bool:
    """Return whether a model folder, which holds files of these `names`, brings a chat template."""
    if "chat_template.jinja" in names:
        return True
    config = json.loads(_small_file(folder / "tokenizer_config.json")) if "tokenizer_config.json" in names else None
    return isinstance(config, dict) and bool(config.get("chat_template"))


def _small_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_JSON_BYTES + 1)


def count_parameters(path: Path) -> int:
    """Add up the shapes in a safetensors header; no weight is read (format: 8 bytes of length, then JSON)."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MAX_JSON_BYTES)))
        return sum(_elements(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = f"{path.name} is no safetensors file: its header cannot be read."
        raise Invalid(message, param="base_model", code="unsafe_format") from None


def _elements(shape: Any) -> int:
    if not isinstance(shape, list) or len(shape) > MAX_EDGES or not all(type(edge) is int and 0 <= edge <= MAX_EDGE for edge in shape):
        message = "a shape is no short list of sizes"
        raise ValueError(message)
    return math.prod(shape)
