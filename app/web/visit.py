"""One request of a person: who it is, the services, and how to answer with a page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.services.accounts import Accounts
from app.services.overview import Overview
from app.services.workers import Workers
from app.web import tour
from app.web.frame import Frame
from app.web.pages import is_fragment_request, wanted_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session
    from starlette.requests import Request

    from app.gateways.inference import Inference
    from app.services.accounts import Identity
    from app.services.baselines import Baselines
    from app.services.datasets import Datasets
    from app.services.desk import Desk
    from app.services.goals import Goals
    from app.services.models import Models
    from app.services.queues import Queues
    from app.services.removal import Removal
    from app.services.runs import Runs
    from app.services.studio import Studio
    from app.services.webhooks import Webhooks
    from app.web.parts import Web


@dataclass
class Visit:
    """What a handler of pages works with."""

    request: Request
    studio: Studio
    web: Web
    session: Session
    identity: Identity
    signed_in: bool
    since: str
    """The moment of which a page tells, for its stream to begin with: before anything of it was read, or it would miss what comes then."""

    @cached_property
    def datasets(self) -> Datasets:
        """The datasets' service."""
        return self.studio.datasets(self.session)

    @cached_property
    def desk(self) -> Desk:
        """The data desk's service."""
        return self.studio.desk(self.session)

    @cached_property
    def runs(self) -> Runs:
        """The runs' service."""
        return self.studio.runs(self.session)

    @cached_property
    def removal(self) -> Removal:
        """The service that deletes runs."""
        inference: Inference = self.request.app.state.inference
        return self.studio.removal(self.session, inference.is_answering)

    @cached_property
    def queues(self) -> Queues:
        """The queues' service."""
        return self.studio.queues(self.session)

    @cached_property
    def webhooks(self) -> Webhooks:
        """The webhooks' service."""
        return self.studio.webhooks(self.session)

    @cached_property
    def goals(self) -> Goals:
        """The service of the project's goal."""
        return self.studio.goals(self.session)

    @cached_property
    def baselines(self) -> Baselines:
        """The service of measurements before training."""
        return self.studio.baselines(self.session)

    @cached_property
    def models(self) -> Models:
        """The models' service."""
        return self.studio.models(self.session)

    @cached_property
    def workers(self) -> Workers:
        """The workers' service."""
        return Workers(self.session)

    @cached_property
    def accounts(self) -> Accounts:
        """The accounts' service."""
        return Accounts(self.session)

    @cached_property
    def overview(self) -> Overview:
        """What lists show."""
        return Overview(self.session)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return is_fragment_request(self.request.headers)

    @property
    def is_refetch(self) -> bool:
        """Whether a doorbell, or a person by the link it pulls, asks for what is shown already."""
        return self.request.headers.get("hx-source", "").startswith("a#refetch")

    def wants(self, block: str) -> bool:
        """Return whether htmx asks for this very block of a page."""
        return wanted_block(self.request.headers, {block}) is not None

    def page(self, name: str, /, *, also: Sequence[str] = (), status: int = 200, **context: Any) -> HTMLResponse:
        """Answer with a page, or the block of it that was asked for."""
        frame = Frame(self.identity, self.overview, self.studio, signed_in=self.signed_in)
        # What htmx fetches carries the rail too: a doorbell's answer, an action's, and a filter's, which calls off a doorbell's.
        changed = self.request.method != "GET" or "hx-source" in self.request.headers
        stop = tour.stop_at(self.request, name, context)
        response = self.web.pages.render(
            self.request, name, also=also, status=status, with_rail=changed, frame=frame, since=self.since, tour=stop,
            knows_tour=tour.is_known(self.request), **context,
        )  # fmt: skip
        tour.remember(self.request, response, stop)
        return response

    def go(self, address: str) -> Response:
        """Send the browser on to another page after something was done."""
        if self.is_fragment:
            return Response(status_code=204, headers={"HX-Redirect": address})
        return RedirectResponse(address, 303)
