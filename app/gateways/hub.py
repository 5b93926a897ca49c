"""Datasets on the Hugging Face Hub, as pickers need them: configurations, splits and files at one exact revision, by its HTTP API.

The files of the dataset itself come first. The Hub's conversion to Parquet has a history of its own, lags behind, and fills what one
row's tool calls lack with those of others; it is taken where the dataset's own files cannot be read, or are made by a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain.errors import Invalid, NotFound
from app.domain.hub_files import sort_files
from app.gateways.hub_client import DATASETS, Hub, licence_of

if TYPE_CHECKING:
    from app.domain.repository import HubFile
    from app.gateways.hub_client import Asking

CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class HubListing:
    """What there is of a dataset: configuration → split → files; `is_converted` where they are the Hub's own Parquet of it."""

    repo: str
    revision: str
    licence: str | None
    gated: bool
    configs: dict[str, dict[str, list[HubFile]]]
    is_converted: bool = False


class HubDatasets(Hub):
    """Asks for datasets."""

    sort = DATASETS

    def look(self, repo: str, revision: str | None = None, token: str | None = None) -> HubListing:
        """Return what there is at a revision, by default the newest."""
        with self.asking(repo, token) as asking:
            return _Look(asking, revision).listing()


class _Look:
    """One look at a dataset."""

    def __init__(self, asking: Asking, revision: str | None) -> None:
        self._asking, self._revision = asking, revision

    def listing(self) -> HubListing:
        asking = self._asking
        about = asking.about(self._revision)
        asking.repo = str(about.get("id") or asking.repo)  # it may have been renamed
        commit, card = asking.commit_of(about), about.get("cardData")
        entries = asking.tree(commit)
        configs = {} if self._is_scripted(entries) else self._sorted(entries, commit, card)
        is_converted = not configs and (self._revision is None or asking.about(None).get("sha") == commit)
        if is_converted:
            configs = self._converted()
        if not configs:
            message = (
                f"{asking.repo!r} has no files on the Hub that Hone can read as rows. Look at its page, and upload them in another form."
            )
            raise Invalid(message, param="source", code="no_rows")
        return HubListing(asking.repo, commit, licence_of(card), bool(about.get("gated")), configs, is_converted)

    def _is_scripted(self, entries: list[dict[str, Any]]) -> bool:
        """Return whether a program of the dataset's own makes its rows; it is never run here."""
        return any(entry.get("path") == f"{self._asking.repo.rpartition('/')[2]}.py" for entry in entries)

    def _sorted(self, entries: list[dict[str, Any]], commit: str, card: Any) -> dict[str, dict[str, list[HubFile]]]:
        files = {file.path: file for file in (self._asking.file(entry, commit) for entry in entries)}
        sorted_ = sort_files(sorted(files), card)
        return {name: {split: [files[path] for path in paths] for split, paths in splits.items()} for name, splits in sorted_.items()}

    def _converted(self) -> dict[str, dict[str, list[HubFile]]]:
        """Return what the Hub has converted as a whole: <configuration>/<split>/0000.parquet in a branch of its own."""
        asking = self._asking
        try:
            splits = asking.of("parquet")
            commit = asking.commit_of(asking.about(CONVERTED))
            entries = asking.tree(commit)
        except NotFound:
            return {}
        found: dict[str, dict[str, list[HubFile]]] = {}
        for file in sorted((asking.file(entry, commit) for entry in entries), key=lambda file: file.path):
            config, split = [*file.path.split("/"), ""][:2]
            if isinstance(splits, dict) and split in (splits.get(config) or {}):
                found.setdefault(config, {}).setdefault(split, []).append(file)
        return found
