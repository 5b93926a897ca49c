"""Which addresses may be contacted: a table of what tricks look like."""

from __future__ import annotations

import ipaddress

import pytest

from app.domain.outside import FETCH, MAX_URL, NOTICE, Errand, check_url, objection_to

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.3.4", "172.31.255.255", "192.168.1.1", "::1", "fc00::1", "fd12:3456::1"]
NEVER = [
    "0.0.0.0",  # noqa: S104 - what is refused
    "0.1.2.3", "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.0.1", "168.63.129.16", "192.0.0.192", "192.0.2.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "fe80::1%1", "fec0::1",
    "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::ffff:169.254.169.254", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:7f00::1", "2001:db8::1", "3fff::1", "::ffff:0:7f00:1", "100::1",
    "5f00::1", "4000::1", "fe00::1",
]  # fmt: skip


@pytest.mark.parametrize("written", PUBLIC)
@pytest.mark.parametrize("private_allowed", [False, True])
def test_public_addresses_may_be_contacted(written: str, private_allowed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert objection_to(ipaddress.ip_address(written), private_allowed=private_allowed) == ""


@pytest.mark.parametrize("written", PRIVATE)
@pytest.mark.parametrize(("errand", "setting"), [(NOTICE, "HONE_WEBHOOK_PRIVATE"), (FETCH, "HONE_FETCH_PRIVATE")])
def test_private_addresses_only_where_the_operator_allows_them_for_that(written: str, errand: Errand, setting: str) -> None:
    address = ipaddress.ip_address(written)
    assert f"{setting}=true" in objection_to(address, private_allowed=False, errand=errand)
    assert objection_to(address, private_allowed=True, errand=errand) == ""


@pytest.mark.parametrize("written", NEVER)
@pytest.mark.parametrize("private_allowed", [False, True])
def test_these_never(written: str, private_allowed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert objection_to(ipaddress.ip_address(written), private_allowed=private_allowed)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("example.com/hook", "whole address"),
        ("ftp://example.com/hook", "whole address"),
        ("https:///hook", "whole address"),
        ("https://me:word@example.com/", "without a name"),
        ("https://example.com/#part", "# part"),
        ("https://example.com/a b", "without spaces"),
        ("https://example.com/\n", "without spaces"),
        ("https://exämple.com/", "plain characters"),
        ("https://example.com:99999/", "host and port"),
        ("https://[::1/", "host and port"),
        ("https://example.com/" + "x" * MAX_URL, "at most"),
        ("http://example.com/hook", "Use https"),
        ("https://127.0.0.1/hook", "private address"),
        ("https://[::1]:8080/hook", "private address"),
        ("https://0x7f.1/hook", "strange way"),
        ("https://2130706433/hook", "strange way"),
        ("https://0177.0.0.1/hook", "strange way"),
        ("https://localhost/hook", "this machine"),
        ("https://app.localhost./hook", "this machine"),
        ("https://169.254.169.254/latest/meta-data", "no machine"),
        ("https://[::ffff:127.0.0.1]/", "no machine"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_at_once(url: str, says: str) -> None:
    for errand in (NOTICE, FETCH):
        with pytest.raises(ValueError, match=says.replace("[", r"\[")):
            check_url(url, private_allowed=False, errand=errand)


def test_good_addresses_pass() -> None:
    check_url("https://example.com:8443/hooks/hone?team=a", private_allowed=False)
    check_url("http://10.1.2.3:9000/hook", private_allowed=True)
    check_url("http://localhost:9000/hook", private_allowed=True)
