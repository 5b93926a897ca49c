"""Base models on their way here from the Hub: begun if there is room, called off, and deleted unless a run needs them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import select

from app.db import Baseline, Download, EventRow, Project, Run
from app.db.audit import OUTSIDE_ASKED, note
from app.db.downloads import is_wanted_by_another
from app.db.session import after_commit
from app.domain.architectures import Architecture
from app.domain.base_models import COMMIT
from app.domain.errors import Conflict, NotFound, StorageFull
from app.domain.figures import in_bytes
from app.domain.runs import ENDED, RunStatus, after_request
from app.services.bases import counted
from app.services.datasets import IMPORT_QUEUE
from app.services.models import is_whole
from app.services.paging import Page, newest_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.domain.hub_models import Looked
    from app.domain.ports import FetchedModels, Queue
    from app.services.accounts import Identity

SPARE_BYTES = 512 * 10**6
"""What a download leaves free, for the database and the runs that may lie on the same disk."""
SHOWN = 50


class Downloads:
    """The downloads of a project."""

    def __init__(self, session: Session, queue: Queue, fetched: FetchedModels) -> None:
        self.session, self.queue, self.fetched = session, queue, fetched

    def start(self, by: Identity, looked: Looked) -> Download:
        """Have a model fetched at the commit that was looked at; one that is under way already is returned as it is.

        Invalid for one that the scan stops, Conflict while it is being cancelled, StorageFull where it would not fit on the disk.
        """
        looked.scan.check()
        repo, commit = looked.model.id, looked.commit
        # Two who ask at the same moment come one after the other: there is one download of a commit.
        self.session.execute(select(Project.id).where(Project.id == by.project_id).with_for_update())
        found = self.under_way(by, repo, commit)
        if found is not None and found.status == RunStatus.CANCELLING:
            # It ends in a moment, and what has come of it goes: to go on with it is no longer possible, and to begin beside it not yet.
            raise Conflict(f"{repo} is just being cancelled. Try again in a moment.", param="repo", code="being_cancelled")
        if found is not None:
            return found
        self._check_room(repo, commit, looked.scan.size)
        made = Download(
            project_id=by.project_id, created_by=by.user_id, queue=IMPORT_QUEUE, repo=repo, revision=commit,
            total_bytes=looked.scan.size, facts=_facts(looked),
        )  # fmt: skip
        self.session.add(made)
        self.session.flush()
        note(self.session, by.project_id, by.user_id, OUTSIDE_ASKED, made.id, source=f"{repo}@{commit}", why="a base model")
        self._tell(made, "asked", f"{repo} is to be fetched from the Hub.")
        after_commit(self.session, partial(self.queue.ring, IMPORT_QUEUE))
        return made

    def get(self, by: Identity, download_id: str, *, to_change: bool = False) -> Download:
        """Return a download of the project, or NotFound; `to_change` locks it until the unit of work ends."""
        query = self._mine(by).where(Download.id == download_id)
        if to_change:
            query = query.with_for_update().execution_options(populate_existing=True)
        found = self.session.scalar(query)
        if found is None:
            raise NotFound("There is no such download.", code="download_not_found")
        return found

    def under_way(self, by: Identity, repo: str, commit: str) -> Download | None:
        """Return the download that fetches a model at a commit, if there is one."""
        live = self._mine(by).where(Download.repo == repo, Download.revision == commit, Download.status.not_in(ENDED))
        return self.session.scalar(live.order_by(Download.id).limit(1))

    def measures(self, by: Identity, repo: str) -> Architecture | None:
        """Return what a model measures that is on its way here, as the look at it knew; None where there is none, or it did not know."""
        live = self._mine(by).where(Download.repo == repo, Download.status.not_in(ENDED)).order_by(Download.id.desc())
        found = self.session.scalar(live.limit(1))
        known = found.facts.get("measures") if found else None
        try:
            return Architecture.model_validate(known) if known else None
        except ValidationError:  # a look of before may lack what is told of a model since
            return None

    def newest(self, by: Identity, *, limit: int = SHOWN, after: str | None = None) -> Page[Download]:
        """Return the project's downloads, newest first."""
        return newest_first(self.session, self._mine(by), Download.id, limit=limit, after=after)

    def cancel(self, by: Identity, download_id: str) -> Download:
        """Call a download off; what has come of it goes."""
        found = self.get(by, download_id, to_change=True)
        if found.status == RunStatus.CANCELLING:
            return found
        if found.status in ENDED:
            raise Conflict(f"A download that is {found.status} cannot be cancelled.", code="illegal_state")
        found.move_to(after_request("cancel", RunStatus(found.status)), "Somebody called it off.")
        if found.status in ENDED:  # nobody was at it
            self._remove_files(found)
        self._tell(found, "cancel", f"{by.user_name} called it off.")
        note(self.session, by.project_id, by.user_id, "download.cancelled", found.id)
        return found

    def delete(self, by: Identity, download_id: str) -> None:
        """Forget a download, and remove what it brought; Conflict while it goes on, or anything that is here needs the model."""
        found = self.get(by, download_id, to_change=True)
        if found.status not in ENDED:
            raise Conflict("This download goes on just now. Cancel it first.", code="illegal_state")
        if self._lies_here(found):
            self._check_unused(by, found)
        note(self.session, by.project_id, by.user_id, "download.deleted", found.id, repo=found.repo, revision=found.revision)
        self._remove_files(found)
        self.session.delete(found)

    def _check_room(self, repo: str, commit: str, size: int) -> None:
        missing = 0 if self.fetched.has(repo, commit) else size - self.fetched.part_bytes(repo, commit)
        free = self.fetched.free_bytes()
        if missing and free < missing + SPARE_BYTES:
            short = missing + SPARE_BYTES - free
            message = (
                f"{repo} needs {in_bytes(missing)}, and {in_bytes(free)} are free where models lie. "
                f"Free {in_bytes(short)} there, or choose a smaller model."
            )
            raise StorageFull(message, param="repo", data={"needed": missing, "free": free})

    def _lies_here(self, download: Download) -> bool:
        return download.revision is not None and self.fetched.has(download.repo, download.revision)

    def _check_unused(self, by: Identity, download: Download) -> None:
        """Raise Conflict while anything of whatever project needs a model; what belongs to others is counted, and not named."""
        repo = download.repo
        if run := self.session.scalar(select(Run).where(Run.base_model == repo, Run.status.not_in(ENDED)).order_by(Run.id).limit(1)):
            named = f"The run {run.name}" if run.project_id == by.project_id else "A run of another project"
            raise Conflict(f"{named} trains from {repo}, and is not over. Wait until it is, or cancel it.", code="base_in_use")
        if measuring := self._measurement_of(repo):
            named = "A measurement" if measuring.project_id == by.project_id else "A measurement of another project"
            raise Conflict(f"{named} asks {repo}, and is not over. Wait until it is, or cancel it.", code="base_in_use")
        if tuned := self._tuned_from(download):
            mine = [run.model or "" for run in tuned if run.project_id == by.project_id]
            message = f"{_told(mine, len(tuned) - len(mine))} {repo} to answer. It can be deleted when those runs are."
            raise Conflict(message, code="base_in_use")

    def _measurement_of(self, repo: str) -> Baseline | None:
        """Return a measurement of whatever project that is not over and asks a model."""
        live = self.session.scalars(select(Baseline).where(Baseline.status.not_in(ENDED)).order_by(Baseline.id))
        return next((row for row in live if repo in {model.get("name") for model in row.plan.get("models", [])}), None)

    def _tuned_from(self, download: Download) -> list[Run]:
        """Return the runs of whatever project whose models answer only with this download, newest first."""
        made = select(Run).where(Run.base_model == download.repo, Run.model.is_not(None), Run.adapter_id.is_not(None))
        return [
            run for run in self.session.scalars(made.order_by(Run.id.desc())) if not is_whole(run) and not self._is_elsewhere(run, download)
        ]

    def _is_elsewhere(self, run: Run, download: Download) -> bool:
        """Return whether a run trained from another commit of the model, and that one is here: its adapter belongs to it."""
        lay = Path(str(run.facts.get("base_dir") or "")).name
        return lay != download.revision and bool(COMMIT.fullmatch(lay)) and self.fetched.has(download.repo, lay)

    def _remove_files(self, download: Download) -> None:
        """Remove the files once that is committed, unless another download of the very same model stands for them."""
        if download.revision and not is_wanted_by_another(self.session, download):
            after_commit(self.session, partial(self.fetched.remove, download.repo, download.revision))

    def _mine(self, by: Identity) -> Select[Download]:
        return select(Download).where(Download.project_id == by.project_id)

    def _tell(self, download: Download, kind: str, message: str) -> None:
        self.session.add(EventRow(project_id=download.project_id, subject_id=download.id, type=kind, message=message))


def _told(mine: Sequence[str], others: int) -> str:
    """Return who needs a base, with its verb: models of this project by the name of one, those of others by their number."""
    here = [f"The model {mine[0]}{f' and {len(mine) - 1} more' if len(mine) > 1 else ''}"] if mine else []
    there = [f"{others} {'model' if others == 1 else 'models'} of other projects"] if others else []
    return f"{' and '.join(here + there)} {'needs' if len(mine) + others == 1 else 'need'}"


def _facts(looked: Looked) -> dict[str, Any]:
    """Return what a worker has to know of the files, and people of the model."""
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256, "git_id": file.git_id} for file in looked.scan.wanted]
    model, arch = looked.model, counted(looked.config or {})
    known = {"measures": arch.model_dump(mode="json")} if arch else {}
    return {"files": files, "licence": model.licence, "parameters": model.parameters, "gated": model.gated} | known
