"""The goal: what the model is for, and whether tuning is the right tool."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)
