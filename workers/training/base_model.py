"""From a base model's name to a checked folder on this machine: nothing is loaded before the check has passed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.base_models import COMMIT, HUB_KEYS, MAX_JSON_BYTES, check_model_folder, is_hub_id, unknown_model
from app.domain.errors import Invalid, Unavailable
from app.domain.specs import STARTER
from workers.training.room import no_room, ran_out

if TYPE_CHECKING:
    from collections.abc import Callable

HUB_PATTERNS = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]
IDENTITY_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja")
READ_BYTES = 1024 * 1024
FETCHING = "fetching the base model"
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


def find_base_model(
    name: str, *, beside: Path, base_dir: Path | None = None, doing: Callable[[str], None] = lambda _what: None
) -> BaseModel:
    """Return the base called `name`, looking at `base_dir` instead when given; relative folders are taken from `beside`."""
    folder = base_dir or _local_folder(name, beside)
    if folder is not None:
        commit = folder.name if is_hub_id(name) and COMMIT.fullmatch(folder.name) else None
        shown = name if name == STARTER or (base_dir is not None and is_hub_id(name)) else Path(name).name or folder.name
        return BaseModel(folder, shown, check_folder(folder), commit)
    if not is_hub_id(name):
        message = f"There is no folder {name!r}, and it is no Hub id of the form organisation/name either."
        raise unknown_model(message)
    snapshot = _download(name, doing)
    return BaseModel(snapshot, name, check_folder(snapshot), snapshot.name)


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the folder's config.json if its contents may be loaded, else raise Invalid with the reason."""
    if not folder.is_dir():
        message = f"The base model's folder {folder.name!r} does not exist."
        raise unknown_model(message)
    return check_model_folder([entry.name for entry in folder.iterdir() if entry.is_file()], lambda name: _read_bounded(folder / name))


def stay_offline() -> None:
    """Keep every library from the Hub from here on, and forget its keys: all that is needed lies in a checked folder."""
    for name in HUB_KEYS:
        os.environ.pop(name, None)
    os.environ["HF_HUB_OFFLINE"] = "1"
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def _local_folder(name: str, beside: Path) -> Path | None:
    if name == STARTER:
        return STARTER_FOLDER
    folder = beside / Path(name).expanduser()
    return folder.resolve() if folder.is_dir() else None


def _download(name: str, doing: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    doing(FETCHING)
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_PATTERNS, tqdm_class=_telling(doing)))
    except GatedRepoError as error:
        raise _gated(name) from error
    except RepositoryNotFoundError as error:
        message = f"The Hub has no model {name!r}, or it is private and HF_TOKEN is not set."
        raise unknown_model(message) from error
    except LocalEntryNotFoundError as error:
        message = f"{name!r} is not on this machine yet, and the Hub cannot be reached. Go online once, or give a folder."
        raise Unavailable(message, param="base_model", code="hub_unreachable") from error
    except (HfHubHTTPError, OSError) as error:
        if ran_out(error):
            raise no_room(_cache()) from error
        if getattr(getattr(error, "response", None), "status_code", None) in {401, 403}:
            raise _gated(name) from error
        message = f"Fetching {name!r} from the Hub failed: {str(error).splitlines()[0]}"
        raise Unavailable(message, param="base_model", code="hub_unreachable") from error


def _gated(name: str) -> Invalid:
    message = f"The Hub does not hand out {name!r} to this studio: it is gated, or its HF_TOKEN may not read it."
    return Invalid(message, param="base_model", code="gated_model")


def _cache() -> Path:
    """Return the folder that what is fetched lies in."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _telling(doing: Callable[[str], None]) -> type[Any]:
    """Return a progress bar that also says that fetching goes on, whenever bytes have come."""
    from huggingface_hub.utils.tqdm import tqdm

    class Telling(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            doing(FETCHING)
            drawn: bool | None = super().update(n)
            return drawn

    return Telling


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
