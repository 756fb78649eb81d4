"""corolib.resolver.base: what is answered without asking anybody."""

import socket
from pathlib import Path
from typing import Any

import pytest

from corolib.resolver.base import Resolver
from corolib.resolver.hosts import HostsFile
from corolib.resolver.numeric import is_numeric

TEXT = """\
127.0.0.1 localhost
::1 localhost
10.0.0.1 host.example alias
10.0.0.2 host.example
fd00::1 six.example
"""


class Asking(Resolver):
    """Notes what would have been asked."""

    def __init__(self, hosts: HostsFile) -> None:
        super().__init__(hosts=hosts)
        self.asked: list[tuple[Any, ...]] = []

    def _ask(self, function: str, *args: Any) -> Any:
        self.asked.append((function, *args))
        return "answer"


@pytest.fixture
def resolver(tmp_path: Path) -> Asking:
    (tmp_path / "hosts").write_text(TEXT)
    return Asking(HostsFile(str(tmp_path / "hosts")))


NUMERIC = ["127.0.0.1", "0.0.0.0", "127.1", "0x7f.1", "2130706433", "::1", "fe80::1%1", "::ffff:1.2.3.4"]


@pytest.mark.parametrize("host", NUMERIC)
def test_numeric_addresses_are_never_asked_for(resolver: Asking, host: str) -> None:
    assert is_numeric(host)
    for each in (host, host.encode()):
        assert resolver.getaddrinfo(each, 80, 0, socket.SOCK_STREAM) == [
            (int(row[0]), int(row[1]), *row[2:])
            for row in socket.getaddrinfo(host, 80, 0, socket.SOCK_STREAM)
        ]
    assert resolver.getnameinfo((host, 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[1] == "80"
    assert resolver.asked == []


@pytest.mark.parametrize("host", ["localhost", "a1", "1a", "1.2.3.4.5", "a.b", "", "-", "ä"])
def test_names_are_not_numeric(host: str) -> None:
    assert not is_numeric(host)


def test_no_host_is_the_wildcard_or_loopback(resolver: Asking) -> None:
    assert resolver.getaddrinfo(None, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
    passive = resolver.getaddrinfo(None, 80, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    assert passive[0][4] == ("0.0.0.0", 80)
    assert resolver.asked == []


def test_the_hosts_file_is_asked_first(resolver: Asking) -> None:
    rows = resolver.getaddrinfo("host.example", "80", 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
    assert rows == [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "host.example", ("10.0.0.1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 80)),
    ]
    assert len(resolver.getaddrinfo("alias", 80)) == 3, "stream, datagram, raw"
    assert resolver.getaddrinfo(b"six.example", 80, socket.AF_INET6, socket.SOCK_DGRAM) == [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("fd00::1", 80, 0, 0))
    ]
    families = {row[0] for row in resolver.getaddrinfo("localhost", 80)}
    assert families == {socket.AF_INET, socket.AF_INET6}
    assert resolver.gethostbyname("HOST.example.") == "10.0.0.1"
    assert resolver.gethostbyname_ex("alias") == ("host.example", ["alias"], ["10.0.0.1"])
    assert resolver.gethostbyname_ex("host.example") == ("host.example", ["alias"], ["10.0.0.1", "10.0.0.2"])
    assert resolver.gethostbyaddr("10.0.0.1") == ("host.example", ["alias"], ["10.0.0.1"])
    assert resolver.gethostbyaddr("alias") == ("host.example", ["alias"], ["10.0.0.1"])
    assert resolver.gethostbyaddr("::1") == ("localhost", [], ["::1"])
    assert resolver.getnameinfo(("10.0.0.2", 64999), 0) == ("host.example", "64999")
    assert resolver.getnameinfo(("10.0.0.2", 80), socket.NI_NUMERICSERV) == ("host.example", "80")
    assert resolver.asked == []


def test_what_the_file_does_not_know_is_asked(resolver: Asking) -> None:
    assert resolver.getaddrinfo("six.example", 80, socket.AF_INET) == "answer", "not in this family"
    assert resolver.gethostbyname("six.example") == "answer"
    assert resolver.gethostbyname_ex("other.example") == "answer"
    assert resolver.gethostbyaddr("10.0.0.9") == "answer"
    assert resolver.getnameinfo(("10.0.0.9", 80), 0) == "answer"
    assert resolver.asked == [
        ("getaddrinfo", b"six.example", 80, socket.AF_INET, 0, 0, 0),
        ("gethostbyname", b"six.example"),
        ("gethostbyname_ex", b"other.example"),
        ("gethostbyaddr", "10.0.0.9"),
        ("getnameinfo", ("10.0.0.9", 80), 0),
    ]


def test_names_are_encoded_for_the_network_here(resolver: Asking) -> None:
    resolver.gethostbyname("käse.example")
    assert resolver.asked == [("gethostbyname", b"xn--kse-qla.example")]
    for bad in ("a..b", "x" * 64):
        with pytest.raises(UnicodeError):
            resolver.getaddrinfo(bad, 80)


def test_wildcards_are_addresses(resolver: Asking) -> None:
    assert resolver.gethostbyname("") == "0.0.0.0"
    assert resolver.gethostbyname("<broadcast>") == "255.255.255.255"
    assert resolver.asked == []


def test_errors_are_the_standard_library_s(resolver: Asking) -> None:
    with pytest.raises(TypeError, match="host must be str, bytes or None, not int"):
        resolver.getaddrinfo(1, 80)
    with pytest.raises(socket.gaierror):
        resolver.getaddrinfo("name", 80, 0, 0, 0, socket.AI_NUMERICHOST)
    with pytest.raises(socket.gaierror):
        resolver.getaddrinfo("127.0.0.1", "no such service")
    with pytest.raises(socket.gaierror):
        resolver.getnameinfo(("name", 80), 0)
    with pytest.raises(TypeError):
        resolver.getaddrinfo(bytearray(b"127.0.0.1"), 80)
    with pytest.raises(TypeError):
        resolver.getnameinfo("127.0.0.1", 0)
    assert resolver.asked == []
