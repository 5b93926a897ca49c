"""What the services need from outside, as protocols; `app.gateways` has the real ones, tests may bring their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.domain.base_models import BaseModel
    from app.domain.datasets import Row
    from app.domain.fixes import Fix
    from app.domain.hub_models import Found, Looked, Search
    from app.domain.preflight import Preflight
    from app.domain.problems import Finding, Trouble
    from app.domain.recipes import Recipe
    from app.domain.samples import Part, SampleCard, SampleFile


class Queue(Protocol):
    """Something that tells workers to look into the database sooner than they would."""

    def ring(self, queue: str) -> None:
        """Wake the workers of a queue; a lost or doubled ring does no harm."""


@dataclass(frozen=True)
class Brought:
    """A file that somebody has brought: what it is called there, and where it lies until it is moved into the store."""

    filename: str
    path: Path


@dataclass(frozen=True)
class Sealed:
    """A finished file that is not yet in the store: where it lies, its SHA-256, and its size in bytes."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Blob:
    """A file that lies in the store: its name, its size, and since when (seconds since 1970)."""

    sha256: str
    size_bytes: int
    since: float


class Storage(Protocol):
    """Files by content: a file's name is its SHA-256."""

    def seal(self, source: Path) -> Sealed:
        """Flush and hash a finished file."""

    def put(self, sealed: Sealed) -> None:
        """Move a sealed file in; StorageUnavailable when it is to be sealed again."""

    def path(self, sha256: str) -> Path:
        """Return a local path to read it from; NotFound when it is gone."""

    def remove(self, sha256: str) -> None:
        """Drop it; nothing happens when it is gone already."""

    def measure(self, sha256: str) -> tuple[str, int] | None:
        """Return the SHA-256 and the size of what really lies in the store under that name, read anew; None when nothing does."""

    def blobs(self) -> Iterator[Blob]:
        """Yield everything that lies in the store."""

    def rows(self, sha256: str) -> RowFile:
        """Open a dataset's Parquet file for reading by page."""

    def findings(self, sha256: str) -> FindingsFile:
        """Open the file that says what was found in each row of a version."""

    def adapter_folder(self, sha256: str) -> Path:
        """Return a folder with the files of an adapter.zip."""


class RowFile(Protocol):
    """Rows of a dataset, counted from 0 in their file's order."""

    @property
    def count(self) -> int:
        """How many rows there are."""

    def page(self, after: int, limit: int) -> tuple[Sequence[Row], bool]:
        """Return up to `limit` rows with a number above `after`, and whether there are more."""

    def rows_at(self, numbers: Sequence[int]) -> Sequence[Row]:
        """Return the rows of these numbers, in this order; those that are not there are left out."""

    def each(self, numbers: Iterable[int]) -> Iterator[Row]:
        """Yield the rows of these numbers as the file has them in order, one at a time, since each may be large."""

    def search(self, text: str, after: int, limit: int) -> tuple[Sequence[int], bool]:
        """Return up to `limit` numbers above `after` of rows in which `text` is said, in any case, and whether there are more."""

    def jsonl(self, *, every_side: bool = False) -> Iterator[bytes]:
        """Yield all rows as OpenAI chat JSONL; a row says which side it is on where nothing else tells, or `every_side` is asked for."""


class Looker(Protocol):
    """Somebody who has the tokenizers of bases, and renders their templates where these can do no harm."""

    def look(self, body: bytes) -> Preflight:
        """Return what a run would learn from the rows that the JSON names; Unavailable when nobody can look."""


class FindingsFile(Protocol):
    """What was found in each row of a version."""

    rows: int

    def extremes(self, many: int) -> list[int]:
        """Return so many rows with the most tokens, and as many with the fewest."""

    def counts(self, max_tokens: int | None = None) -> dict[Trouble, int]:
        """Return how many rows each problem is in, without those that no row has; too long is what has more tokens than are given."""

    def page(self, trouble: Trouble | None, *, after: int, limit: int, max_tokens: int | None = None) -> tuple[list[int], bool]:
        """Return up to `limit` rows behind `after` that have a problem, or any rows, and whether there are more."""

    def of(self, rows: Sequence[int]) -> list[Finding]:
        """Return what was found in these rows, in the order in which they are given."""

    def groups(self, trouble: Trouble, *, after: int, limit: int) -> list[tuple[list[int], int]]:
        """Return up to `limit` groups whose first row comes behind `after`: their rows, and the one to keep."""

    def select(self, fix: Fix) -> Selection:
        """Return which rows a fix leaves out and which it may change; Invalid for one that is about no rows of the version."""


class Selection(Protocol):
    """The rows a fix leaves out, and those it may change: for each row of the version whether it is one."""

    @property
    def drop(self) -> Any:
        """Return the rows that are left out."""

    @property
    def touch(self) -> Any:
        """Return the rows that may be changed."""

    def after(self, row: Row, finding: Finding) -> Row | None:
        """Return the row as the fix leaves it; None when it is left out."""


class BaseModels(Protocol):
    """Base models as a person names them."""

    def find(self, name: str) -> BaseModel:
        """Return the base `name` means, or raise Invalid (unknown_model, unsafe_format, remote_code)."""

    def listed(self) -> Sequence[BaseModel]:
        """Return the bundled base and the good folders this studio knows."""


class ModelHub(Protocol):
    """The Hub, where base models are looked for on a person's word."""

    @property
    def host(self) -> str:
        """Its host, for the list of who was contacted."""

    @property
    def is_offline(self) -> bool:
        """Whether the operator wants no contact."""

    @property
    def has_token(self) -> bool:
        """Whether the operator has given a token."""

    def check_online(self) -> None:
        """Raise Unavailable where the operator wants no contact."""

    def search(self, wanted: Search, token: str | None = None) -> Found:
        """Return a page of models that fit."""

    def look(self, repo: str, revision: str | None = None, token: str | None = None) -> Looked:
        """Return a model at a revision with the scan of its files."""


class FetchedModels(Protocol):
    """The folder of base models that were fetched from the Hub, each whole or not there at all."""

    def listed(self) -> Sequence[tuple[str, Path]]:
        """Return the models that are here, by name, each at the commit that was fetched last."""

    def has(self, repo: str, commit: str) -> bool:
        """Return whether a model is here at this very commit."""

    def free_bytes(self) -> int:
        """Return how much may still be written where models go."""

    def part_bytes(self, repo: str, commit: str) -> int:
        """Return how much of a model has come that is not whole."""

    def remove(self, repo: str, commit: str) -> None:
        """Remove a model, whole or not."""


class Shelf(Protocol):
    """The sample datasets that come with Hone."""

    def listed(self) -> Sequence[SampleCard]:
        """Return every sample's card."""

    def file(self, slug: str, part: Part) -> SampleFile:
        """Return one part of a sample, or NotFound."""


class Recipes(Protocol):
    """The recipes that come with Hone."""

    def listed(self) -> Sequence[Recipe]:
        """Return every recipe."""

    def find(self, slug: str) -> Recipe:
        """Return a recipe, or NotFound."""

    def sample(self, slug: str, *, rows: int | None = None, seed: int = 0) -> SampleFile:
        """Return sample rows as a file, always the same for the same number and seed; Invalid for more than there are."""


@dataclass(frozen=True)
class Locked:
    """A secret as a database keeps it, and which key opens it."""

    text: str
    key_id: str


class Secrets(Protocol):
    """Locks secrets before they are kept."""

    def lock(self, text: str) -> Locked:
        """Encrypt a text."""

    def unlock(self, locked: Locked) -> str:
        """Decrypt it; StudioError when the key is another."""
