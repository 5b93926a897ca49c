"""Files on S3, with the keys and the address that the usual AWS_* variables name: one key, or all below a prefix."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.domain.errors import Forbidden, Invalid, NotFound, StudioError, Unavailable
from app.domain.sources import MAX_FILES, harmless_name
from app.gateways.remote_storage import KEYS, PATIENT, code_of, connect, troubles
from app.gateways.storage import saying_full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain.sources import S3Source
    from workers.curation.delivery import Delivery

BLOCK_BYTES = 4 * 2**20
PIECE_BYTES = 2**20
LISTED = 1000


@dataclass(frozen=True)
class _Object:
    key: str
    size: int
    etag: str | None


def fetch_s3(source: S3Source, delivery: Delivery) -> None:
    """Bring a file, or all files of a folder."""
    with _in_words(source, delivery):
        files = connect(PATIENT)
        delivery.contacted.append(_host_of(files))
        found = _listed(files, source) if source.is_folder else [_one(files, source)]
        delivery.expect(sum(each.size for each in found))
        for each in found:
            sha256 = _bring(files, f"{source.bucket}/{each.key}", delivery)
            origin = {"kind": "s3", "url": f"s3://{source.bucket}/{each.key}", "bytes": each.size, "etag": each.etag, "sha256": sha256}
            delivery.add(harmless_name(each.key), origin)


def _host_of(files: Any) -> str:
    # What the client settled on: an address of the environment, or Amazon's of that region.
    files.connect()
    return urlsplit(str(files._s3.meta.endpoint_url)).hostname or "s3"  # noqa: SLF001 - there is no public way to ask


def _one(files: Any, source: S3Source) -> _Object:
    found = files.call_s3("head_object", Bucket=source.bucket, Key=source.key)
    return _Object(source.key, int(found["ContentLength"]), found.get("ETag"))


def _listed(files: Any, source: S3Source) -> list[_Object]:
    """Return the files below a prefix, without folders' own entries and what is hidden; one page of the list is enough to see too many."""
    answer = files.call_s3("list_objects_v2", Bucket=source.bucket, Prefix=source.key, MaxKeys=LISTED)
    entries = [_Object(each["Key"], int(each["Size"]), each.get("ETag")) for each in answer.get("Contents", [])]
    shown = [each for each in entries if each.size and not each.key.rpartition("/")[2].startswith((".", "_"))]
    if len(shown) > MAX_FILES or answer.get("IsTruncated"):
        message = f"There are more than {MAX_FILES} files below {source.url}. Name a folder with fewer, or one file."
        raise Invalid(message, param="source", code="too_many_files")
    if not shown:
        raise NotFound(f"There are no files below {source.url}.", param="source")
    return shown


def _bring(files: Any, place: str, delivery: Delivery) -> str:
    digest = hashlib.sha256()
    # A file that changes meanwhile is refused by its ETag, which every further request names.
    with files.open(place, "rb", block_size=BLOCK_BYTES, cache_type="readahead") as source, delivery.next_path().open("wb") as target:
        while piece := source.read(PIECE_BYTES):
            target.write(piece)
            digest.update(piece)
            delivery.arrived(len(piece))
    return digest.hexdigest()


@contextmanager
def _in_words(source: S3Source, delivery: Delivery) -> Iterator[None]:
    """Say what is wrong with a source; no key is ever said."""
    try:
        with saying_full(delivery.folder):
            yield
    except troubles() as error:
        raise _meaning(error, source) from error


def _meaning(error: Exception, source: S3Source) -> StudioError:
    from botocore.exceptions import NoCredentialsError

    if isinstance(error, FileNotFoundError):
        if code_of(error) == "NoSuchBucket":
            return NotFound(f"There is no bucket {source.bucket!r}.", param="source", code="unknown_bucket")
        folder = "" if source.is_folder else " For all files of a folder, put a / at the end."
        return NotFound(f"There is nothing at {source.url}.{folder}", param="source", code="unknown_key")
    if isinstance(error, NoCredentialsError):
        return Forbidden(f"S3 asks for keys, and this studio has none. {KEYS}", param="source", code="no_keys")
    if isinstance(error, PermissionError):
        return Forbidden(f"S3 does not give {source.url} to this studio's keys. {KEYS}", param="source", code="keys_refused")
    return Unavailable(f"S3 does not answer ({type(error).__name__}). Try again in a moment.", param="source", code="s3_unreachable")
