"""REST of models on the Hugging Face Hub."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(prefix="/api/v1/hub/models", tags=["models"])
