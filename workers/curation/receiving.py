"""One file over HTTP onto the disk: bounded in bytes and time, hashed on its way, and taken up again where the line was cut."""

from __future__ import annotations

import hashlib
import time
import zlib
from typing import TYPE_CHECKING, BinaryIO, Self

import httpx

from app.domain.errors import Invalid, StudioError, Unavailable
from app.gateways.outside import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from workers.curation.delivery import Delivery

    Ask = Callable[[dict[str, str]], AbstractContextManager[httpx.Response]]
    Refuse = Callable[[httpx.Response], StudioError]

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before the next try, as long as nothing more comes."""
LONGEST_PAUSE = 30.0
LONGEST_SECONDS = 4 * 3600.0
SLOWEST_BYTES, PATIENCE_SECONDS = 1000, 120.0
"""A server that sends fewer bytes a second than this, after so long, would hold a worker for nothing."""
PIECE_BYTES = 256 * 1024
WHOLE, PART, BEYOND = 200, 206, 416
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
ASKED = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "Hone/1"}


class Cut(Exception):
    """What came ended early, or nothing came; its text says how, `pause` for how long the server wants to be left alone."""

    def __init__(self, how: str, pause: float = 0.0) -> None:
        super().__init__(how)
        self.pause = pause

    @classmethod
    def of(cls, answer: httpx.Response) -> Self:
        """Return what an answer means that is to be asked for again."""
        return cls(f"Its server answered {answer.status_code}.", _seconds(answer.headers.get("retry-after", "")))


class Arrival:
    """A file while it arrives: what was written, its hash, and what the next request has to ask for."""

    def __init__(self, file: BinaryIO, delivery: Delivery) -> None:
        self._file, self._delivery = file, delivery
        self._began = time.monotonic()
        self.raw = self.size = 0
        self.headers = httpx.Headers()
        self._restart()

    @property
    def sha256(self) -> str:
        """The hash of what was written."""
        return self._hash.hexdigest()

    def _restart(self) -> None:
        self._delivery.arrived(-self.size)
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.raw, self.size = hashlib.sha256(), 0, 0
        self._inflate: zlib._Decompress | None = None

    def wanted(self) -> dict[str, str]:
        """Return the headers of the next request: for what is missing, if the server can say that it is the same file still."""
        etag = self.headers.get("etag", "")
        mark = etag if etag and not etag.startswith("W/") else self.headers.get("last-modified", "")
        if not self.raw or not mark:
            return dict(ASKED)
        return ASKED | {"Range": f"bytes={self.raw}-", "If-Range": mark}

    def take(self, answer: httpx.Response, refuse: Refuse) -> None:
        """Write what an answer brings, and raise unless it brings the rest."""
        if answer.status_code == BEYOND and self.raw:
            if answer.headers.get("content-range", "") == f"bytes */{self.raw}":
                return
            self.headers = httpx.Headers()
            raise Cut("The file changed while it was fetched.")
        if answer.status_code in TRY_AGAIN:
            raise Cut.of(answer)
        if answer.status_code == PART and self.raw and answer.headers.get("content-range", "").startswith(f"bytes {self.raw}-"):
            self._write(answer)
            return
        if answer.status_code != WHOLE:
            raise refuse(answer)
        self._restart()
        self.headers = answer.headers
        self._look_at(answer.headers)
        self._write(answer)

    def _look_at(self, headers: httpx.Headers) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif encoding not in {"identity", ""}:
            raise Invalid(f"Its server packs the file in a way that was not asked for ({encoding[:20]}). Download it and upload it here.")
        length = headers.get("content-length", "")
        if length.isascii() and length.isdecimal() and not self._delivery.total:
            self._delivery.expect(int(length))

    def _write(self, answer: httpx.Response) -> None:
        # In the sizes they come in: what is gathered into larger ones is lost where the line is cut.
        for block in answer.iter_raw():
            self.raw += len(block)
            for piece in self._unpacked(block):
                self._file.write(piece)
                self._hash.update(piece)
                self.size += len(piece)
                self._delivery.arrived(len(piece))
            self._check_time()

    def _unpacked(self, block: bytes) -> Iterator[bytes]:
        """Yield the content in pieces of bounded size, however well it was packed."""
        while block:
            if self._inflate is None:
                yield block
                return
            yield self._inflate.decompress(block, PIECE_BYTES)
            block = self._inflate.unconsumed_tail
            if self._inflate.eof:
                block = self._inflate.unused_data
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if block else self._inflate

    def _check_time(self) -> None:
        seconds = time.monotonic() - self._began
        if seconds > LONGEST_SECONDS:
            raise Unavailable(f"It took longer than {LONGEST_SECONDS / 3600:g} hours, and was given up.", code="too_slow")
        if seconds > PATIENCE_SECONDS and self.raw < SLOWEST_BYTES * seconds:
            raise Unavailable("Its server sends so slowly that the file would take days. Try again later.", code="too_slow")

    def check_complete(self) -> None:
        """Raise Invalid for packed content that ended early."""
        if self._inflate is not None and not self._inflate.eof:
            raise Invalid("What its server sent is damaged: it was packed, and ends early.", code="damaged")


def receive(ask: Ask, delivery: Delivery, refuse: Refuse) -> Arrival:
    """Bring one file to where the delivery wants the next; `refuse` words answers that are none."""
    with delivery.next_path().open("wb") as file:
        arrival, tries, before = Arrival(file, delivery), 0, 0
        while True:
            try:
                with ask(arrival.wanted()) as answer:
                    arrival.take(answer, refuse)
                arrival.check_complete()
            except (httpx.TransportError, Cut) as cut:
                tries, before = (0, arrival.raw) if arrival.raw > before else (tries, before)
                if tries == len(PAUSES) or (isinstance(cut, httpx.ConnectError) and not arrival.raw):
                    raise given_up(cut) from cut
                time.sleep(max(PAUSES[tries], pause_of(cut)))
                tries += 1
            except zlib.error as error:
                raise Invalid("What its server sent is damaged: it says it is packed, and is not.", code="damaged") from error
            else:
                return arrival


def pause_of(cut: Exception) -> float:
    """Return for how many seconds a server wants to be left alone."""
    return cut.pause if isinstance(cut, Cut) else 0.0


def given_up(cut: Exception, *, param: str = "source") -> Unavailable:
    """Return the error for a file whose line was cut once too often."""
    how = str(cut) if isinstance(cut, Cut) else "It did not answer in time." if isinstance(cut, httpx.TimeoutException) else in_words(cut)
    return Unavailable(f"{how} Try again in a moment.", param=param, code="not_fetched")


def _seconds(written: str) -> float:
    return min(float(written), LONGEST_PAUSE) if written.isascii() and written.isdecimal() else 0.0
