"""Which addresses outside Hone may be contacted on a person's word: the public ones, and private ones only where the operator allows it.

A server that fetches what people name can be made to ask its own network (SSRF). So names are looked up once, every address found is
judged here, and the connection goes to the address that was judged.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 2000


@dataclass(frozen=True)
class Errand:
    """What an address is contacted for: it words the refusals, and has a setting of its own that opens private networks.

    A notice brings nothing back, but a file that is fetched is shown to whoever asked for it; so one does not open the other.
    """

    setting: str
    example: str
    instead: str
    meant: str


NOTICE = Errand("HONE_WEBHOOK_PRIVATE", "https://example.com/hooks/hone", "notices are signed instead", "a notice could be for")
FETCH = Errand("HONE_FETCH_PRIVATE", "https://example.com/rows.jsonl", "they would be kept beside the rows", "a file could come from")
ANSWER = Errand("HONE_FETCH_PRIVATE", "https://api.example.com/v1", "the key has a field of its own", "a model could answer at")


def _blocks(*written: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(block) for block in written]


_METADATA = _blocks(
    "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128"
)
"""Where clouds tell a machine its own credentials."""
_PRIVATE = _blocks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7")
_NEVER = _blocks(
    "0.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4",
    # Writings of IPv4 addresses in IPv6, which would lead around the rules for those; and documentation.
    "2002::/16", "2001::/32", "3fff::/20",
    # All of IPv6 that no machine on the internet has an address from, with the other writings of IPv4 in it.
    "::/3", "4000::/2", "8000::/1",
)  # fmt: skip


def objection_to(address: Address, *, private_allowed: bool, errand: Errand = NOTICE) -> str:
    """Say in words why an address may not be contacted; nothing when it may."""
    if is_private(address):
        return "" if private_allowed else f"{address} is a private address. Hone takes those when it is started with {errand.setting}=true."
    if _is_in(address, _METADATA) or _is_in(address, _NEVER) or not address.is_global:
        return f"{address} belongs to no machine that {errand.meant}."
    return ""


def is_private(address: Address) -> bool:
    """Return whether an address is of this machine or its own network."""
    return _is_in(address, _PRIVATE) and not _is_in(address, _METADATA)


def _is_in(address: Address, blocks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address.version == block.version and address in block for block in blocks)


def literal(host: str) -> Address | None:
    """Return the address a host is written as, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check_url(url: str, *, private_allowed: bool, errand: Errand = NOTICE) -> None:
    """Raise ValueError, in words, for a URL that may not be contacted whatever its name leads to."""
    parts = _split(url)
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError(f"Give a whole address, such as {errand.example}.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError(f"Give the address without a name, a password or a # part; {errand.instead}.")
    if parts.scheme == "http" and not private_allowed:
        raise ValueError(f"Use https. Hone takes http on private networks when it is started with {errand.setting}=true.")
    address = literal(host)
    objection = objection_to(address, private_allowed=private_allowed, errand=errand) if address else _objection_to_name(host)
    if not (objection or address or private_allowed) and _is_this_machine(host):
        objection = f"{host} is this machine itself. Hone takes private addresses when it is started with {errand.setting}=true."
    if objection:
        raise ValueError(objection)


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"An address has at most {MAX_URL} plain characters, without spaces.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("This address cannot be read. Check its host and port.") from None
    return parts


def _objection_to_name(host: str) -> str:
    last = host.rstrip(".").rpartition(".")[2].lower()
    if last.isdecimal() or last.startswith("0x"):
        # Half of all programs would read 127.1 or 0x7f.1 as 127.0.0.1.
        return f"{host} is a strange way to write an address. Give four numbers, or a name."
    return ""


def _is_this_machine(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")
