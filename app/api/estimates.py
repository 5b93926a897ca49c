"""REST of estimates: memory, time, money, energy."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/estimates", tags=["estimates"])
