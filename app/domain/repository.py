"""The scan of a model's repository before anything of it is fetched: what would come here, what is left out, and what stands against it.

Pure: the caller lists the files and hands over a reader for the small ones. What came is checked again as a folder, byte for byte.
Why each rule is there: SECURITY.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.domain.architectures import UNPACKED, how_quantised
from app.domain.base_models import (
    ADAPTER,
    INDEX,
    INDEXED,
    MAX_JSON_BYTES,
    PICKLED,
    WEIGHTS,
    WHOLE,
    check_model_folder,
    files_named,
    weights_named,
)
from app.domain.errors import Invalid, StudioError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Read = Callable[[str], bytes]

NAME = re.compile(r"[A-Za-z0-9_][\w. -]{0,199}", re.ASCII)
"""What a file here may be called: names come from outside, and become names of files of this machine."""
TEXTS = frozenset({"merges.txt", "vocab.txt", "tokenizer.model", "added_tokens.json", "README.md"})
TOKENIZERS = frozenset({"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"})
LEGAL = re.compile(r"(LICEN[CS]E|NOTICE|COPYING|USE_POLICY)[\w-]*(\.(txt|md|rst|pdf))?", re.ASCII | re.IGNORECASE)
MAX_LEGAL_BYTES = 2**20
READ_BEFORE = ("config.json", "tokenizer_config.json", "generation_config.json")
"""Besides the index of the weights; other JSON is read once it is here."""
MAX_READ_BYTES = 8 * 2**20
UNREAD = b"{}"
RESTRICTED = ("cc-by-nc", "other", "llama", "gemma", "research")
"""Beginnings of licences that do not allow everything."""


@dataclass(frozen=True)
class HubFile:
    """A file as it lies at one commit: its size in bytes, and what the Hub says of its content, a SHA-256 or the id Git gives it."""

    path: str
    url: str
    size: int
    sha256: str | None = None
    git_id: str | None = None


class Level(StrEnum):
    """How much a finding weighs."""

    STOP = "stop"
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True)
class RepositoryFinding:
    """One thing the scan has to say; `code` is stable for programs."""

    level: Level
    code: str
    message: str


@dataclass(frozen=True)
class Scan:
    """What a scan found: the files that would come, those that are left out, in bytes; and what there is to say, the gravest first."""

    wanted: tuple[HubFile, ...]
    left_out: tuple[HubFile, ...]
    findings: tuple[RepositoryFinding, ...]

    @property
    def size(self) -> int:
        """How many bytes would come."""
        return sum(file.size for file in self.wanted)

    @property
    def size_left_out(self) -> int:
        """How many bytes stay where they are."""
        return sum(file.size for file in self.left_out)

    @property
    def objection(self) -> RepositoryFinding | None:
        """What forbids to fetch it, if anything does."""
        return next((finding for finding in self.findings if finding.level == Level.STOP), None)

    def check(self) -> None:
        """Raise Invalid with what forbids to fetch it."""
        if self.objection:
            raise Invalid(self.objection.message, param="repo", code=self.objection.code)


def scan(files: Sequence[HubFile], read: Read, *, licence: str | None, gated: bool, private: bool = False) -> Scan:
    """Look through a repository; `read` is asked for small files only, and may refuse as the Hub does."""
    by_name = {file.path: file for file in files}
    small = _Small(by_name, read)
    findings = [_stop(small)]
    weights = _weights(by_name, small)
    wanted = _wanted(by_name, weights)
    names = {file.path for file in wanted}
    left_out = tuple(file for file in files if file.path not in names)
    findings += [_unfit(weights - names), _too_large(left_out), _pickles(left_out), _programs(left_out), _unhashed(wanted)]
    findings += [*_of_text(names, small), _of_licence(licence), _of_gate() if gated else None]
    findings.append(_of_sharing() if gated or private else None)
    order = list(Level)
    found = sorted(filter(None, findings), key=lambda finding: order.index(finding.level))
    return Scan(tuple(wanted), left_out, tuple(found))


class _Small:
    """The small JSON files of a repository, each read once; what cannot be had is remembered."""

    def __init__(self, files: dict[str, HubFile], read: Read) -> None:
        self.files, self._read = files, read
        self._known: dict[str, bytes] = {}

    def bytes_of(self, name: str) -> bytes:
        if name not in READ_BEFORE and not name.endswith(INDEXED):
            return UNREAD
        if self.files[name].size > MAX_READ_BYTES:
            raise Invalid(f"{name} is larger than {MAX_READ_BYTES // 2**20} MiB.", code="unknown_model")
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def object_of(self, name: str) -> dict[str, Any]:
        """Return what a file says; nothing where it is not there, or makes no sense, which the check of the folder tells."""
        if name not in self.files:
            return {}
        try:
            document = json.loads(self.bytes_of(name))
        except (ValueError, RecursionError, StudioError):
            return {}
        return document if isinstance(document, dict) else {}


def _stop(small: _Small) -> RepositoryFinding | None:
    """Ask what will be asked of the folder; a repository whose files are not given to us is stopped by that."""
    try:
        check_model_folder([name for name in small.files if "/" not in name], small.bytes_of)
    except Unavailable:
        raise  # nothing is known then
    except StudioError as error:
        return RepositoryFinding(Level.STOP, error.code or "unknown_model", error.message.replace("The folder", "The repository"))
    return None


def _wanted(files: dict[str, HubFile], weights: set[str]) -> list[HubFile]:
    """Choose the files that a model is loaded from."""
    names = [name for name in files if NAME.fullmatch(name)]
    return [files[name] for name in sorted(names) if name in weights or _is_beside(files[name])]


def _is_beside(file: HubFile) -> bool:
    is_legal = LEGAL.fullmatch(file.path) is not None and file.size <= MAX_LEGAL_BYTES
    return (_is_json(file) and file.size <= MAX_JSON_BYTES) or file.path in TEXTS or is_legal


def _is_json(file: HubFile) -> bool:
    return file.path.endswith((".json", ".jinja")) and not file.path.startswith(ADAPTER)


def _weights(files: dict[str, HubFile], small: _Small) -> set[str]:
    """Choose of weights that lie there twice those that config.json, the index or the usual name tells, and the index with them."""
    there = {name for name in files if name.endswith(WEIGHTS) and "/" not in name}
    named = weights_named(small.object_of("config.json")) or INDEX
    if named in there:
        return {named}
    listed = files_named(small.object_of(named))
    if listed and listed <= there:
        return listed | {named}
    return {WHOLE} & there or there


def _unfit(weights: set[str]) -> RepositoryFinding | None:
    if not weights:
        return None
    message = f"{_told(sorted(weights))} needed, and cannot come: a file here may not be called so. The weights would not be whole."
    return RepositoryFinding(Level.STOP, "incomplete", message)


def _too_large(left_out: Sequence[HubFile]) -> RepositoryFinding | None:
    large = [file.path for file in left_out if NAME.fullmatch(file.path) and _is_json(file)]
    if not large:
        return None
    message = f"{_told(large)} left out: configuration of more than {MAX_JSON_BYTES // 2**20} MiB is not taken."
    return RepositoryFinding(Level.WARN, "too_large", message)


def _pickles(left_out: Sequence[HubFile]) -> RepositoryFinding | None:
    pickled = [file.path for file in left_out if file.path.endswith(PICKLED)]
    if not pickled:
        return None
    message = f"{_told(pickled)} left out: a pickle can run code when it is read. The weights come as safetensors."
    return RepositoryFinding(Level.WARN, "pickles", message)


def _programs(left_out: Sequence[HubFile]) -> RepositoryFinding | None:
    programs = [file.path for file in left_out if file.path.endswith(".py")]
    if not programs:
        return None
    message = f"{_told(programs)} left out: Hone never fetches or runs a model's own code. Loading does without it."
    return RepositoryFinding(Level.WARN, "programs", message)


def _unhashed(wanted: Sequence[HubFile]) -> RepositoryFinding | None:
    bare = [file.path for file in wanted if not (file.sha256 or file.git_id)]
    message = f"The Hub tells no hash of {bare[0] if bare else ''}, so only its size can be compared."
    return RepositoryFinding(Level.WARN, "no_hash", message) if bare else None


def _of_text(wanted: set[str], small: _Small) -> list[RepositoryFinding | None]:
    if not TOKENIZERS & wanted:
        message = "There is no tokenizer beside the weights that could come, so nothing can be trained from it."
        return [RepositoryFinding(Level.STOP, "no_tokenizer", message)]
    has_template = "chat_template.jinja" in wanted or bool(small.object_of("tokenizer_config.json").get("chat_template"))
    message = "It brings no chat template, as bases that were never tuned for talk do: Hone then gives it a plain one."
    how = how_quantised(small.object_of("config.json"))
    then = "LoRA unpacks them, and QLoRA is refused" if how in UNPACKED else "Look for the same model in bf16 to train from"
    stored = f"Its weights are stored quantised ({how}). {then}."
    return [
        None if has_template else RepositoryFinding(Level.NOTE, "no_template", message),
        RepositoryFinding(Level.WARN, "quantised", stored) if how else None,
    ]


def _of_licence(licence: str | None) -> RepositoryFinding | None:
    if not licence:
        message = "Its card names no licence: without one nobody may use it. Ask its owners."
        return RepositoryFinding(Level.WARN, "no_licence", message)
    if licence.lower().startswith(RESTRICTED):
        message = f"Its licence ({licence[:60]}) has conditions of its own. Read it before the tuned model is given to others."
        return RepositoryFinding(Level.NOTE, "licence", message)
    return None


def _of_gate() -> RepositoryFinding:
    message = "Its owners let people in one by one: one asks on the model's page, and this studio needs the token of whoever was let in."
    return RepositoryFinding(Level.NOTE, "gated", message)


def _of_sharing() -> RepositoryFinding:
    message = (
        "It is not open to everybody, and once it is here everybody on this studio can train on it and chat with it, in every project."
    )
    return RepositoryFinding(Level.WARN, "shared", message)


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{more}"
