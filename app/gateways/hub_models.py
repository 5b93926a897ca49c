"""Base models on the Hub: searched for with its own filters, and looked at file by file at one exact revision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from app.domain.base_models import is_hub_id
from app.domain.errors import Invalid, StudioError
from app.domain.hub_models import Found, HubModel, Looked, SortBy
from app.domain.repository import scan
from app.gateways.hub_client import MODELS, Hub, away, licence_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain.hub_models import Search
    from app.domain.repository import HubFile
    from app.gateways.hub_client import Asking

EXPANDED = ("downloads", "likes", "gated", "tags", "safetensors", "lastModified", "pipeline_tag")
SORTS = {SortBy.DOWNLOADS: "downloads", SortBy.LIKES: "likes", SortBy.NEWEST: "createdAt"}
LICENCE_TAG = "license:"
MAX_TAGS = 200


class HubModels(Hub):
    """Asks for base models."""

    sort = MODELS

    def search(self, wanted: Search, token: str | None = None) -> Found:
        """Return a page of models that fit; those of which the Hub tells no size only where none is asked for."""
        with self.asking(token=token) as asking:
            listed, following = asking.ask(f"{self.endpoint}/api/models?{_query(wanted)}")
        if not isinstance(listed, list):
            raise away(self, "its answer is no list")
        models = [_model(each) for each in listed if isinstance(each, dict) and isinstance(each.get("id"), str)]
        # Asked for again here: a Hub of one's own may know fewer filters.
        return Found([model for model in models if _fits(model, wanted)], _cursor(following))

    def look(self, repo: str, revision: str | None = None, token: str | None = None) -> Looked:
        """Return a model at a revision, by default the newest, with the scan of its files; nothing that could run is read."""
        if not is_hub_id(repo):
            raise Invalid(f"{repo[:100]!r} is no name on the Hub. Write it as organisation/name.", param="repo", code="unknown_model")
        with self.asking(repo, token) as asking:
            about = asking.about(revision)
            asking.repo = str(about.get("id") or repo)  # it may have been renamed
            if not is_hub_id(asking.repo):
                raise Invalid(f"The Hub calls it {asking.repo[:100]!r}, which is no name.", param="repo", code="unknown_model")
            commit = asking.commit_of(about)
            files = [asking.file(entry, commit) for entry in asking.tree(commit)]
            return _looked(_model(about | {"id": asking.repo}), commit, files, _Reader(asking, files), private=bool(about.get("private")))


class _Reader:
    """Reads small files of one repository, each of them once."""

    def __init__(self, asking: Asking, files: list[HubFile]) -> None:
        self._asking, self._files = asking, {file.path: file for file in files}
        self._known: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """Return a file's content, or raise as the Hub refuses it."""
        if name not in self._known:
            self._known[name] = self._asking.read(self._files[name])
        return self._known[name]

    def config(self) -> dict[str, Any] | None:
        """Return what config.json says; None where it cannot be had or makes no sense."""
        try:
            document = json.loads(self.read("config.json"))
        except (KeyError, ValueError, RecursionError, StudioError):
            return None
        return document if isinstance(document, dict) else None


def _looked(model: HubModel, commit: str, files: list[HubFile], reader: _Reader, *, private: bool) -> Looked:
    found = scan(files, reader.read, licence=model.licence, gated=model.gated, private=private)
    return Looked(model, commit, found, None if found.objection and found.objection.code == "gated_model" else reader.config())


def _query(wanted: Search) -> str:
    return urlencode(list(_parameters(wanted)))


def _parameters(wanted: Search) -> Iterator[tuple[str, str | int]]:
    yield from (("search", wanted.text), ("author", wanted.author)) if wanted.author else (("search", wanted.text),)
    yield "filter", "safetensors"
    if wanted.licence:
        yield "filter", LICENCE_TAG + wanted.licence
    if wanted.task:
        yield "pipeline_tag", wanted.task
    bounds = {"min": wanted.min_parameters, "max": wanted.max_parameters}
    if given := [f"{name}:{bound}" for name, bound in bounds.items() if bound is not None]:
        yield "num_parameters", ",".join(given)
    yield from (("sort", SORTS[wanted.sort]), ("direction", -1), ("limit", wanted.limit))
    yield from (("expand", name) for name in EXPANDED)
    if wanted.cursor:
        yield "cursor", wanted.cursor


def _fits(model: HubModel, wanted: Search) -> bool:
    return wanted.fits(model.parameters) and (not wanted.licence or model.licence in {None, wanted.licence})


def _cursor(following: str | None) -> str | None:
    """Return what leads to the next page: only that is taken of the address which the Hub names."""
    return parse_qs(urlsplit(following).query).get("cursor", [None])[0] if following else None


def _model(said: dict[str, Any]) -> HubModel:
    tags = tuple(str(tag)[:200] for tag in said.get("tags") or () if isinstance(tag, str))[:MAX_TAGS]
    tagged = next((tag.removeprefix(LICENCE_TAG) for tag in tags if tag.startswith(LICENCE_TAG)), None)
    stored = said.get("safetensors")
    return HubModel(
        id=str(said.get("id")), downloads=_number(said.get("downloads")) or 0, likes=_number(said.get("likes")) or 0,
        licence=licence_of(said.get("cardData")) or tagged, parameters=_number(stored.get("total")) if isinstance(stored, dict) else None,
        gated=bool(said.get("gated")), task=_text(said.get("pipeline_tag")), updated=_text(said.get("lastModified")), tags=tags,
    )  # fmt: skip


def _number(said: object) -> int | None:
    return said if type(said) is int and said >= 0 else None


def _text(said: object) -> str | None:
    return said[:200] if isinstance(said, str) else None
