"""What people write on a run: its name, their notes, their tags, how urgent it is; changed at any time, and never read by a trainer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.domain.queueing import Priority
from app.domain.text import Text, keepable

MAX_NOTES, MAX_TAGS, MAX_TAG = 10_000, 20, 40


def _unix_lines(text: Any) -> Any:
    """Browsers send two characters for the end of a line; one is kept, and counts."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


def _tag(text: str) -> str:
    """Return a tag as it is kept: lower case, single spaces; ValueError for what could not be told apart in a list."""
    tag = " ".join(text.lower().split())
    if not tag:
        message = "a tag is empty"
        raise ValueError(message)
    if "," in tag:
        message = "a tag holds a comma, which stands between tags"
        raise ValueError(message)
    if not tag.isprintable():
        message = "a tag holds a character that cannot be seen"
        raise ValueError(message)
    if len(tag) > MAX_TAG:
        message = f"the tag {tag[:MAX_TAG]}… is longer than {MAX_TAG} characters"
        raise ValueError(message)
    return tag


def _tags(given: list[str]) -> list[str]:
    tags = list(dict.fromkeys(_tag(text) for text in given))
    if len(tags) > MAX_TAGS:
        message = f"these are {len(tags)} tags; {MAX_TAGS} is the most"
        raise ValueError(message)
    return tags


# The limits stand before what is a function: only there are they measured on what is kept.
RunName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(keepable)]
Notes = Annotated[str, StringConstraints(max_length=MAX_NOTES), BeforeValidator(_unix_lines), AfterValidator(keepable)]
Tags = Annotated[list[Text], Field(max_length=1000), AfterValidator(_tags)]


class RunChange(BaseModel):
    """What is to be written on a run; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: RunName | None = Field(None, description="1 to 200 characters. A model that was made keeps the name it has.")
    notes: Notes | None = Field(None, description=f"Plain text of up to {MAX_NOTES:,} characters.")
    tags: Tags | None = Field(None, description=f"Up to {MAX_TAGS} tags of up to {MAX_TAG} characters, kept in lower case; no commas.")
    priority: Priority | None = Field(None, description="How urgent it is while it waits.")


def split_tags(text: str) -> list[str]:
    """Return the tags of a line where commas stand between them."""
    return [part for part in text.split(",") if part.strip()]
