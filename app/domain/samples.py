"""The sample datasets that come with Hone: what each is about, and its two parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Part(StrEnum):
    """Which rows of a sample: those to learn from, or those held out, which share no phrase with them."""

    TRAIN = "train"
    TEST = "test"


class SampleCard(BaseModel):
    """What `sample.json` says of a sample; more may stand there for whoever generates it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    slug: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", examples=["support-emails"])
    title: str = Field(min_length=1, max_length=150, examples=["Support e-mails"])
    description: str
    task: str = Field(description="What the model is to learn, in a sentence.")
    rows: int = Field(ge=1, description="Rows to learn from.")
    test_rows: int = Field(ge=0, description="Held-out rows, in a file of their own.")


@dataclass(frozen=True)
class SampleFile:
    """One part of a sample as a file: what it is called, and its content's SHA-256."""

    name: str
    filename: str
    content: bytes
    sha256: str
