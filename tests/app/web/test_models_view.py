"""A base on its page: where its figures lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import PROJECT_ROOT
from app.domain.architectures import Architecture
from app.domain.base_models import BaseModel
from app.domain.catalog import Catalog
from app.gateways.catalog import read_catalog
from app.services.bases import Base
from app.web.models_view import One


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(PROJECT_ROOT / "catalog")


def leads_to(catalog: Catalog, slug: str, arch: Architecture, folder: Path | None = None) -> str:
    """Return where a model of the catalogue leads that was found with these measures on the Hub, or here in a folder."""
    model = catalog.get(slug)
    return One(Base(model, BaseModel(model.answers_by, folder, None, None), arch), None).at_every_precision


def test_a_model_leads_by_its_name_only_to_the_figures_beside_the_link(catalog: Catalog) -> None:
    known = catalog.get("gpt-oss-20b").architecture
    assert known
    on_hub = known.model_copy(update={"quantised": "mxfp4", "context": 4096, "gap": "A word."})
    assert leads_to(catalog, "gpt-oss-20b", on_hub) == "/precision?model=gpt-oss-20b"
    for slug in ("qwen3.5-0.8b", "ternary-bonsai-8b", "qwen3-8b"):
        assert leads_to(catalog, slug, on_hub) == "/precision?params=20914757184"
        assert leads_to(catalog, slug, on_hub, Path("here")) == f"/precision?model={slug}"
    assert leads_to(catalog, "gpt-oss-20b", on_hub.model_copy(update={"layers": 3})) == "/precision?params=20914757184"
