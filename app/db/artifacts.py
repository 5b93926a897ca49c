"""What runs and uploads leave behind: files of the store, by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin
from app.db.session import after_commit

if TYPE_CHECKING:
    from app.domain.ports import Storage


class Artifact(IdMixin, OwnedMixin, Base):
    """A file of the store: `kind` is upload, rows or adapter; `sha256` is also where it lies."""

    __tablename__ = "artifacts"

    kind: Mapped[str] = mapped_column(String(20))
    filename: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


def drop(session: Session, artifact: Artifact, storage: Storage) -> None:
    """Forget a file; after the commit its bytes go too, unless another artifact has the same content."""
    sha256 = artifact.sha256
    session.delete(artifact)
    session.flush()
    if session.scalar(select(Artifact.id).where(Artifact.sha256 == sha256).limit(1)) is None:
        after_commit(session, lambda: storage.remove(sha256))
