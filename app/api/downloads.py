"""REST of base models on their way here."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/downloads", tags=["models"])
