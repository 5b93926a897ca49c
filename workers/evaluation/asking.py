"""Asking one model over the OpenAI protocol: patiently where it is busy, and in words where it refuses."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from app.domain.errors import Invalid, StudioError, Unavailable
from app.domain.outside import ANSWER, check_url, literal
from app.gateways.outside import NotAllowed, allowed_addresses
from workers.evaluation.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_SECONDS, OWN_SECONDS, OUTSIDE_SECONDS = 10.0, 600.0, 180.0
"""The longest silence: a base of one's own may be loading from a slow disk, and answers as slowly as its processor."""
SLOWEST_SECONDS = 900.0
"""So long a whole answer may take, however steadily it drips: it would hold a worker for nothing."""
MOST_COUNTED = 10**9
"""Tokens; nobody's answer has more, and a server that counts so is not believed."""
MOST_BYTES = 4 * 1024 * 1024
AT_WORK = frozenset({"yielded", "overloaded"})
"""What the studio's own server says when it is well and somebody else has the GPU, or its queue: that passes, however long it takes."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
KEY_REFUSED = frozenset({401, 403})
REFUSED = frozenset({400, 404, 413, 422})
MOST_SAID = 300


class TooLong(Exception):
    """The prompt does not fit the model's context."""


class Refused(Exception):
    """The model does not answer this prompt; its text says why, as the server does."""


@dataclass(frozen=True)
class Reply:
    """An answer, what it took, and how many tokens the server counted."""

    text: str
    is_cut: bool
    seconds: float
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


@dataclass
class Asker:
    """One model behind an address: of this studio, with the folders it answers from, or outside, with its key."""

    url: str
    model: str
    key: str | None
    place: dict[str, str | None] | None = None
    private_allowed: bool = False
    patience: Patience = field(default_factory=Patience)
    slowest_seconds: float = SLOWEST_SECONDS
    contacted: list[str] = field(default_factory=list)
    """The hosts outside that were spoken to."""
    _left_out: set[str] = field(default_factory=set)
    _addresses: list[str] = field(default_factory=list)

    @property
    def is_outside(self) -> bool:
        """Whether it is none of this studio's models."""
        return self.place is None

    def ask(self, messages: Sequence[dict[str, str]], max_tokens: int) -> Reply:
        """Return the answer to a conversation; TooLong or Refused for this prompt, StudioError when none can be had at all.

        Several threads may ask at the same time.
        """
        while True:
            self.patience.wait()
            begun, left_out, is_at_work = time.monotonic(), frozenset(self._left_out), False
            try:
                status, body, asks_for = self._post(self._body(messages, max_tokens, left_out))
            except httpx.HTTPError as error:
                why, asks_for = f"{self._name} does not answer ({_in_words(error)}).", None
            else:
                if status not in AGAIN:
                    self.patience.answered()
                    if self._can_ask_otherwise(status, body, left_out):
                        continue
                    return self._reply(status, body, time.monotonic() - begun)
                is_at_work = not self.is_outside and _error_in(body).get("code") in AT_WORK
                why = self._said(body) if is_at_work else f"{self._name} answers {status}: {self._said(body)}"
            if not self.patience.leave_alone(why, asks_for, endless=is_at_work):
                raise Unavailable(why, code="model_away")

    def _body(self, messages: Sequence[dict[str, str]], max_tokens: int, left_out: frozenset[str]) -> dict[str, Any]:
        longest = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
        body = {"model": self.model, "messages": list(messages), "temperature": 0, longest: max_tokens}
        kept = {name: value for name, value in body.items() if name not in left_out}
        return kept | ({"hone": self.place} if self.place else {})

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Send, and return status, body and for how long it asks to wait."""
        target = self._target()
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        silence = OUTSIDE_SECONDS if self.is_outside else OWN_SECONDS
        extensions: dict[str, Any] = {}
        if self.is_outside:
            # Looked up here, judged, and connected to as judged; the name stays in the Host header and in the certificate's check.
            headers["Host"] = target.netloc.decode("ascii")
            extensions = {"sni_hostname": target.host} if target.scheme == "https" else {}
            target = target.copy_with(host=self._address(target))
        timeout, begun = httpx.Timeout(silence, connect=CONNECT_SECONDS), time.monotonic()
        # Proxies of the environment would look the name up again by themselves, and ours is beside us.
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=timeout) as client,
            client.stream("POST", target, json=body, headers=headers, extensions=extensions) as answer,
        ):
            return answer.status_code, self._body_of(answer, begun), _asks_for(answer.headers.get("retry-after"))

    def _body_of(self, answer: httpx.Response, begun: float) -> bytes:
        read = bytearray()
        for piece in answer.iter_bytes():  # as they come: gathered into larger pieces, what drips would be judged too late
            read += piece
            if len(read) > MOST_BYTES:
                raise Unavailable(f"{self._name} answers without an end.", code="model_answers_nonsense")
            if time.monotonic() - begun > self.slowest_seconds:
                message = f"{self._name} took longer than {self.slowest_seconds / 60:g} minutes for one answer, and was given up."
                raise Unavailable(message, code="model_away")
        return bytes(read)

    def _target(self) -> httpx.URL:
        try:
            target = httpx.URL(f"{self.url}/chat/completions")
            _ = target.host  # a name that makes no sense is seen only now
        except (httpx.InvalidURL, UnicodeError):
            raise Invalid(f"The address of {self._name} cannot be read.", param="outside", code="unusable_address") from None
        return target

    def _address(self, target: httpx.URL) -> str:
        if not self._addresses:
            try:
                check_url(self.url, private_allowed=self.private_allowed, errand=ANSWER)
                port = target.port or (443 if target.scheme == "https" else 80)
                found = (
                    []
                    if literal(target.host)
                    else [str(each[4][0]) for each in socket.getaddrinfo(target.host, port, type=socket.SOCK_STREAM)]
                )
                judged = allowed_addresses(target, found, private_allowed=self.private_allowed, errand=ANSWER)
            except (ValueError, NotAllowed) as error:
                raise Invalid(str(error), param="outside", code="unusable_address") from None
            except OSError:
                raise httpx.ConnectError("Its name leads to no address") from None
            self._addresses = [str(each) for each in judged]
        self.contacted[:] = dict.fromkeys([*self.contacted, target.host])
        return self._addresses[0]

    def _can_ask_otherwise(self, status: int, body: bytes, left_out: frozenset[str]) -> bool:
        """Return whether it only minds how the answer's length or temperature was asked for, which servers differ in."""
        if status != httpx.codes.BAD_REQUEST or not self.is_outside:
            return False
        error = _error_in(body)
        minded = {name for name in ("temperature", "max_tokens") if error.get("param") == name} - left_out
        self._left_out |= minded
        return bool(minded)

    def _reply(self, status: int, body: bytes, seconds: float) -> Reply:
        if status in KEY_REFUSED and not self.is_outside:
            message = "The inference server does not know this worker's key; HONE_INFERENCE_KEY must be the same on both sides."
            raise Unavailable(message, code="model_away")
        if status in KEY_REFUSED:
            message = f"{self._name} refuses the key ({status}): {self._said(body)}"
            raise Invalid(message, param="outside", code="key_refused")
        if status in REFUSED:
            if _is_too_long(_error_in(body)):
                raise TooLong
            raise Refused(f"{self._name} answers {status}: {self._said(body)}")
        if not httpx.codes.is_success(status):
            raise Unavailable(f"{self._name} answers {status}: {self._said(body)}", code="model_away")
        try:
            return _read(json.loads(body), seconds)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            message = f"What {self._name} answers is no chat completion. Does its address end where its endpoints begin, such as …/v1?"
            raise StudioError(message, code="model_answers_nonsense") from None

    @property
    def _name(self) -> str:
        return f"The model {self.model}" if self.is_outside else "The inference server"

    def _said(self, body: bytes) -> str:
        """Return what a server says of an error, without the key that it may repeat."""
        said = str(_error_in(body).get("message") or "it does not say why")
        if self.key:
            said = said.replace(self.key, "…")
        return kept(" ".join(said.split())[:MOST_SAID])


def kept(text: str) -> str:
    """Return a text as every database keeps it: half a pair of surrogates and zero bytes are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def _read(body: dict[str, Any], seconds: float) -> Reply:
    choice, usage = body["choices"][0], body.get("usage") or {}
    counts = [_counted(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    return Reply(kept(str(choice["message"].get("content") or "")), choice.get("finish_reason") == "length", seconds, *counts)


def _counted(count: object) -> int | None:
    return count if type(count) is int and 0 <= count <= MOST_COUNTED else None


def _error_in(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {"message": str(found)}


def _is_too_long(error: dict[str, Any]) -> bool:
    said = str(error.get("message", "")).lower()
    return error.get("code") == "context_length_exceeded" or ("context" in said and ("length" in said or "token" in said))


def _asks_for(header: str | None) -> float | None:
    """Return for how many seconds a Retry-After asks to wait, which is a number or a date."""
    if not header:
        return None
    try:
        seconds = float(header) if header.strip().isdecimal() else parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, seconds)


def _in_words(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "it could not be connected to"
    return "it was silent for too long" if isinstance(error, httpx.TimeoutException) else "the connection broke"
