"""Files of a dataset on the Hub: of the configuration and splits that were chosen, at one commit, each compared with the Hub's own hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from app.domain.errors import Invalid, Unavailable
from app.domain.sources import MAX_FILES, harmless_name
from app.gateways.hub import HubDatasets
from app.gateways.hub_client import FILE_TIMEOUT, refused
from workers.curation.receiving import receive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.repository import HubFile
    from app.domain.sources import HubSource
    from app.gateways.hub import HubListing
    from workers.curation.delivery import Delivery

    Chosen = list[tuple[str, HubFile]]

SHOWN = 12


def fetch_hub(source: HubSource, delivery: Delivery) -> None:
    """Bring the chosen files; the token goes to the Hub alone and not to wherever it keeps its files."""
    hub = HubDatasets.from_environment()
    hub.check_online()
    delivery.contacted.append(hub.host)
    listing = hub.look(source.repo, source.revision)
    config, chosen = choose(listing, source)
    delivery.expect(sum(file.size for _, file in chosen))

    def note(request: httpx.Request) -> None:
        if request.url.host not in delivery.contacted:
            delivery.contacted.append(request.url.host)

    hooks = {"request": [note]}
    with httpx.Client(headers=hub.headers(), timeout=FILE_TIMEOUT, follow_redirects=True, max_redirects=5, event_hooks=hooks) as client:
        for split, file in chosen:
            sha256 = _bring(client, file, delivery, (hub, listing))
            delivery.add(harmless_name(file.path), _origin(listing, config, split, file) | {"sha256": sha256}, split=split)


def choose(listing: HubListing, source: HubSource) -> tuple[str, Chosen]:
    """Return the configuration and its files that a source means; Invalid names what there is."""
    configs = listing.configs
    config = source.config or ("default" if "default" in configs else next(iter(configs)) if len(configs) == 1 else "")
    if config not in configs:
        asked = f"has no configuration {source.config!r}" if source.config else "has several configurations"
        raise Invalid(f"{listing.repo!r} {asked}. Choose one of: {_listed(list(configs))}.", param="config", code="unknown_config")
    splits = configs[config]
    if source.split and source.split not in splits:
        message = f"{listing.repo!r} has no split {source.split!r}. Choose one of: {_listed(list(splits))}."
        raise Invalid(message, param="split", code="unknown_split")
    wanted = [source.split] if source.split else list(splits)
    chosen = [(split, file) for split in wanted for file in splits[split]]
    if len(chosen) > MAX_FILES:
        message = f"This would be {len(chosen):,} files, and {MAX_FILES} may be brought at once. Choose one split, or fetch single files."
        raise Invalid(message, param="split", code="too_many_files")
    return config, chosen


def _bring(client: httpx.Client, file: HubFile, delivery: Delivery, of: tuple[HubDatasets, HubListing]) -> str:
    hub, listing = of

    try:
        arrival = receive(
            lambda headers: client.stream("GET", file.url, headers=headers),
            delivery,
            lambda answer: refused(answer, listing.repo, hub),
        )
    except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
        message = f"The Hub leads to no file for {file.path!r}. Try again later."
        raise Unavailable(message, param="source", code="hub_unreachable") from error
    if (file.sha256 and file.sha256 != arrival.sha256) or (file.size and file.size != arrival.size):
        message = f"{file.path!r} did not arrive as the Hub says it is. Try again; if it happens again, the Hub's copy is damaged."
        raise Unavailable(message, param="source", code="damaged")
    return arrival.sha256


def _origin(listing: HubListing, config: str, split: str, file: HubFile) -> dict[str, object]:
    return {
        "kind": "hub", "repo": listing.repo, "revision": listing.revision, "config": config, "split": split, "path": file.path,
        "url": file.url, "bytes": file.size, "licence": listing.licence, "converted_by_the_hub": listing.is_converted or None,
    }  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:60] for name in names[:SHOWN]) + more
