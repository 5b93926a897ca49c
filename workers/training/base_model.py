"""From a base model's name to a checked folder on this machine: nothing is loaded before the check has passed."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.base_models import MAX_JSON_BYTES, check_model_folder, is_hub_id, unknown_model
from app.domain.errors import Unavailable
from app.domain.specs import STARTER

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_PATTERNS = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]
IDENTITY_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja")
READ_BYTES = 1024 * 1024
STARTER_FOLDER = Path(__file__).parents[2] / "models" / STARTER


@dataclass(frozen=True)
class BaseModel:
    """A checked base: where it lies, and the name under which an adapter refers to it."""

    folder: Path
    name: str
    config: dict[str, Any]
    commit: str | None = None

    def revision(self) -> str:
        """Return what pins the base's content: a Hub commit, or a hash over weights, configuration and tokenizer."""
        return self.commit or f"sha256:{_folder_hash(self.folder)}"


def find_base_model(name: str, *, beside: Path, base_dir: Path | None = None) -> BaseModel:
    """Return the base called `name`, looking at `base_dir` instead when given; relative folders are taken from `beside`."""
    folder = base_dir or _local_folder(name, beside)
    if folder is not None:
        commit = folder.name if is_hub_id(name) and COMMIT.fullmatch(folder.name) else None
        shown = name if name == STARTER or (base_dir is not None and is_hub_id(name)) else Path(name).name or folder.name
        return BaseModel(folder, shown, check_folder(folder), commit)
    if not is_hub_id(name):
        message = f"There is no folder {name!r}, and it is no Hub id of the form organisation/name either."
        raise unknown_model(message)
    snapshot = _download(name)
    return BaseModel(snapshot, name, check_folder(snapshot), snapshot.name)


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the folder's config.json if its contents may be loaded, else raise Invalid with the reason."""
    if not folder.is_dir():
        message = f"The base model's folder {folder.name!r} does not exist."
        raise unknown_model(message)
    return check_model_folder([entry.name for entry in folder.iterdir() if entry.is_file()], lambda name: _read_bounded(folder / name))


def stay_offline() -> None:
    """Keep every library from the Hub from here on: all that is needed lies in a checked folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def _local_folder(name: str, beside: Path) -> Path | None:
    if name == STARTER:
        return STARTER_FOLDER
    folder = beside / Path(name).expanduser()
    return folder.resolve() if folder.is_dir() else None


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_PATTERNS))
    except RepositoryNotFoundError as error:
        message = f"The Hub has no model {name!r}, or it is private and HF_TOKEN is not set."
        raise unknown_model(message) from error
    except LocalEntryNotFoundError as error:
        message = f"{name!r} is not on this machine yet, and the Hub cannot be reached. Go online once, or give a folder."
        raise Unavailable(message, param="base_model", code="hub_unreachable") from error
    except (HfHubHTTPError, OSError) as error:
        message = f"Fetching {name!r} from the Hub failed: {str(error).splitlines()[0]}"
        raise Unavailable(message, param="base_model", code="hub_unreachable") from error


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_JSON_BYTES + 1)


def _folder_hash(folder: Path) -> str:
    """Hash names and contents of the files that make the model what it is, in the order of their names."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in IDENTITY_FILES:
            part = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    part.update(chunk)
            whole.update(f"{path.name} {part.hexdigest()}\n".encode())
    return whole.hexdigest()
