"""Base models on the Hub as a search finds them and a look shows them, and what may be asked of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from app.domain.text import Text

if TYPE_CHECKING:
    from app.domain.repository import Scan

PAGE = 20
MOST = 50


class SortBy(StrEnum):
    """By what models that were found are put in order, the most first."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    NEWEST = "newest"


class Task(StrEnum):
    """What a model on the Hub says it does, of what can be trained here."""

    TEXT_GENERATION = "text-generation"
    IMAGE_TEXT = "image-text-to-text"


class Search(BaseModel):
    """What is asked for: words of the name, bounds of size, a licence; only models with safetensors are ever asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    text: Text = Field("", max_length=100, description="Part of the model's name.", examples=["qwen"])
    author: Text = Field("", max_length=100, description="Who published it.", examples=["ibm-granite"])
    task: Task | None = Field(Task.TEXT_GENERATION, description="What it does; any when null.")
    licence: Text = Field("", max_length=60, description="The Hub's name of a licence.", examples=["apache-2.0"])
    min_parameters: int | None = Field(None, ge=0, description="Weights it has at least.", examples=[1_000_000_000])
    max_parameters: int | None = Field(None, ge=0, description="Weights it has at most.", examples=[8_000_000_000])
    sort: SortBy = Field(SortBy.DOWNLOADS, description="What comes first.")
    limit: int = Field(PAGE, ge=1, le=MOST, description="How many are shown at once.")
    cursor: Text = Field("", max_length=2000, description="Where the page before ended.")

    def fits(self, parameters: int | None) -> bool:
        """Return whether a size is within the bounds; one that nobody knows is not, where there are any."""
        if self.min_parameters is None and self.max_parameters is None:
            return True
        return parameters is not None and (self.min_parameters or 0) <= parameters <= (self.max_parameters or parameters)


@dataclass(frozen=True)
class HubModel:
    """A model as the Hub tells of it; what it does not tell is None."""

    id: str
    downloads: int = 0
    likes: int = 0
    licence: str | None = None
    parameters: int | None = None
    gated: bool = False
    task: str | None = None
    updated: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A page of a search; `cursor` leads to the next, None at the end."""

    models: list[HubModel]
    cursor: str | None = None


@dataclass(frozen=True)
class Looked:
    """One model at one commit: every file, the scan of what it holds, and its config.json where that could be read."""

    model: HubModel
    commit: str
    scan: Scan
    config: dict[str, Any] | None = field(default=None, repr=False)
