"""REST of the catalogue of base models."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/catalog", tags=["models"])
