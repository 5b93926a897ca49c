"""Where rows can come from besides an upload: an address, a dataset of the Hub, files on S3; each checked before anybody is contacted."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from app.domain.outside import FETCH, check_url

MAX_FILES = 100
MAX_NAME = 120
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}", re.ASCII)
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
MAX_KEY = 1024
HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})

FILE_BEHIND = (
    (r"https://(?:www\.)?(?:huggingface|hf)\.co/(datasets/[^/]+/[^/]+)/blob/(.+)", r"https://huggingface.co/\1/resolve/\2"),
    (r"https://(?:www\.)?github\.com/([^/]+/[^/]+)/blob/(.+)", r"https://raw.githubusercontent.com/\1/\2"),
    (r"https://gitlab\.com/(.+)/-/blob/(.+)", r"https://gitlab.com/\1/-/raw/\2"),
)
"""Pages that show a file, and where the file itself lies."""
NO_FILE = (
    (
        r"(?:drive|docs)\.google\.com",
        "Google shows a page instead of the file. Download it (a sheet as CSV) and upload it here.",
    ),
    (
        r"(?:www\.)?dropbox\.com",
        "Dropbox shows a page instead of the file. Copy its direct link (on dl.dropboxusercontent.com), or download it and upload it here.",
    ),
    (r"(?:www\.)?kaggle\.com", "Kaggle gives files only to those who have signed in. Download it and upload it here."),
    (r"gist\.github\.com", "This is the page of a gist. Press Raw there, and give the address you come to."),
    (
        r"[^/]*(?:sharepoint\.com|1drv\.ms|onedrive\.live\.com)",
        "OneDrive shows a page instead of the file. Download it and upload it here.",
    ),
)
"""Hosts where only a person can get at the file, and what to do instead."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


class UrlSource(_Source):
    """A file at an address."""

    kind: Literal["url"] = "url"
    url: str

    @field_validator("url")
    @classmethod
    def _is_a_file(cls, url: str) -> str:
        # Whether private addresses are allowed is the operator's word, and asked where the file is fetched.
        check_url(url, private_allowed=True, errand=FETCH)
        address = file_behind(url)
        _check_is_no_page(address)
        return address

    def describe(self) -> str:
        """Return the address for people; its query may hold a key."""
        return shown(self.url)


class HubSource(_Source):
    """A dataset of the Hugging Face Hub: one of its configurations, and one split of that or all."""

    kind: Literal["hub"] = "hub"
    repo: str
    config: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    split: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    revision: str | None = None

    @field_validator("repo")
    @classmethod
    def _is_an_id(cls, given: str) -> str:
        repo = _repo_of_page(given)
        if not REPO.fullmatch(repo) or ".." in repo or "--" in repo:
            raise ValueError("A dataset of the Hub is written organisation/name, for example databricks/databricks-dolly-15k.")
        return repo

    @field_validator("revision")
    @classmethod
    def _is_a_name(cls, revision: str | None) -> str | None:
        if revision and (not REVISION.fullmatch(revision) or ".." in revision):
            raise ValueError("A revision is a commit, a tag or a branch, for example main.")
        return revision or None

    @field_validator("config", "split")
    @classmethod
    def _is_plain(cls, name: str | None) -> str | None:
        if name and not name.isprintable():
            raise ValueError("This name holds characters that cannot be shown.")
        return name

    def describe(self) -> str:
        """Return the dataset's name and what is taken of it."""
        parts = [part for part in (self.config, self.split) if part]
        at = f" at {self.revision[:12]}" if self.revision else ""
        return f"{self.repo}{at}" + (f" ({', '.join(parts)})" if parts else "") + " on the Hugging Face Hub"


class S3Source(_Source):
    """A file on S3, or with a / at the end all files below that."""

    kind: Literal["s3"] = "s3"
    url: str

    @field_validator("url")
    @classmethod
    def _is_a_place(cls, url: str) -> str:
        bucket, slash, key = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not BUCKET.fullmatch(bucket):
            raise ValueError("Write s3://bucket/key for a file, or s3://bucket/folder/ for all files in it, without keys or passwords.")
        if not slash:
            raise ValueError(f"Put a / at the end for all files of the bucket: s3://{bucket}/.")
        if len(key.encode()) > MAX_KEY or not key.isprintable():
            raise ValueError(f"A key on S3 has at most {MAX_KEY} bytes, all of which can be shown.")
        return url

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket."""
        return self.url.removeprefix("s3://").partition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether all files below are meant."""
        return self.url.endswith("/")

    def is_within(self, store: str) -> bool:
        """Return whether files of the studio's own store could be meant: those are other people's, whatever the keys allow."""
        own = store.rstrip("/") + "/"
        return store.startswith("s3://") and (self.url.startswith(own) or own.startswith(self.url))

    def describe(self) -> str:
        """Return the address."""
        return self.url


Source = Annotated[UrlSource | HubSource | S3Source, Field(discriminator="kind")]


def shown(url: str) -> str:
    """Return an address that people and provenance may see: without its query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" + ("?…" if parts.query else "")


def file_behind(url: str) -> str:
    """Return the address of the file that a page shows, for pages that are known; else the address itself."""
    for page, file in FILE_BEHIND:
        if re.fullmatch(page, url):
            return re.sub(page, file, url)
    return url


def _check_is_no_page(url: str) -> None:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    repo = _repo_of_page(url)
    if host in HUB_HOSTS and repo != url:
        raise ValueError(f"This is the page of a dataset. Take it from the Hub by its name: {repo}")
    is_sheet = host == "docs.google.com" and "/export" in parts.path
    is_download = host == "www.dropbox.com" and "dl=1" in parts.query.split("&")
    for hosts, advice in NO_FILE:
        if re.fullmatch(hosts, host) and not is_sheet and not is_download:
            raise ValueError(advice)


def _repo_of_page(given: str) -> str:
    """Return the dataset's name where the address of its page is given; the address of a file in it stays as it is."""
    parts = urlsplit(given) if given.startswith("https://") else None
    if parts is None or (parts.hostname or "").lower() not in HUB_HOSTS:
        return given
    found = re.fullmatch(r"/datasets/([^/]+(?:/[^/]+)?)(?:/(?:tree|viewer|discussions)(?:/.*)?)?/?", parts.path)
    return unquote(found[1]) if found else given


def harmless_name(name: str) -> str:
    """Return what a file may be called here: no folders, nothing invisible, nothing hidden; its end says what kind it is, and stays."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    clean = "".join(each for each in last if each.isprintable() and each not in '<>:"|?*').strip(" .")
    if len(clean) <= MAX_NAME:
        return clean or "file"
    stem, dot, kind = clean[-MAX_NAME:].rpartition(".")
    return clean[: MAX_NAME - len(kind) - 1] + dot + kind if stem else clean[:MAX_NAME]
