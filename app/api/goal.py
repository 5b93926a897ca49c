"""REST of the project's goal and its recipes."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/goal", tags=["goal"])
