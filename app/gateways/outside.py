"""Sending to addresses that people named: looked up once, every address judged, and the connection made to the one that was judged."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

import httpx

from app.domain.outside import check_url, is_private, literal, objection_to
from app.domain.webhooks import GONE, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from app.domain.outside import Address

    Resolve = Callable[[str, int], Awaitable[list[str]]]

PATIENCE_SECONDS = 10.0
"""For all of it: looking up the name, connecting, sending, and the first line of the answer."""
TAKEN, MOVED = range(200, 300), range(300, 400)


class NotAllowed(Exception):
    """The address may not be contacted; its text says why."""


class Outside:
    """Posts to addresses outside; follows nothing, reads no answer's body, and lasts ten seconds at most."""

    def __init__(
        self, *, private_allowed: bool = False, resolve: Resolve | None = None, certificates: ssl.SSLContext | None = None
    ) -> None:
        self.private_allowed = private_allowed
        self._resolve = resolve or _look_up
        self._certificates = certificates

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Reply:
        """Send, and say in words what came of it; never raises for what an endpoint does."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return _judged(await self._send(url, body, headers))
        except (TimeoutError, UnicodeError, socket.gaierror, httpx.InvalidURL, httpx.HTTPError) as error:
            return Reply(error=_in_words(error))
        except (NotAllowed, ValueError) as error:
            return Reply(error=str(error))

    async def _send(self, url: str, body: str, headers: Mapping[str, str]) -> int:
        check_url(url, private_allowed=self.private_allowed)
        wanted = httpx.URL(url)
        addresses = await self._allowed_addresses(wanted)
        # The name stays in the Host header and in the certificate's check; only the connection goes to the number.
        sent = dict(headers) | {"Host": wanted.netloc.decode("ascii")}
        named = {"sni_hostname": wanted.host} if wanted.scheme == "https" else {}
        verify = self._certificates or httpx.create_ssl_context()
        # A proxy of the environment would look the name up again by itself.
        async with httpx.AsyncClient(verify=verify, trust_env=False, follow_redirects=False, timeout=PATIENCE_SECONDS) as client:
            for address in addresses[:-1]:
                try:
                    return await _post_to(client, wanted.copy_with(host=str(address)), body, sent, named)
                except httpx.ConnectError:
                    continue
            return await _post_to(client, wanted.copy_with(host=str(addresses[-1])), body, sent, named)

    async def _allowed_addresses(self, url: httpx.URL) -> list[Address]:
        written = literal(url.host)
        port = url.port or (443 if url.scheme == "https" else 80)
        found = [written] if written else [ipaddress.ip_address(one) for one in await self._resolve(url.host, port)]
        if not found:
            raise NotAllowed("Its name leads to no address. Check the spelling.")
        for address in found:
            # All of them: a name with one good address and one bad one is a trick, or a mistake.
            objection = objection_to(address, private_allowed=self.private_allowed)
            if objection:
                raise NotAllowed(objection if written else f"{url.host} leads to a place that may not be contacted: {objection}")
            if url.scheme == "http" and not is_private(address):
                raise NotAllowed("Use https: what goes over the internet must not be readable on the way.")
        return found


async def _post_to(client: httpx.AsyncClient, url: httpx.URL, body: str, headers: Mapping[str, str], extensions: Mapping[str, str]) -> int:
    async with client.stream("POST", url, content=body.encode(), headers=headers, extensions=dict(extensions)) as answer:
        return answer.status_code


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _judged(status: int) -> Reply:
    if status in TAKEN:
        return Reply(status)
    if status in MOVED:
        return Reply(status, f"It answered {status}, a redirect. Redirects are not followed: enter the address it leads to.")
    return Reply(status, f"It answered {status}.", is_final=status == GONE)


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"It did not answer within {PATIENCE_SECONDS:g} seconds."
    if isinstance(error, httpx.ConnectError):
        is_certificate = "certificate" in str(error).lower()
        return "Its certificate is not valid for this name." if is_certificate else "It could not be connected to."
    if isinstance(error, httpx.HTTPError):
        return "The connection broke before it answered."
    return "Its name leads to no address. Check the spelling."
