"""REST of what may be reached outside."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/connections", tags=["connections"])
