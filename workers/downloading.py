"""`python -m workers.downloading SPEC.json --events-fd N`: fetches the files of one base model, and goes on where an earlier try broke off.

HTTP is spoken here rather than by the Hub's client, which tells nobody how far it is in a way that survives it, and keeps a second copy in
a cache. Each file is taken only if its size and hash are what the Hub told when the model was looked at; the model appears, by a rename,
when all of them are there and the folder has passed the check that every base must pass.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import logging
import os
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.domain.base_models import COMMIT, HUB_ID, check_model_folder
from app.domain.errors import Unavailable
from app.domain.events import Contacted, Doing, Finished
from app.domain.repository import NAME
from app.gateways.fetched_bases import LOCK
from app.gateways.hub_client import FILE_TIMEOUT, refused
from app.gateways.hub_models import HubModels
from app.gateways.storage import saying_full
from workers.curation.child import UNUSABLE_SPEC, Reporter, leave_with, see_through
from workers.curation.receiving import PATIENCE_SECONDS, PAUSES, SLOWEST_BYTES, TRY_AGAIN, Cut, given_up, pause_of
from workers.lifeline import die_with_parent
from workers.training.room import free_bytes, no_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger("hone.download")
PIECE_BYTES = 1024 * 1024
PART, BEYOND = 206, 416
SPARE_BYTES = 64 * 10**6
"""What is left free besides: the database may lie on the same disk."""
WORDS: dict[type[Exception], str] = {
    MemoryError: "The download needed more memory than there is.",
    Exception: "The download broke unexpectedly; the log has the details.",
}
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 24 * 3600.0
"""For one file of one try: the next goes on where this one was given up."""
GO_ON = "Try again later: it goes on where it was."


class WantedFile(BaseModel):
    """A file, and what the Hub told of its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, StringConstraints(pattern=NAME.pattern)]
    size: int = Field(ge=0)
    sha256: str | None = None
    git_id: str | None = None


class DownloadSpec(BaseModel):
    """Which files of which model at which commit, where they lie until all have come, and where then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo: Annotated[str, StringConstraints(pattern=HUB_ID.pattern)]
    commit: Annotated[str, StringConstraints(pattern=COMMIT.pattern)]
    files: list[WantedFile] = Field(min_length=1, max_length=2000)
    parts: Path
    target: Path

    @property
    def size(self) -> int:
        """All bytes there are to come."""
        return sum(file.size for file in self.files)


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch one model; without --events-fd the events go to standard output and nobody is listened to."""
    parser = argparse.ArgumentParser(prog="python -m workers.downloading", description="Fetch the files of one base model.")
    parser.add_argument("spec", type=Path, help="JSON file: repo, commit, files, parts, target")
    parser.add_argument("--events-fd", type=int, default=None, help="inherited descriptor for events; default: standard output")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    # Addresses that files are redirected to hold keys of their own.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        spec = DownloadSpec.model_validate_json(given.spec.read_bytes())
    except (OSError, ValidationError) as error:
        log.error("The spec %s cannot be used: %s", given.spec, error)  # noqa: TRY400 - the sentence is enough
        return UNUSABLE_SPEC
    reporter = Reporter(sys.stdout.fileno() if given.events_fd is None else given.events_fd)
    doing = f"Fetching {spec.repo}"
    if given.events_fd is None:
        return see_through(reporter, partial(download, spec), doing=doing, words=WORDS)
    die_with_parent()
    listen = partial(leave_with, sys.stdin, lambda: None)  # what has come stays for the next try
    return see_through(reporter, partial(download, spec), doing=doing, words=WORDS, listen=listen)


def download(spec: DownloadSpec, reporter: Reporter) -> Finished:
    """Bring what is missing of a model and put it in its place; a StudioError says why that cannot be."""
    hub = HubModels.from_environment()
    hub.check_online()
    contacted: set[str] = set()

    def tell(request: httpx.Request) -> None:
        host = request.url.host
        if host not in contacted:
            contacted.add(host)
            reporter.emit(Contacted(host=host))

    with _alone(spec, reporter), saying_full(spec.parts.parent):
        if not spec.target.is_dir():
            hooks = {"request": [tell]}
            # The token goes to the Hub alone: httpx forgets it where a file lies on another host.
            with httpx.Client(
                headers=hub.headers(), timeout=FILE_TIMEOUT, follow_redirects=True, max_redirects=5, event_hooks=hooks
            ) as client:
                _Model(spec, hub, client, reporter).bring()
    return Finished(status="succeeded")


@contextmanager
def _alone(spec: DownloadSpec, reporter: Reporter) -> Iterator[None]:
    """Wait until nobody else on this machine fetches the very same model; the kernel frees the lock of whoever dies."""
    spec.parts.parent.mkdir(parents=True, exist_ok=True)
    with spec.parts.with_name(spec.parts.name + LOCK).open("w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                reporter.emit(Doing(what="waiting for another download of the same model"))
                time.sleep(LOOK_SECONDS)
        yield


class _Model:
    """One model on its way: files that are whole lie under their names, the others end in .part."""

    def __init__(self, spec: DownloadSpec, hub: HubModels, client: httpx.Client, reporter: Reporter) -> None:
        self._spec, self._hub, self._client, self._reporter = spec, hub, client, reporter
        self._done = self._files = 0
        self._began = time.monotonic()

    def bring(self) -> None:
        """Fetch what is missing, and move all of it to its place."""
        spec = self._spec
        spec.parts.mkdir(exist_ok=True)
        missing = spec.size - sum(min(self._there(file), file.size) for file in spec.files)
        if free_bytes(spec.parts) < missing + SPARE_BYTES:
            raise no_room(spec.parts, needed=missing + SPARE_BYTES)
        for file in spec.files:
            self._bring(file)
        for left in (path for path in spec.parts.iterdir() if path.name not in {file.path for file in spec.files}):
            left.unlink()
        check_model_folder([file.path for file in spec.files], lambda name: (spec.parts / name).read_bytes())
        _flush(spec.parts)
        spec.target.parent.mkdir(parents=True, exist_ok=True)
        spec.parts.rename(spec.target)
        os.utime(spec.target)  # by when it became whole the newest is known

    def _there(self, file: WantedFile) -> int:
        found = [path.stat().st_size for path in (self._place(file), self._part(file)) if path.is_file()]
        return max(found, default=0)

    def _place(self, file: WantedFile) -> Path:
        return self._spec.parts / file.path

    def _part(self, file: WantedFile) -> Path:
        return self._spec.parts / f"{file.path}.part"

    def _bring(self, file: WantedFile) -> None:
        if not self._place(file).is_file():
            tries, self._began = 0, time.monotonic()
            while True:
                before = self._there(file)
                try:
                    self._go_on(file)
                    break
                except (httpx.HTTPError, httpx.InvalidURL, Cut) as cut:
                    tries = 0 if self._there(file) > before else tries
                    if tries == len(PAUSES) or not isinstance(cut, (httpx.TransportError, Cut)):
                        raise given_up(cut, param="repo") from cut
                    time.sleep(max(PAUSES[tries], pause_of(cut)))
                    tries += 1
            self._part(file).rename(self._place(file))
        self._done, self._files = self._done + file.size, self._files + 1
        self._reporter.progress(self._done, self._spec.size, self._files)

    def _go_on(self, file: WantedFile) -> None:
        """Ask for what is missing of a file, and take it if it is what it should be."""
        with self._part(file).open("a+b") as part:
            digest = _Digest(file)
            part.seek(0)
            while block := part.read(PIECE_BYTES):
                digest.update(block)
            if digest.size < file.size:
                self._receive(file, digest, part.write)
            part.flush()
            os.fsync(part.fileno())
        if not digest.is_right:
            self._part(file).unlink()
            message = f"{file.path!r} did not arrive as the Hub says it is. Try again; if it happens again, the Hub's copy is damaged."
            raise Unavailable(message, param="repo", code="damaged")

    def _receive(self, file: WantedFile, digest: _Digest, write: Callable[[bytes], object]) -> None:
        url = f"{self._hub.endpoint}/{self._spec.repo}/resolve/{self._spec.commit}/{file.path}"
        start, began = digest.size, time.monotonic()
        with self._client.stream("GET", url, headers={"Range": f"bytes={start}-"} if start else {}) as answer:
            if answer.status_code in TRY_AGAIN:
                raise Cut.of(answer)
            if not answer.is_success:
                raise refused(answer, self._spec.repo, self._hub)
            if start and answer.status_code != PART:
                # It begins anew: what is there already would be written twice.
                self._part(file).unlink()
                raise Cut("Its server does not go on where it broke off.")
            for block in answer.iter_raw():
                write(block)
                digest.update(block)
                if digest.size > file.size:
                    return
                self._reporter.progress(self._done + digest.size, self._spec.size, self._files)
                self._check_time(digest.size - start, time.monotonic() - began)
        if digest.size < file.size:
            raise Cut("The connection broke before it was all there.")

    def _check_time(self, came: int, seconds: float) -> None:
        """Raise Unavailable for an answer that would hold the worker for nothing; what has come of the file stays for the next try."""
        if time.monotonic() - self._began > LONGEST_SECONDS:
            raise Unavailable(f"A file took longer than {LONGEST_SECONDS / 3600:g} hours. {GO_ON}", param="repo", code="too_slow")
        if seconds > PATIENCE_SECONDS and came < SLOWEST_BYTES * seconds:
            raise Unavailable(f"Its server sends so slowly that it would take days. {GO_ON}", param="repo", code="too_slow")


class _Digest:
    """The hash of a file that arrives, as the Hub counts it: SHA-256 of what is kept elsewhere, Git's own of the rest."""

    def __init__(self, file: WantedFile) -> None:
        self._file, self.size = file, 0
        self._hash = hashlib.sha256() if file.sha256 or not file.git_id else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, block: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(block)
        self.size += len(block)

    @property
    def is_right(self) -> bool:
        """Whether it is all there, and what it should be."""
        wanted = self._file.sha256 or self._file.git_id
        return self.size == self._file.size and (wanted is None or self._hash.hexdigest() == wanted)


def _flush(folder: Path) -> None:
    """Have the names of the files on the disk before the folder gets its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
