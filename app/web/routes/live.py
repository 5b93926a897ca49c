"""The one stream a page holds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.db.session import UNREACHABLE, reading
from app.domain.errors import Invalid, StudioError
from app.services.changes import DATASET, RUN, Moment
from app.web.dependencies import studio_of, web_of, who

router = APIRouter(include_in_schema=False)
TOPIC = re.compile(r"runs|datasets|workers|baselines|downloads|(run|dataset):[0-9a-f-]{1,36}")
MAX_TOPICS = 8


class Subscription:
    """What a page may listen to: checked like the page itself, and without a session held while it listens."""

    def __init__(self, request: Request, topics: Annotated[str, Query(max_length=600)]) -> None:
        studio = studio_of(request)
        self.topics = frozenset(topics.split(","))
        if len(self.topics) > MAX_TOPICS or not all(TOPIC.fullmatch(topic) for topic in self.topics):
            raise Invalid("There is no such stream.", param="topics")
        with reading(studio.engine) as session:
            identity, _ = who(request, studio, session)
            get: dict[str, Callable[..., object]] = {RUN: studio.runs(session).get, DATASET: studio.datasets(session).get}
            for kind, _, subject in (topic.partition(":") for topic in self.topics):
                if subject:
                    get[kind](identity, subject)
        self.project_id, self.live = identity.project_id, web_of(request).live
        self.still_allowed = _still_allowed(request, identity.project_id)


def _still_allowed(request: Request, project_id: str) -> Callable[[], bool]:
    def check() -> bool:
        studio = studio_of(request)
        try:
            with reading(studio.engine) as session:
                return who(request, studio, session)[0].project_id == project_id
        except StudioError:
            return False
        except UNREACHABLE:
            return True  # nobody hears anything just now, and all would come back at once

    return check


@router.get("/live", response_class=EventSourceResponse)
async def follow(
    subscription: Annotated[Subscription, Depends()],
    since: Annotated[str | None, Query(max_length=40)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Ring when something the page shows has changed; a reader that was away is told what it missed."""
    moment = Moment.parse(last_event_id) or Moment.parse(since)
    async for event in subscription.live.stream(subscription.project_id, subscription.topics, moment, subscription.still_allowed):
        yield event
