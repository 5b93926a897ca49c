"""How the Hugging Face Hub is asked: by its HTTP API, on a person's word, within bounds; and the token goes nowhere else."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

import httpx

from app.domain.base_models import COMMIT, HUB_TOKEN
from app.domain.errors import Invalid, NotFound, StudioError, Unavailable
from app.domain.repository import HubFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = "https://huggingface.co"
OFFLINE = "HF_HUB_OFFLINE"
SECONDS, ALL_SECONDS = 10.0, 40.0
"""For one question, and for all that a look takes."""
MAX_ANSWER, MAX_PAGES, MAX_HOPS = 16 * 2**20, 20, 5
UNKNOWN, CLOSED, BUSY, MOVED = 404, frozenset({401, 403}), 429, frozenset({301, 302, 307, 308})
FILE_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""For a file: until its server is reached, and the longest it may be silent then."""
MINUTE = 60
RESET = re.compile(r";t=(\d{1,6})")
"""Where the Hub's `ratelimit` header says in how many seconds it answers again."""


class Sort(NamedTuple):
    """A kind of repository: what people call it, where its pages and its API begin, and the field that a refusal is about."""

    noun: str
    pages: str
    api: str
    param: str
    lacks: str
    """What to do about one that the Hub does not know, or does not show."""
    instead: str
    """What to do where the Hub may not be asked."""


DATASETS = Sort(
    "dataset", "datasets/", "api/datasets", "source", "for a private one HF_TOKEN has to be set and may read it", "Upload the files"
)
MODELS = Sort(
    "model", "", "api/models", "repo", "for a private one this studio needs a token that may read it", "Give a folder with the model"
)


class Hub:
    """The Hub as this studio may ask it."""

    sort: Sort

    def __init__(self, endpoint: str = ENDPOINT, *, token: str | None = None, is_offline: bool = False) -> None:
        self.endpoint, self._token, self.is_offline = endpoint.rstrip("/"), token, is_offline

    @classmethod
    def from_environment(cls) -> Self:
        """Read HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE, as the Hub's own client does."""
        offline = os.environ.get(OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}
        return cls(os.environ.get("HF_ENDPOINT") or ENDPOINT, token=os.environ.get(HUB_TOKEN) or None, is_offline=offline)

    @property
    def host(self) -> str:
        """The Hub's host, for the list of who was contacted."""
        return httpx.URL(self.endpoint).host

    @property
    def has_token(self) -> bool:
        """Whether the operator has given a token."""
        return self._token is not None

    def headers(self, token: str | None = None) -> dict[str, str]:
        """Return what every request to the Hub carries."""
        known = token or self._token
        return {"User-Agent": "Hone/1", "Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {known}"} if known else {})

    def check_online(self) -> None:
        """Raise Unavailable where the operator wants no contact."""
        if self.is_offline:
            message = f"This studio is offline ({OFFLINE} is set), so the Hub is not asked. {self.sort.instead}, or ask the operator."
            raise Unavailable(message, param=self.sort.param, code="offline")

    @contextmanager
    def asking(self, repo: str = "", token: str | None = None) -> Iterator[Asking]:
        """Give what asks about a repository."""
        self.check_online()
        with httpx.Client(headers=self.headers(token), timeout=SECONDS, follow_redirects=False) as client:
            yield Asking(self, client, repo)


class Asking:
    """A few questions about one repository, within bounds of time and bytes; redirects lead to other names on the same Hub only."""

    def __init__(self, hub: Hub, client: httpx.Client, repo: str) -> None:
        self._hub, self._client, self.repo = hub, client, repo
        self._endpoint, self._sort = hub.endpoint, hub.sort
        self._until = time.monotonic() + ALL_SECONDS

    def about(self, revision: str | None, query: str = "") -> dict[str, Any]:
        """Return what the Hub says of the repository at a revision; its name follows if it was renamed."""
        at = f"/revision/{quote(revision, safe='')}" if revision else ""
        answer, _ = self.ask(f"{self._endpoint}/{self._sort.api}/{self.repo}{at}{query}")
        return answer if isinstance(answer, dict) else {}

    def commit_of(self, about: dict[str, Any]) -> str:
        """Return the commit that an answer is about."""
        commit = about.get("sha")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise away(self._hub, "it names no commit")
        return commit

    def tree(self, revision: str) -> list[dict[str, Any]]:
        """Return every file of the repository at a revision, as the Hub lists it."""
        url: str | None = f"{self._endpoint}/{self._sort.api}/{self.repo}/tree/{quote(revision, safe='')}?recursive=true"
        entries: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            if url is None:
                return entries
            page, url = self.ask(url)
            entries += [each for each in page if isinstance(each, dict) and each.get("type") == "file"] if isinstance(page, list) else []
        message = f"{self.repo!r} has more files than can be listed here. Fetch single files by their address."
        raise Invalid(message, param=self._sort.param)

    def of(self, what: str) -> Any:
        """Return what else the Hub tells of the repository."""
        return self.ask(f"{self._endpoint}/{self._sort.api}/{self.repo}/{what}")[0]

    def file(self, entry: dict[str, Any], commit: str) -> HubFile:
        """Return a file of a listing, with its address at one commit."""
        path, lfs = str(entry.get("path", "")), entry.get("lfs")
        url = f"{self._endpoint}/{self._sort.pages}{self.repo}/resolve/{commit}/{quote(path)}"
        digest = lfs.get("oid") if isinstance(lfs, dict) else None
        size = entry.get("size")
        sha256 = str(digest).removeprefix("sha256:") if digest else None
        # Of what is kept elsewhere Git's id is of a pointer to it.
        git_id = str(entry.get("oid", "")) if not digest else ""
        return HubFile(path, url, size if isinstance(size, int) else 0, sha256, git_id if COMMIT.fullmatch(git_id) else None)

    def ask(self, url: str) -> tuple[Any, str | None]:
        """Return an answer's JSON and the address of its next page."""
        body, following = self._get(url)
        try:
            return json.loads(body), following
        except (ValueError, RecursionError) as error:
            raise away(self._hub, type(error).__name__) from error

    def read(self, file: HubFile) -> bytes:
        """Return a small file's content."""
        return self._get(file.url)[0]

    def _get(self, url: str) -> tuple[bytes, str | None]:
        try:
            for _ in range(MAX_HOPS):
                with self._client.stream("GET", url) as answer:
                    if answer.status_code not in MOVED:
                        following = answer.links.get("next", {}).get("url")
                        return self._body_of(answer), self._on_the_hub(answer, following) if following else None
                    url = self._on_the_hub(answer, answer.headers.get("location", ""))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise away(self._hub, type(error).__name__) from error
        raise away(self._hub, "too many redirects")

    def _on_the_hub(self, answer: httpx.Response, place: str) -> str:
        url = str(answer.url.join(place))
        if not url.startswith(self._endpoint + "/"):
            # The token goes with every question, so no answer may lead it elsewhere.
            raise away(self._hub, "it leads to another host")
        return url

    def _body_of(self, answer: httpx.Response) -> bytes:
        if not answer.is_success:
            raise refused(answer, self.repo, self._hub)
        body = b""
        for block in answer.iter_raw():
            body += block
            if len(body) > MAX_ANSWER or time.monotonic() > self._until:
                raise away(self._hub, "too much, or too slowly")
        return body


def refused(answer: httpx.Response, repo: str, hub: Hub) -> StudioError:
    """Say in words why the Hub does not give something."""
    code, status, sort = answer.headers.get("x-error-code", ""), answer.status_code, hub.sort
    if code == "GatedRepo":
        message = (
            f"{repo!r} is given only to those whom its owners let in. Ask for access at {hub.endpoint}/{sort.pages}{repo}, "
            "and have the operator set HF_TOKEN to a token of whoever was let in, or store that token under Settings."
        )
        return Invalid(message, param=sort.param, code=f"gated_{sort.noun}")
    if code == "RevisionNotFound":
        return NotFound(f"{repo!r} has no such revision on the Hub.", param=sort.param, code="unknown_revision")
    if status == UNKNOWN or code == "RepoNotFound" or status in CLOSED:
        message = f"The Hub has no {sort.noun} {repo!r} for this studio. Check the name; {sort.lacks}."
        return NotFound(message, param=sort.param, code=f"unknown_{sort.noun}")
    if status == BUSY:
        message = f"The Hub has been asked too often just now. Try again in {_pause_of(answer)}."
        return Unavailable(message, param=sort.param, code="hub_busy", data={"retry_after": pause_seconds(answer)})
    return away(hub, f"it answered {status}")


def pause_seconds(answer: httpx.Response) -> int | None:
    """Return for how many seconds the Hub wants to be left alone, where it says so."""
    said = answer.headers.get("retry-after", "")
    if said.isascii() and said.isdecimal():
        return int(said)
    found = RESET.search(answer.headers.get("ratelimit", ""))
    return int(found[1]) if found else None


def _pause_of(answer: httpx.Response) -> str:
    seconds = pause_seconds(answer)
    if seconds is None:
        return "some minutes"
    return f"{seconds} s" if seconds < 2 * MINUTE else f"{-(-seconds // MINUTE)} min"


def licence_of(card: Any) -> str | None:
    """Return the licence that a card names, or several by commas."""
    said = card.get("license") if isinstance(card, dict) else None
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said) if said else None


def away(hub: Hub, why: str) -> Unavailable:
    """Return the error for a Hub that cannot be asked."""
    message = f"The Hub at {hub.host} cannot be asked just now ({why}). Try again in a moment."
    return Unavailable(message, param=hub.sort.param, code="hub_unreachable")
