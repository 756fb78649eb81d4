"""corolib.resolver.order: the address to try first comes first."""

import _socket
from _socket import AF_INET, AF_INET6

import pytest

from corolib.resolver.order import in_order, source_of
from corolib.resolver.rows import Address


def address(text: str) -> Address:
    return (AF_INET6 if ":" in text else AF_INET), text


# What stands first is to be tried first; beside each the address that a packet to it leaves with.
CASES = {
    "what can be reached": {"192.0.2.1": "192.0.2.9", "2001:db8::1": None},
    "matching scope": {"192.0.2.1": "192.0.2.9", "2001:db8::1": "fe80::9"},
    "matching label": {"2001:db8::1": "2001:db8::9", "2002:c000:201::1": "2001:db8::9"},
    "IPv6 before IPv4": {"2001:db8::1": "2001:db8::9", "192.0.2.1": "192.0.2.9"},
    "IPv6 before IPv4 even if neither can be reached": {"2001:db8::1": None, "192.0.2.1": None},
    "loopback": {"::1": "::1", "127.0.0.1": "127.0.0.1"},
    "IPv4 before 6to4": {"192.0.2.1": "192.0.2.9", "2002:c000:201::1": "2001:db8::9"},
    "smaller scope": {"fe80::1": "fe80::9", "2001:db8::1": "2001:db8::9"},
    "longest prefix": {"2001:db8:1::1": "2001:db8:1::9", "2001:db8:2::1": "2001:db8:1::9"},
    "as they came": {"192.0.2.2": "192.0.2.9", "192.0.2.1": "192.0.2.9", "198.51.100.1": "192.0.2.9"},
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case: str) -> None:
    sources = {address(text): source for text, source in CASES[case].items()}
    expected = list(sources)
    assert in_order(expected, sources.get) == expected
    if case != "as they came":
        assert in_order(expected[::-1], sources.get) == expected


def test_each_address_once_and_no_question_about_a_single_one() -> None:
    assert in_order([address("192.0.2.1")] * 3, lambda _: pytest.fail("asked")) == [address("192.0.2.1")]


def test_source_addresses_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_of((AF_INET, "127.0.0.1")) == "127.0.0.1"
    assert source_of((AF_INET6, "fe80::1%no-such-interface")) is None

    def refuse(*args: object) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr(_socket, "socket", refuse)
    assert source_of((AF_INET, "127.0.0.1")) is None
