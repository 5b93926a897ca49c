"""Contacting addresses that people named: looked up once, every address judged, and the connection made to the one that was judged."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import httpx

from app.domain.outside import FETCH, NOTICE, check_url, is_private, literal, objection_to
from app.domain.webhooks import GONE, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from app.domain.outside import Address, Errand

    Resolve = Callable[[str, int], Awaitable[list[str]]]
    ResolveNow = Callable[[str, int], list[str]]

PATIENCE_SECONDS = 10.0
"""For all of it: looking up the name, connecting, sending, and the first line of the answer."""
TAKEN, MOVED = range(200, 300), range(300, 400)
CONNECT_SECONDS, SILENT_SECONDS = 10.0, 30.0
"""For a file that is fetched: until its server is reached, and the longest it may be silent then."""
MAX_HOPS = 5
FOLLOWED = frozenset({301, 302, 303, 307, 308})


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
            return Reply(error=in_words(error))
        except (NotAllowed, ValueError) as error:
            return Reply(error=str(error))

    async def _send(self, url: str, body: str, headers: Mapping[str, str]) -> int:
        check_url(url, private_allowed=self.private_allowed)
        wanted = httpx.URL(url)
        found = [] if literal(wanted.host) else await self._resolve(wanted.host, _port_of(wanted))
        addresses = allowed_addresses(wanted, found, private_allowed=self.private_allowed, errand=NOTICE)
        sent, named = _as_named(wanted, headers)
        verify = self._certificates or httpx.create_ssl_context()
        # A proxy of the environment would look the name up again by itself.
        async with httpx.AsyncClient(verify=verify, trust_env=False, follow_redirects=False, timeout=PATIENCE_SECONDS) as client:
            for address in addresses[:-1]:
                try:
                    return await _post_to(client, wanted.copy_with(host=str(address)), body, sent, named)
                except httpx.ConnectError:
                    continue
            return await _post_to(client, wanted.copy_with(host=str(addresses[-1])), body, sent, named)


class Reader:
    """Opens files at addresses that people named, following redirects; every hop is judged as the first one is.

    `contacted` has every host that was spoken to, `at` the address that answered in the end.
    """

    def __init__(
        self, *, private_allowed: bool = False, resolve: ResolveNow | None = None, certificates: ssl.SSLContext | None = None
    ) -> None:
        self.private_allowed = private_allowed
        self.contacted: list[str] = []
        self.at = ""
        self._resolve = resolve or _look_up_now
        self._certificates = certificates

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Give the answer, whose body has not been read; NotAllowed or ValueError say why an address is not contacted."""
        for _ in range(MAX_HOPS + 1):
            with self._ask(url, headers) as answer:
                self.at = url
                place = answer.headers.get("location", "")
                if answer.status_code not in FOLLOWED or not place:
                    yield answer
                    return
                # Only its server reads what stands behind the #.
                url = str(httpx.URL(url).join(place).copy_with(fragment=None))
        raise NotAllowed(f"It leads from one address to the next, more than {MAX_HOPS} times.")

    @contextmanager
    def _ask(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        check_url(url, private_allowed=self.private_allowed, errand=FETCH)
        wanted = httpx.URL(url)
        found = [] if literal(wanted.host) else self._resolve(wanted.host, _port_of(wanted))
        addresses = allowed_addresses(wanted, found, private_allowed=self.private_allowed, errand=FETCH)
        if wanted.host not in self.contacted:
            self.contacted.append(wanted.host)
        sent, named = _as_named(wanted, headers)
        timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
        # A client of its own for each hop: no cookie goes from one host to the next.
        with httpx.Client(verify=self._verify, trust_env=False, follow_redirects=False, timeout=timeout) as client:
            answer = self._first_answer(client, wanted, addresses, (sent, named))
            try:
                yield answer
            finally:
                answer.close()

    def _first_answer(
        self, client: httpx.Client, url: httpx.URL, addresses: Sequence[Address], named: tuple[dict[str, str], dict[str, str]]
    ) -> httpx.Response:
        headers, extensions = named
        for place, address in enumerate(addresses, 1):
            request = client.build_request("GET", url.copy_with(host=str(address)), headers=headers, extensions=dict(extensions))
            try:
                return client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if place == len(addresses):
                    raise
        raise NotAllowed("Its name leads to no address. Check the spelling.")

    @cached_property
    def _verify(self) -> ssl.SSLContext:
        return self._certificates or httpx.create_ssl_context()


def allowed_addresses(url: httpx.URL, found: Sequence[str], *, private_allowed: bool, errand: Errand) -> list[Address]:
    """Return the addresses of a URL, those `found` for its name or the one it is written as; NotAllowed unless all may be contacted."""
    written = literal(url.host)
    addresses = [written] if written else [ipaddress.ip_address(one) for one in found]
    if not addresses:
        raise NotAllowed("Its name leads to no address. Check the spelling.")
    for address in addresses:
        # All of them: a name with one good address and one bad one is a trick, or a mistake.
        objection = objection_to(address, private_allowed=private_allowed, errand=errand)
        if objection:
            raise NotAllowed(objection if written else f"{url.host} leads to a place that may not be contacted: {objection}")
        if url.scheme == "http" and not is_private(address):
            raise NotAllowed("Use https: what goes over the internet must not be readable on the way.")
    return addresses


def _as_named(url: httpx.URL, headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    # The name stays in the Host header and in the certificate's check; only the connection goes to the number.
    named = {"sni_hostname": url.host} if url.scheme == "https" else {}
    return dict(headers) | {"Host": url.netloc.decode("ascii")}, named


def _port_of(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


async def _post_to(client: httpx.AsyncClient, url: httpx.URL, body: str, headers: Mapping[str, str], extensions: Mapping[str, str]) -> int:
    async with client.stream("POST", url, content=body.encode(), headers=headers, extensions=dict(extensions)) as answer:
        return answer.status_code


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def _look_up_now(host: str, port: int) -> list[str]:
    return list(dict.fromkeys(str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _judged(status: int) -> Reply:
    if status in TAKEN:
        return Reply(status)
    if status in MOVED:
        return Reply(status, f"It answered {status}, a redirect. Redirects are not followed: enter the address it leads to.")
    return Reply(status, f"It answered {status}.", is_final=status == GONE)


def in_words(error: Exception) -> str:
    """Say what became of a connection."""
    if isinstance(error, TimeoutError):
        return f"It did not answer within {PATIENCE_SECONDS:g} seconds."
    if isinstance(error, httpx.ConnectError):
        is_certificate = "certificate" in str(error).lower()
        return "Its certificate is not valid for this name." if is_certificate else "It could not be connected to."
    if isinstance(error, httpx.HTTPError):
        return "The connection broke before it answered."
    return "Its name leads to no address. Check the spelling."
