"""The task of the web process that sends what the outbox holds, so that no worker ever holds the key to the endpoints' secrets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import reading, unit_of_work
from app.domain.webhooks import Reply, headers_of
from app.services.deliveries import Deliveries

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from app.domain.ports import Secrets
    from app.domain.webhooks import Parcel
    from app.gateways.outside import Outside

LOOK_SECONDS = 2.0
AT_ONCE = 8
"""So many are sent side by side: one slow endpoint holds up no other."""
log = structlog.get_logger()


class Courier:
    """Looks, claims, sends, enters what came of it; several may do so on one database."""

    def __init__(self, engine: Engine, secrets: Secrets, outside: Outside) -> None:
        self.engine, self.secrets, self.outside = engine, secrets, outside

    async def run(self) -> None:
        """Send for as long as the process lives."""
        while True:
            sent = 0
            try:
                sent = await self.turn()
            except SQLAlchemyError as error:
                log.warning("the outbox cannot be read; trying again", error=str(error))
            except Exception:
                # The outer edge of this task: notices of other endpoints must go on.
                log.exception("sending notices failed")
            if not sent:
                await asyncio.sleep(LOOK_SECONDS)

    async def turn(self) -> int:
        """Send what is due now, and return how many notices that were."""
        parcels = await to_thread.run_sync(self._claim)
        await asyncio.gather(*(self._deliver(parcel) for parcel in parcels))
        return len(parcels)

    def _claim(self) -> list[Parcel]:
        with reading(self.engine) as session:
            due = Deliveries(session, self.secrets).due(AT_ONCE)
        return [parcel for parcel in map(self._claim_one, due) if parcel is not None]

    def _claim_one(self, delivery_id: str) -> Parcel | None:
        # One commit each: who holds one notice and waits for the next could meet somebody who deletes them in another order.
        with unit_of_work(self.engine) as session:
            return Deliveries(session, self.secrets).claim(delivery_id)

    async def _deliver(self, parcel: Parcel) -> None:
        if parcel.problem:
            reply = Reply(error=parcel.problem, is_final=True)
        else:
            reply = await self.outside.post(parcel.url, parcel.body, headers_of(parcel, int(time.time())))
        # Neither the address nor the body: either may hold what is nobody's business.
        log.info("a notice was sent", notice=parcel.id, kind=parcel.kind, attempt=parcel.attempt, status=reply.status, taken=reply.is_taken)
        await to_thread.run_sync(self._settle, parcel, reply)

    def _settle(self, parcel: Parcel, reply: Reply) -> None:
        with unit_of_work(self.engine) as session:
            Deliveries(session, self.secrets).settle(parcel, reply)
