"""Search over everything: a page of its own, and the part of it that the box at the top and the command palette show."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.services.search import Search, words_of
from app.web import search_view
from app.web.dependencies import Look

router = APIRouter(include_in_schema=False)


@router.get("/search")
def show_search(visit: Look, q: str = "") -> Response:
    """Show what the words find; without words the newest things and every place."""
    words = words_of(q)
    found = Search(visit.session).find(visit.identity, words)
    return visit.page("search/search.html", asked=" ".join(words), groups=search_view.groups(found, words))
