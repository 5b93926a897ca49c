"""Contacting outside: names are looked up once and the judged address is contacted, whatever the name says a moment later."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.domain.webhooks import Reply
from app.gateways import outside
from app.gateways.outside import NotAllowed, Outside, Reader
from tests.app.listening import Endpoint, endpoint

if TYPE_CHECKING:
    from app.gateways.outside import Resolve, ResolveNow


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with endpoint() as listening:
        yield listening


def names(*answers: list[str]) -> Resolve:
    """A resolver that gives these answers in turn, and fails when it is asked once more."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return left.pop(0)

    return resolve


def post(sender: Outside, url: str) -> Reply:
    return asyncio.run(sender.post(url, '{"a":1}', {"X-Mine": "yes"}))


def test_body_and_headers_arrive_as_they_are(told: Endpoint) -> None:
    assert post(Outside(private_allowed=True), told.address) == Reply(204)
    [heard] = told.heard
    assert (heard.path, heard.body, heard.headers["x-mine"]) == ("/hook", '{"a":1}', "yes")
    assert heard.headers["host"] == f"127.0.0.1:{told.port}"


def test_by_default_this_machine_is_not_contacted(told: Endpoint) -> None:
    for address in (told.address, told.address.replace("http:", "https:")):
        assert not post(Outside(), address).is_taken
    assert told.heard == []


@pytest.mark.parametrize("written", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_other_writings_of_this_machine_are_seen_through(told: Endpoint, written: str) -> None:
    reply = post(Outside(), f"https://{written}:{told.port}/hook")
    assert not reply.is_taken
    assert told.heard == []


def test_a_name_that_leads_inside_is_refused_with_the_reason(told: Endpoint) -> None:
    reply = post(Outside(resolve=names(["10.0.0.7"])), f"https://hooks.example:{told.port}/hook")
    assert reply.error.startswith("hooks.example leads to a place that may not be contacted: 10.0.0.7 is a private address.")


@pytest.mark.parametrize("host", ["a..example", "a" * 70 + ".example", "xn--a"])
def test_a_name_that_can_be_nobodys_is_said_so_in_words(host: str) -> None:
    assert post(Outside(), f"https://{host}/hook").error == "Its name leads to no address. Check the spelling."


def test_one_bad_address_among_good_ones_is_enough_to_refuse() -> None:
    reply = post(Outside(resolve=names(["93.184.216.34", "169.254.169.254"])), "https://hooks.example/hook")
    assert "169.254.169.254" in reply.error


def test_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind(told: Endpoint) -> None:
    # The second answer would lead to where nobody listens; a sender that asks again would not arrive.
    resolve = names(["127.0.0.1"], ["127.0.0.2"])
    assert post(Outside(private_allowed=True, resolve=resolve), f"http://hooks.example:{told.port}/hook") == Reply(204)
    assert told.heard[0].headers["host"] == f"hooks.example:{told.port}"


def test_a_rebinding_name_is_refused_when_its_turn_is_bad(told: Endpoint) -> None:
    sender = Outside(resolve=names(["127.0.0.1"]))
    assert not post(sender, f"https://hooks.example:{told.port}/hook").is_taken
    assert told.heard == []


def test_http_never_goes_over_the_internet() -> None:
    reply = post(Outside(private_allowed=True, resolve=names(["93.184.216.34"])), "http://hooks.example/hook")
    assert reply.error.startswith("Use https")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(told: Endpoint, status: int) -> None:
    told.answers.append(status)
    reply = post(Outside(private_allowed=True), told.address)
    assert (reply.status, reply.is_taken) == (status, False)
    assert "Redirects are not followed" in reply.error
    assert len(told.heard) == 1


def test_other_answers_are_told(told: Endpoint) -> None:
    told.answers = [500, 404, 200]
    replies = [post(Outside(private_allowed=True), told.address) for _ in range(3)]
    assert [(reply.status, reply.error) for reply in replies] == [(500, "It answered 500."), (404, "It answered 404."), (200, "")]


def test_nobody_there_is_told_in_words(nobody: str) -> None:
    assert post(Outside(private_allowed=True), f"{nobody}/") == Reply(error="It could not be connected to.")


def test_a_name_nobody_knows_is_told_in_words() -> None:
    async def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror

    for resolve in (unknown, names([])):
        assert "leads to no address" in post(Outside(resolve=resolve), "https://nowhere.example/").error


def test_a_silent_endpoint_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reply = post(Outside(private_allowed=True), f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert "did not answer" in reply.error


def test_the_next_address_is_tried_where_one_does_not_connect(told: Endpoint) -> None:
    sender = Outside(private_allowed=True, resolve=names(["::1", "127.0.0.1"]))
    assert post(sender, f"http://hooks.example:{told.port}/hook") == Reply(204)


def test_a_proxy_of_the_environment_is_not_asked(told: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert post(Outside(private_allowed=True), told.address) == Reply(204)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A server whose certificate is for hooks.example, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(204)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1], ssl.create_default_context(cafile=str(file))
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_certificate_is_checked_against_the_name_and_not_the_number(secure: tuple[int, ssl.SSLContext]) -> None:
    port, trusting = secure

    def reply_for(host: str, certificates: ssl.SSLContext | None) -> Reply:
        sender = Outside(private_allowed=True, resolve=names(["127.0.0.1"]), certificates=certificates)
        return post(sender, f"https://{host}:{port}/hook")

    assert reply_for("hooks.example", trusting) == Reply(204)
    assert "certificate" in reply_for("other.example", trusting).error
    assert "certificate" in reply_for("hooks.example", None).error


def test_ip_literals_need_no_look_up(told: Endpoint) -> None:
    assert post(Outside(private_allowed=True, resolve=names()), told.address) == Reply(204)


def table(**names: list[str]) -> ResolveNow:
    """A resolver that gives the next of a name's addresses each time it is asked, and fails for other names."""

    def resolve(host: str, _port: int) -> list[str]:
        return names[host.replace(".", "_")].pop(0).split()

    return resolve


def read(reader: Reader, url: str) -> int:
    with reader.open(url, {}) as answer:
        return answer.status_code


@pytest.fixture
def served() -> Iterator[tuple[int, list[tuple[str, dict[str, str]]], dict[str, str]]]:
    """A server on this machine: its port, what came, and where each path leads."""
    came: list[tuple[str, dict[str, str]]] = []
    leads: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(302 if self.path in leads else 200)
            self.send_header("Location", leads.get(self.path, ""))
            self.send_header("Set-Cookie", "seen=1; Path=/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1], came, leads
    server.shutdown()
    thread.join()
    server.server_close()


Served = tuple[int, list[tuple[str, dict[str, str]]], dict[str, str]]


def test_a_file_is_asked_for_by_name_at_the_address_that_was_judged(served: Served) -> None:
    port, came, _ = served
    # Asked once more, the name would lead to where nobody listens.
    reader = Reader(private_allowed=True, resolve=table(files_example=["127.0.0.1", "127.0.0.2"]))
    assert read(reader, f"http://files.example:{port}/rows.jsonl") == 200
    assert (came[0][0], came[0][1]["host"]) == ("/rows.jsonl", f"files.example:{port}")
    assert (reader.contacted, reader.at) == (["files.example"], f"http://files.example:{port}/rows.jsonl")


def test_a_name_that_turns_inward_between_two_hops_is_refused(served: Served) -> None:
    port, came, leads = served
    leads["/a"] = "/b"
    reader = Reader(private_allowed=True, resolve=table(files_example=["127.0.0.1", "169.254.169.254"]))
    with pytest.raises(NotAllowed, match=r"169\.254\.169\.254 belongs to no machine"):
        read(reader, f"http://files.example:{port}/a")
    assert [path for path, _ in came] == ["/a"]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254 belongs to no machine"),
        ("http://[::ffff:127.0.0.1]/", "belongs to no machine"),
        ("http://0x7f.1/", "strange way"),
        ("http://metadata.example/", "leads to a place that may not be contacted"),
        ("https://me:word@files.example/", "without a name"),
        ("file:///etc/passwd", "whole address"),
        ("gopher://files.example/", "whole address"),
        ("http://public.example/rows.csv", "Use https"),
    ],
)
def test_where_a_redirect_leads_is_judged_as_the_first_address_is(served: Served, place: str, says: str) -> None:
    port, came, leads = served
    leads["/a"] = place
    resolve = table(files_example=["127.0.0.1"], metadata_example=["169.254.169.254"], public_example=["93.184.216.34"])
    reader = Reader(private_allowed=True, resolve=resolve)
    with pytest.raises((NotAllowed, ValueError), match=says):
        read(reader, f"http://files.example:{port}/a")
    assert len(came) == 1
    assert reader.contacted == ["files.example"]


def test_a_redirect_into_this_network_is_refused_where_private_addresses_are(secure: tuple[int, ssl.SSLContext]) -> None:
    reader = Reader(resolve=table(files_example=["10.0.0.7"]))
    with pytest.raises(NotAllowed, match="HONE_FETCH_PRIVATE=true"):
        read(reader, f"https://files.example:{secure[0]}/")
    assert reader.contacted == []


def test_redirects_are_followed_five_times(served: Served) -> None:
    port, came, leads = served
    leads.update({f"/{hop}": f"/{hop + 1}#part" for hop in range(7)})
    reader = Reader(private_allowed=True)
    assert read(reader, f"http://127.0.0.1:{port}/2") == 200
    came.clear()
    with pytest.raises(NotAllowed, match="more than 5 times"):
        read(reader, f"http://127.0.0.1:{port}/0")
    assert [path for path, _ in came] == ["/0", "/1", "/2", "/3", "/4", "/5"]


def test_no_cookie_goes_along_to_the_next_hop(served: Served) -> None:
    port, came, leads = served
    leads["/a"] = "/b"
    read(Reader(private_allowed=True), f"http://127.0.0.1:{port}/a")
    assert [path for path, headers in came if "cookie" not in headers] == ["/a", "/b"]


def test_a_file_goes_past_the_proxies_of_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert read(Reader(private_allowed=True), f"http://127.0.0.1:{served[0]}/") == 200


def test_the_next_address_of_a_file_s_server_is_tried(served: Served) -> None:
    reader = Reader(private_allowed=True, resolve=table(files_example=["::1 127.0.0.1"]))
    assert read(reader, f"http://files.example:{served[0]}/") == 200


def test_a_file_s_server_proves_its_name(secure: tuple[int, ssl.SSLContext]) -> None:
    port, trusting = secure
    names_here = {"hooks_example": ["127.0.0.1"], "other_example": ["127.0.0.1"]}
    reader = Reader(private_allowed=True, resolve=table(**names_here), certificates=trusting)
    assert read(reader, f"https://hooks.example:{port}/") == 204
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        read(reader, f"https://other.example:{port}/")
