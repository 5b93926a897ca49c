"""Deleting runs, and checkpoints of runs: what protects a run, in which order things go, and what stays (the audit)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from app.db import CheckpointRow, EventRow, LogPiece, MetricChunk, MetricLatest, MetricPoint, Run, SampleAnswer, SamplePrompt
from app.db.artifacts import drop
from app.db.audit import CHECKPOINTS_DELETED, RUN_DELETED, note
from app.db.checkpoints import let_go, still_there
from app.db.postgresql import REMOVAL_SECONDS, take_time
from app.db.runs import forget_rows
from app.db.session import after_commit
from app.domain.errors import Conflict, NotFound
from app.domain.runs import ENDED
from app.services.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from app.domain.ports import Storage
    from app.services.accounts import Identity
    from app.services.disk import RunSize


@dataclass(frozen=True)
class Candidate:
    """A run that somebody would like to delete: what would be freed, and why it must not go (nothing: it may)."""

    run: Run
    size: RunSize
    reasons: tuple[str, ...]


class Removal:
    """Deletes what a project does not need any more; `is_answering` says whether a model is at an answer just now."""

    def __init__(self, session: Session, storage: Storage, run_folders: Path, is_answering: Callable[[str], bool]) -> None:
        self.session, self.storage, self.run_folders, self.is_answering = session, storage, run_folders, is_answering

    def candidates(self, by: Identity, run_ids: Sequence[str], *, to_change: bool = False) -> list[Candidate]:
        """Return those of some runs that there are, in the order asked for, each with what protects it."""
        query = select(Run).where(Run.project_id == by.project_id, Run.id.in_(run_ids))
        if to_change:
            # By id, so that two who delete the same runs wait for each other instead of both forever.
            query = query.order_by(Run.id).with_for_update(of=Run).execution_options(populate_existing=True)
        found = {run.id: run for run in self.session.scalars(query)}
        sizes = Disk(self.session).of_runs(found.values())
        runs = [found[run_id] for run_id in dict.fromkeys(run_ids) if run_id in found]
        return [Candidate(run, sizes[run.id], tuple(self.protects(run))) for run in runs]

    def protects(self, run: Run) -> list[str]:
        """Return why a run must not be deleted, in words: the one list of what protects a run."""
        reasons = []
        if run.status not in ENDED:
            reasons.append(f"It has not ended: it is {run.status}. Stop or cancel it first.")
        if run.model and self.is_answering(run.model):
            reasons.append("Its model is giving an answer just now. Wait until that has ended.")
        return reasons

    def delete(self, by: Identity, run_id: str) -> Candidate:
        """Delete one run with all it holds; Conflict with the reasons when something protects it."""
        candidate = self._one(by, run_id)
        if candidate.reasons:
            message = f"The run {candidate.run.name!r} cannot be deleted. {' '.join(candidate.reasons)}"
            raise Conflict(message, code="run_protected")
        self._delete(by, candidate)
        return candidate

    def delete_many(self, by: Identity, run_ids: Sequence[str]) -> list[Candidate]:
        """Delete those of some runs that nothing protects; return all there were, with their reasons."""
        candidates = self.candidates(by, run_ids, to_change=True)
        for candidate in candidates:
            if not candidate.reasons:
                self._delete(by, candidate)
        return candidates

    def delete_checkpoints(self, by: Identity, run_id: str) -> Candidate:
        """Delete the checkpoints of a run that has ended, and keep its adapter, curves and log."""
        candidate = self._one(by, run_id)
        run = candidate.run
        if run.status not in ENDED:
            message = f"The run {run.name!r} is {run.status}: its checkpoints are what it goes on from. Stop or cancel it first."
            raise Conflict(message, code="run_not_ended")
        let_go(self.session, self.session.scalars(still_there(run.id)), self.storage)
        run.checkpoint_step = 0
        freed = candidate.size.checkpoints
        note(self.session, by.project_id, by.user_id, CHECKPOINTS_DELETED, run.id, name=run.name, bytes=freed)
        told = f"{by.user_name} deleted the checkpoints. What was learned stays in the adapter."
        self.session.add(EventRow(project_id=run.project_id, subject_id=run.id, type="checkpoints_deleted", message=told))
        after_commit(self.session, partial(shutil.rmtree, self.run_folders / run.id / "checkpoints", ignore_errors=True))
        return candidate

    def _one(self, by: Identity, run_id: str) -> Candidate:
        for candidate in self.candidates(by, [run_id], to_change=True):
            return candidate
        message = "There is no such run."
        raise NotFound(message, code="run_not_found")

    def _delete(self, by: Identity, candidate: Candidate) -> None:
        """Rows first, in one commit; files after it. What a crash leaves in between, the workers' sweep knows by the audit."""
        run, adapter = candidate.run, candidate.run.adapter
        versions = {version.id: version for version in (run.version, run.eval_version) if version}
        packed = [row.artifact for row in self.session.scalars(still_there(run.id)) if row.artifact]
        take_time(self.session.connection(), REMOVAL_SECONDS)
        for table in (MetricPoint, MetricChunk, MetricLatest, CheckpointRow, LogPiece, SampleAnswer, SamplePrompt):
            self.session.execute(delete(table).where(table.run_id == run.id))
        self.session.execute(delete(EventRow).where(EventRow.subject_id == run.id))
        blobs = [artifact.sha256 for artifact in (adapter, *packed, *(version.artifact for version in versions.values())) if artifact]
        size = candidate.size.total
        note(self.session, by.project_id, by.user_id, RUN_DELETED, run.id, name=run.name, model=run.model, blobs=blobs, bytes=size)
        self.session.delete(run)
        self.session.flush()
        for artifact in filter(None, (adapter, *packed)):
            drop(self.session, artifact, self.storage)
        for version_id in sorted(versions):
            forget_rows(self.session, version_id, self.storage)
        after_commit(self.session, partial(shutil.rmtree, self.run_folders / run.id, ignore_errors=True))
