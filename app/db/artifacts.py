"""What runs and uploads leave behind: files of the store, by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.audit import FILE_LEFT, AuditEntry
from app.db.base import Base, IdMixin, OwnedMixin
from app.db.session import after_commit, unit_of_work
from app.domain.errors import StorageUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from app.domain.ports import Sealed, Storage

STORE_LOCK = 0x73746F72
"""PostgreSQL's number for the lock on the store; any will do that nobody else uses, an upgrade of the database least of all."""


class Artifact(IdMixin, OwnedMixin, Base):
    """A file of the store: `kind` is upload, rows or adapter; `sha256` is also where it lies."""

    __tablename__ = "artifacts"

    kind: Mapped[str] = mapped_column(String(20))
    filename: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


def lock_store(session: Session) -> None:
    """Wait for whoever moves files of the store in or out; held until the transaction ends.

    Otherwise a file could be removed in the moment between an equal one's arrival and the commit of its row.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(STORE_LOCK)))
    else:
        session.connection()  # begins, and with that takes SQLite's write lock


def keep(session: Session, storage: Storage, sealed: Sealed, *, kind: str, filename: str, owner: OwnedMixin) -> Artifact:
    """Move a file into the store and enter it, for the project and the person of `owner`."""
    lock_store(session)
    storage.put(sealed)
    artifact = Artifact(
        project_id=owner.project_id, created_by=owner.created_by, kind=kind, filename=filename[-255:], sha256=sealed.sha256,
        size_bytes=sealed.size_bytes,
    )  # fmt: skip
    session.add(artifact)
    session.flush()
    return artifact


def drop(session: Session, artifact: Artifact, storage: Storage) -> None:
    """Forget a file; after the commit its bytes go too, unless another artifact has the same content.

    That they are to go is written down in the same commit: a worker sees to what a crash or a store that is away leaves undone.
    """
    engine, sha256 = session.get_bind(), artifact.sha256
    left = _write_down(session, sha256)
    session.delete(artifact)
    session.flush()
    after_commit(session, lambda: remove_now(engine, storage, sha256, left=left.id))


def remove(engine: Engine | Connection, storage: Storage, sha256: str) -> None:
    """Remove a file that no row ever named; where it cannot be, write down that a worker is to try it again."""
    try:
        remove_now(engine, storage, sha256)
    except (StorageUnavailable, OSError):
        with unit_of_work(engine) as session:
            _write_down(session, sha256)
        raise


def _write_down(session: Session, sha256: str) -> AuditEntry:
    entry = AuditEntry(action=FILE_LEFT, details={"blobs": [sha256]})
    session.add(entry)
    return entry


def remove_now(engine: Engine | Connection, storage: Storage, sha256: str, *, left: str | None = None) -> None:
    """Remove a file unless a row names it; `left` is the entry that says so."""
    with unit_of_work(engine) as session:
        lock_store(session)
        if session.scalar(select(Artifact.id).where(Artifact.sha256 == sha256).limit(1)) is None:
            storage.remove(sha256)
        if left:
            session.execute(delete(AuditEntry).where(AuditEntry.id == left))
