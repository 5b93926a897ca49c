"""Datasets on the Hugging Face Hub, as pickers need them: configurations, splits and files at one exact revision, by its HTTP API.

The files of the dataset itself come first. The Hub's conversion to Parquet has a history of its own, lags behind, and fills what one
row's tool calls lack with those of others; it is taken where the dataset's own files cannot be read, or are made by a program.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from app.domain.errors import Invalid, NotFound, StudioError, Unavailable
from app.domain.hub_files import sort_files

ENDPOINT = "https://huggingface.co"
CONVERTED = "refs/convert/parquet"
COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS, ALL_SECONDS = 10.0, 40.0
"""For one question, and for all that a look takes."""
MAX_ANSWER, MAX_PAGES, MAX_HOPS = 16 * 2**20, 20, 5
UNKNOWN, CLOSED, BUSY, MOVED = 404, frozenset({401, 403}), 429, frozenset({301, 302, 307, 308})


@dataclass(frozen=True)
class HubFile:
    """A file as it lies at one commit; `sha256` where the Hub says it."""

    path: str
    url: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class HubListing:
    """What there is of a dataset: configuration → split → files; `is_converted` where they are the Hub's own Parquet of it."""

    repo: str
    revision: str
    licence: str | None
    gated: bool
    configs: dict[str, dict[str, list[HubFile]]]
    is_converted: bool = False


class HubDatasets:
    """Asks the Hub on a person's word, never by itself."""

    def __init__(self, endpoint: str = ENDPOINT, *, token: str | None = None, is_offline: bool = False) -> None:
        self.endpoint, self._token, self.is_offline = endpoint.rstrip("/"), token, is_offline

    @classmethod
    def from_environment(cls) -> Self:
        """Read HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE, as the Hub's own client does."""
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        return cls(os.environ.get("HF_ENDPOINT") or ENDPOINT, token=os.environ.get("HF_TOKEN") or None, is_offline=offline)

    @property
    def host(self) -> str:
        """The Hub's host, for the list of who was contacted."""
        return httpx.URL(self.endpoint).host

    def headers(self, token: str | None = None) -> dict[str, str]:
        """Return what every request to the Hub carries."""
        known = token or self._token
        return {"User-Agent": "Hone/1", "Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {known}"} if known else {})

    def check_online(self) -> None:
        """Raise Unavailable where the operator wants no contact."""
        if self.is_offline:
            message = "This studio is offline (HF_HUB_OFFLINE is set), so the Hub is not asked. Upload the files, or ask the operator."
            raise Unavailable(message, param="source", code="offline")

    def look(self, repo: str, revision: str | None = None, token: str | None = None) -> HubListing:
        """Return what there is at a revision, by default the newest."""
        self.check_online()
        with httpx.Client(headers=self.headers(token), timeout=SECONDS, follow_redirects=False) as client:
            return _Look(self.endpoint, client, repo, revision).listing()


class _Look:
    """One look at a dataset: a few questions, within bounds of time and bytes."""

    def __init__(self, endpoint: str, client: httpx.Client, repo: str, revision: str | None) -> None:
        self._endpoint, self._client, self._repo, self._revision = endpoint, client, repo, revision
        self._until = time.monotonic() + ALL_SECONDS

    def listing(self) -> HubListing:
        about = self._about(self._revision)
        self._repo = str(about.get("id") or self._repo)  # it may have been renamed
        commit, card = self._commit_of(about), about.get("cardData")
        entries = self._tree(commit)
        configs = {} if self._is_scripted(entries) else self._sorted(entries, commit, card)
        is_converted = not configs and (self._revision is None or self._about(None).get("sha") == commit)
        if is_converted:
            configs = self._converted()
        if not configs:
            message = (
                f"{self._repo!r} has no files on the Hub that Hone can read as rows. Look at its page, and upload them in another form."
            )
            raise Invalid(message, param="source", code="no_rows")
        return HubListing(self._repo, commit, _licence_of(card), bool(about.get("gated")), configs, is_converted)

    def _about(self, revision: str | None) -> dict[str, Any]:
        at = f"/revision/{quote(revision, safe='')}" if revision else ""
        answer, _ = self._ask(f"{self._endpoint}/api/datasets/{self._repo}{at}")
        return answer if isinstance(answer, dict) else {}

    def _commit_of(self, about: dict[str, Any]) -> str:
        commit = about.get("sha")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise _away(self._endpoint, "it names no commit")
        return commit

    def _tree(self, revision: str) -> list[dict[str, Any]]:
        url: str | None = f"{self._endpoint}/api/datasets/{self._repo}/tree/{quote(revision, safe='')}?recursive=true"
        entries: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            if url is None:
                return entries
            page, url = self._ask(url)
            entries += [each for each in page if isinstance(each, dict) and each.get("type") == "file"] if isinstance(page, list) else []
        raise Invalid(f"{self._repo!r} has more files than can be listed here. Fetch single files by their address.", param="source")

    def _is_scripted(self, entries: list[dict[str, Any]]) -> bool:
        """Return whether a program of the dataset's own makes its rows; it is never run here."""
        return any(entry.get("path") == f"{self._repo.rpartition('/')[2]}.py" for entry in entries)

    def _sorted(self, entries: list[dict[str, Any]], commit: str, card: Any) -> dict[str, dict[str, list[HubFile]]]:
        files = {file.path: file for file in (self._file(entry, commit) for entry in entries)}
        sorted_ = sort_files(sorted(files), card)
        return {name: {split: [files[path] for path in paths] for split, paths in splits.items()} for name, splits in sorted_.items()}

    def _converted(self) -> dict[str, dict[str, list[HubFile]]]:
        """Return what the Hub has converted as a whole: <configuration>/<split>/0000.parquet in a branch of its own."""
        try:
            splits, _ = self._ask(f"{self._endpoint}/api/datasets/{self._repo}/parquet")
            commit = self._commit_of(self._about(CONVERTED))
            entries = self._tree(commit)
        except NotFound:
            return {}
        found: dict[str, dict[str, list[HubFile]]] = {}
        for file in sorted((self._file(entry, commit) for entry in entries), key=lambda file: file.path):
            config, split = [*file.path.split("/"), ""][:2]
            if isinstance(splits, dict) and split in (splits.get(config) or {}):
                found.setdefault(config, {}).setdefault(split, []).append(file)
        return found

    def _file(self, entry: dict[str, Any], commit: str) -> HubFile:
        path, lfs = str(entry.get("path", "")), entry.get("lfs")
        url = f"{self._endpoint}/datasets/{self._repo}/resolve/{commit}/{quote(path)}"
        digest = lfs.get("oid") if isinstance(lfs, dict) else None
        size = entry.get("size")
        return HubFile(path, url, size if isinstance(size, int) else 0, str(digest).removeprefix("sha256:") if digest else None)

    def _ask(self, url: str) -> tuple[Any, str | None]:
        """Return an answer's JSON and the address of its next page; redirects lead to other names on the same Hub only."""
        try:
            for _ in range(MAX_HOPS):
                with self._client.stream("GET", url) as answer:
                    if answer.status_code not in MOVED:
                        following = answer.links.get("next", {}).get("url")
                        return self._json_of(answer), self._on_the_hub(answer, following) if following else None
                    url = self._on_the_hub(answer, answer.headers.get("location", ""))
        except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _away(self._endpoint, type(error).__name__) from error
        raise _away(self._endpoint, "too many redirects")

    def _on_the_hub(self, answer: httpx.Response, place: str) -> str:
        url = str(answer.url.join(place))
        if not url.startswith(self._endpoint + "/"):
            # The token goes with every question, so no answer may lead it elsewhere.
            raise _away(self._endpoint, "it leads to another host")
        return url

    def _json_of(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            raise refused(answer, self._repo, self._endpoint)
        body = b""
        for block in answer.iter_raw():
            body += block
            if len(body) > MAX_ANSWER or time.monotonic() > self._until:
                raise _away(self._endpoint, "too much, or too slowly")
        return json.loads(body)


def refused(answer: httpx.Response, repo: str, endpoint: str) -> StudioError:
    """Say in words why the Hub does not give something."""
    code, status = answer.headers.get("x-error-code", ""), answer.status_code
    if code == "GatedRepo":
        message = (
            f"{repo!r} is given only to those whom its owners let in. Ask for access at {endpoint}/datasets/{repo}, "
            "and have the operator set HF_TOKEN to a token of whoever was let in."
        )
        return Invalid(message, param="source", code="gated_dataset")
    if code == "RevisionNotFound":
        return NotFound(f"{repo!r} has no such revision on the Hub.", param="source", code="unknown_revision")
    if status == UNKNOWN or code == "RepoNotFound" or status in CLOSED:
        message = (
            f"The Hub has no dataset {repo!r} for this studio. Check the name; for a private one HF_TOKEN has to be set and may read it."
        )
        return NotFound(message, param="source", code="unknown_dataset")
    if status == BUSY:
        return Unavailable("The Hub has been asked too often just now. Try again in some minutes.", param="source", code="hub_busy")
    return _away(endpoint, f"it answered {status}")


def _licence_of(card: Any) -> str | None:
    said = card.get("license") if isinstance(card, dict) else None
    return ", ".join(map(str, said)) if isinstance(said, list) else str(said) if said else None


def _away(endpoint: str, why: str) -> Unavailable:
    message = f"The Hub at {httpx.URL(endpoint).host} cannot be asked just now ({why}). Try again in a moment."
    return Unavailable(message, param="source", code="hub_unreachable")
