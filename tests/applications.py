"""What the applications of all tests have in common, made once: each test has an application of its own, of the same routes and templates.

A process of the studio works out its routes' parameters and compiles its templates one time, at its first pages; a thousand tests that
each begin an application did so a thousand times, which took longer than all they do.
"""

from __future__ import annotations

from functools import cache, partial
from types import CodeType
from typing import Any

import pytest
from fastapi import routing
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from app.web import pages


class Compiled(BytecodeCache):
    """Templates as they were compiled; one whose text has changed since is compiled again."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


@cache
def make_once() -> None:
    """Have all applications of this process share their routes' parameters and their templates."""
    contexts: Any = routing._EffectiveRouteContext
    true_build, built = contexts.from_api_route, dict[tuple[int, str], tuple[Any, Any]]()

    def build(*, original_route: Any, include_context: Any) -> Any:
        key = id(original_route), include_context.path_for(original_route)
        if key not in built:
            # With the route itself, so that no other one ever has its id.
            built[key] = original_route, true_build(original_route=original_route, include_context=include_context)
        return built[key][1]

    contexts.from_api_route = build
    patched: Any = pages
    patched.Environment = partial(patched.Environment, bytecode_cache=Compiled())


@pytest.fixture(scope="session", autouse=True)
def made_once() -> None:
    """Begin to share."""
    make_once()
