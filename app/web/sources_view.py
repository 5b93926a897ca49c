"""Where rows can come from besides an upload: what one typed, as a source; and what of a dataset of the Hub one can choose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from app.domain.errors import Invalid
from app.domain.figures import in_bytes
from app.domain.sources import HubSource, S3Source, UrlSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain.sources import Source
    from app.gateways.hub import HubListing

Made = TypeVar("Made", UrlSource, HubSource, S3Source)
ALL = ""
BETWEEN = "\N{INFORMATION SEPARATOR ONE}"
"""Parts a configuration from its split in a menu's value: no name holds it."""

ADDRESS = re.compile(r"[\w-]+(\.[\w-]+)*(\.[a-z]{2,}(:\d+)?|:\d+)/([^/]+[/?]|[^/]+\.)", re.ASCII)
"""A host and a path, or a file: nothing that is only a name on the Hub, where a dot may be in both of its parts."""


def source_at(place: str) -> Source:
    """Return what a person means by an address, a place on S3 or a name; Invalid in words when it is none."""
    place = place.strip()
    if place.startswith("s3://"):
        return checked(lambda: S3Source(url=place))
    if ADDRESS.match(place):
        message = f"This looks like an address: write https:// before it, so https://{place[:200]}."
        raise Invalid(message, param="place")
    if "://" not in place:
        return checked(lambda: HubSource(repo=place))
    try:
        # The page of a dataset on the Hub is as good as its name.
        return HubSource(repo=place)
    except ValidationError:
        return checked(lambda: UrlSource(url=place))


def name_of(source: Source) -> str:
    """Return a short name: a dataset's own, or the last part of an address."""
    place = source.repo if isinstance(source, HubSource) else source.describe()
    return place.rstrip("/?…").rpartition("/")[2] or place


def checked(make: Callable[[], Made]) -> Made:
    """Return a source, or raise Invalid with the sentence that says what is wrong with it."""
    try:
        return make()
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise Invalid(message, param="place") from None


def choices_of(listing: HubListing) -> list[tuple[str, str]]:
    """Return what can be taken of a dataset, as a menu's values and words."""
    found = []
    for config, splits in listing.configs.items():
        sizes = {split: sum(file.size for file in files) for split, files in splits.items()}
        if len(splits) > 1:
            found.append((f"{config}{BETWEEN}{ALL}", f"{config}: all of it ({in_bytes(sum(sizes.values()))})"))
        found += [(f"{config}{BETWEEN}{split}", f"{config}: {split} ({in_bytes(size)})") for split, size in sizes.items()]
    return found


def chosen(repo: str, revision: str, choice: str) -> HubSource:
    """Return the part of a dataset that was chosen."""
    config, _, split = choice.partition(BETWEEN)
    return checked(lambda: HubSource(repo=repo, revision=revision or None, config=config or None, split=split or None))
