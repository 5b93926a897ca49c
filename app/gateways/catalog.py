"""The catalogue's files: one TOML file a family, one of licences, one of the questions that lead to a model."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, Field, ValidationError

from app.domain.catalog import Catalog, Chooser, Family, Licence, Strict, assemble
from app.domain.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

Entry = TypeVar("Entry", bound=BaseModel)
LICENCES, CHOOSER = "licences.toml", "chooser.toml"


class Licences(Strict):
    """The file of licences."""

    licences: tuple[Licence, ...] = Field(min_length=1)


def read_catalog(folder: Path) -> Catalog:
    """Return the catalogue under a folder, or raise Invalid: which file, and which line or field of it is wrong."""
    families = [_read(path, Family) for path in sorted(folder.glob("*.toml")) if path.name not in {LICENCES, CHOOSER}]
    licences, chooser = _read(folder / LICENCES, Licences), _read(folder / CHOOSER, Chooser)
    try:
        return assemble(families, licences.licences, chooser)
    except (ValueError, Invalid) as error:
        raise _wrong(folder, str(error)) from None


def _read(path: Path, kind: type[Entry]) -> Entry:
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise _wrong(path, f"it cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise _wrong(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:  # what is no TOML, with its line; what is no UTF-8
        raise _wrong(path, str(error)) from None


def _wrong(path: Path, why: str) -> Invalid:
    return Invalid(f"The catalogue of base models is broken: {path.name}: {why}.", code="broken_catalog")
