"""Reading a spec from its YAML file, with every fault said as a sentence that names the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from app.domain.errors import Invalid
from app.domain.specs import TrainingSpec

if TYPE_CHECKING:
    from pathlib import Path


def load_spec(path: Path) -> TrainingSpec:
    """Return the spec in `path`, or raise Invalid with one sentence a line."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise Invalid(message, code="unusable_spec") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path.name} is not valid YAML: {' '.join(str(error).split())}."
        raise Invalid(message, code="unusable_spec") from error
    if not isinstance(document, dict):
        message = f"{path.name} holds no spec: it must be a mapping with base_model and dataset."
        raise Invalid(message, code="unusable_spec")
    try:
        return TrainingSpec.model_validate(document)
    except ValidationError as error:
        raise Invalid("\n".join(sentences(error)), code="unusable_spec") from error


def sentences(error: ValidationError) -> list[str]:
    """Return pydantic's findings as sentences such as "settings.rank: Input should be a valid integer."."""
    return [_sentence(fault["type"], fault["loc"], fault["msg"]) for fault in error.errors(include_url=False, include_context=False)]


def _sentence(kind: str, place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        return f"{where}: there is no such key."
    if kind == "missing":
        return f"{where}: this key is needed."
    return f"{where}: {message.removeprefix('Value error, ').rstrip('.')}."
