"""What runs and uploads leave behind: files of the store, by content."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin


class Artifact(IdMixin, OwnedMixin, Base):
    """A file of the store: `kind` is upload, rows or adapter; `sha256` is also where it lies."""

    __tablename__ = "artifacts"

    kind: Mapped[str] = mapped_column(String(20))
    filename: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
