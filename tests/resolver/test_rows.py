"""corolib.resolver.rows: what is filled in is what the C library says."""

import _socket
import itertools

import pytest

from corolib.resolver.rows import numeric_rows, rows

HOSTS = [
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    "::",
    "2001:DB8:0:0::1",
    "::ffff:1.2.3.4",
    "fe80::1",
]
OTHERS = ["127.1", "1.2.3.4.5", "01.2.3.4", "fe80::1%lo", "::g", "name", "", "a1", "1.2.3.4 ", "1.2.3.4\0"]


@pytest.mark.parametrize("host", HOSTS)
def test_numeric_addresses(host: str) -> None:
    for port, family, kind, proto in itertools.product(
        (None, 0, 80, 65535),
        (0, _socket.AF_INET, _socket.AF_INET6),
        (0, _socket.SOCK_STREAM, _socket.SOCK_DGRAM, _socket.SOCK_RAW, 77),
        (0, _socket.IPPROTO_TCP, _socket.IPPROTO_UDP, 77),
    ):
        made = numeric_rows(host, port, family, kind, proto)
        try:
            expected = _socket.getaddrinfo(host, port, family, kind, proto)
        except _socket.gaierror:
            assert made is None, "the C library knows which error it is"
        else:
            usual = (
                kind in (0, _socket.SOCK_STREAM, _socket.SOCK_DGRAM) and proto != 77 and "ffff" not in host
            )
            assert made == expected or (made is None and not usual)


@pytest.mark.parametrize("host", OTHERS)
def test_what_is_not_plain_is_left_to_the_c_library(host: str) -> None:
    assert numeric_rows(host, 80, 0, 0, 0) is None


@pytest.mark.parametrize("port", ["80", "http", b"80", -1, 65536, True, 80.0])
def test_ports_that_are_not_plain_are_left_to_the_c_library(port: object) -> None:
    assert numeric_rows("127.0.0.1", port, 0, 0, 0) is None  # type: ignore[arg-type]


def test_rows_of_several_addresses() -> None:
    addresses = [(_socket.AF_INET6, "::1"), (_socket.AF_INET, "127.0.0.1")]
    for port, service in ((80, 80), ("http", 80), (None, 0)):
        found = rows(addresses, port, 0, _socket.SOCK_STREAM, 0, 0)
        assert [row[4][:2] for row in found] == [("::1", service), ("127.0.0.1", service)]
    with pytest.raises(_socket.gaierror) as caught:
        rows(addresses, "no-such-service", 0, 0, 0, 0)
    assert caught.value.errno == _socket.EAI_SERVICE
    assert rows([], "no-such-service", 0, 0, 0, 0) == []
