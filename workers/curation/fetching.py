"""Fetch a source's files into a folder: what a person asked for and nothing else, in bounded memory; whoever stops it finds nothing left.

HTTP is spoken here rather than by the Hub's client: one place then holds the bounds, the hash, the list of hosts and the leaving at once,
for any address and for the Hub alike, and no second copy stays in a cache.
"""

from __future__ import annotations

import logging
import re
import shutil
import socket
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict

from app.domain.errors import Forbidden, Invalid, NotFound, StudioError, Unavailable
from app.domain.sources import HubSource, S3Source, Source, UrlSource, harmless_name, shown
from app.gateways.outside import NotAllowed, Reader, in_words
from app.gateways.storage import saying_full
from workers.curation.delivery import Delivery, FetchReport
from workers.curation.receiving import receive

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.curation.delivery import Tell

HEAD_BYTES = 512
MAX_MARK = 200
IN_UNICODE = re.compile(r"\bfilename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
GONE = frozenset({404, 410})
CLOSED = frozenset({401, 402, 403, 407})


class FetchSpec(BaseModel):
    """What to fetch, the new folder it goes to, and how much it may be.

    `store` is the address of the studio's own store, which is never a source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    out: Path
    max_bytes: int
    private_allowed: bool = False
    store: str = ""


def fetch(spec: FetchSpec, tell: Tell) -> FetchReport:
    """Bring all files of a source, or none: a StudioError says why, and names in its data the hosts that were contacted."""
    # Addresses with their queries, which may be keys, are no business of a log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    spec.out.mkdir(parents=True)
    delivery = Delivery(spec.out, spec.max_bytes, tell)
    try:
        with saying_full(spec.out):
            BY_KIND[spec.source.kind](spec, delivery)
    except StudioError as error:
        clear(spec)
        error.data["contacted"] = delivery.contacted
        raise
    except BaseException:
        clear(spec)
        raise
    return FetchReport(files=delivery.files, contacted=delivery.contacted)


def clear(spec: FetchSpec) -> None:
    """Remove whatever was brought."""
    shutil.rmtree(spec.out, ignore_errors=True)


def _fetch_url(spec: FetchSpec, delivery: Delivery) -> None:
    assert isinstance(spec.source, UrlSource)  # noqa: S101 - for the type checker: the table below says so
    url = spec.source.url
    reader = Reader(private_allowed=spec.private_allowed)
    delivery.contacted = reader.contacted
    try:
        arrival = receive(lambda headers: reader.open(url, headers), delivery, _refused)
    except (socket.gaierror, UnicodeError, httpx.InvalidURL) as error:
        raise Unavailable(in_words(error), param="source", code="not_fetched") from error
    except (NotAllowed, ValueError) as error:
        raise Invalid(str(error), param="source", code="address_refused") from error
    name = _name_from(arrival.headers, reader.at)
    _check_is_no_page(delivery.next_path())
    headers = arrival.headers
    delivery.add(
        name,
        {
            "kind": "url", "url": shown(url), "came_from": shown(reader.at) if reader.at != url else None, "sha256": arrival.sha256,
            "bytes": arrival.size, "etag": headers.get("etag", "")[:MAX_MARK] or None,
            "last_modified": headers.get("last-modified", "")[:MAX_MARK] or None,
        },
    )  # fmt: skip


def _refused(answer: httpx.Response) -> StudioError:
    status = answer.status_code
    if status in GONE:
        return NotFound(f"There is nothing at this address (it answered {status}). Check it.", param="source")
    if status in CLOSED:
        message = f"Its server does not give this file to everybody (it answered {status}). Download it and upload it here."
        return Forbidden(message, param="source")
    return Unavailable(f"Its server answered {status} instead of sending the file.", param="source", code="not_fetched")


def _name_from(headers: httpx.Headers, url: str) -> str:
    said = Message()
    said["Content-Disposition"] = disposition = headers.get("content-disposition", "")
    # Where there are both, the one in Unicode is meant, and Python would give the other.
    in_unicode = IN_UNICODE.search(disposition)
    given = unquote(in_unicode[1]) if in_unicode else said.get_filename()
    return harmless_name(given or unquote(PurePosixPath(urlsplit(url).path).name))


def _check_is_no_page(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        message = (
            "This address gives a web page, not a file. Give the address behind its download button, or download it and upload it here."
        )
        raise Invalid(message, param="source", code="web_page")


def _fetch_hub(spec: FetchSpec, delivery: Delivery) -> None:
    from workers.curation.from_hub import fetch_hub

    assert isinstance(spec.source, HubSource)  # noqa: S101 - as above
    fetch_hub(spec.source, delivery)


def _fetch_s3(spec: FetchSpec, delivery: Delivery) -> None:
    from workers.curation.from_s3 import fetch_s3

    assert isinstance(spec.source, S3Source)  # noqa: S101 - as above
    if spec.source.is_within(spec.store):
        raise Forbidden("This is the studio's own store. Its files are imported already, and may be other people's.", param="source")
    fetch_s3(spec.source, delivery)


BY_KIND: dict[str, Callable[[FetchSpec, Delivery], None]] = {"url": _fetch_url, "hub": _fetch_hub, "s3": _fetch_s3}
