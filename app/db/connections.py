"""What a project may reach outside with a key of its own: the Hub, and models behind an OpenAI-compatible address."""

from __future__ import annotations

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin


class Connection(IdMixin, OwnedMixin, Base):
    """An address outside with its key, which is encrypted; `hint` is the key's end, for people to know it by."""

    __tablename__ = "connections"

    kind: Mapped[str] = mapped_column(String(20), index=True)
    name: Mapped[str] = mapped_column(String(200))
    url: Mapped[str] = mapped_column(String(2000), default="")
    model: Mapped[str] = mapped_column(String(300), default="")
    # Whether it may be in this network: an owner said so, and what is asked there is judged by that again.
    private_allowed: Mapped[bool] = mapped_column(default=False)
    secret: Mapped[str | None] = mapped_column(Text)
    secret_key_id: Mapped[str | None] = mapped_column(String(16))
    hint: Mapped[str] = mapped_column(String(8), default="")
