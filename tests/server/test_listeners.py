"""What an address is, and how the socket for it is made."""

import os
import socket as stdlib
import stat
from pathlib import Path
from typing import Any

import pytest

from corolib.server.listeners import Adopted, bound_socket, parse_address, remove_unix_path, unix_identity
from corolib.socket import AF_INET, AF_INET6, AF_UNIX, socket


@pytest.mark.parametrize(
    ("given", "family", "address"),
    [
        (("127.0.0.1", 80), AF_INET, ("127.0.0.1", 80)),
        (("localhost", 80), AF_INET, ("localhost", 80)),
        (("::1", 80), AF_INET6, ("::1", 80)),
        (("fe80::1", 80, 0, 2), AF_INET6, ("fe80::1", 80, 0, 2)),
        (("", 80), AF_INET6, ("", 80)),
        ((None, 80), AF_INET6, ("", 80)),
        ("127.0.0.1:80", AF_INET, ("127.0.0.1", 80)),
        ("localhost:80", AF_INET, ("localhost", 80)),
        ("[::1]:80", AF_INET6, ("::1", 80)),
        (":80", AF_INET, ("", 80)),
        ("*:80", AF_INET, ("", 80)),
        (80, AF_INET6, ("", 80)),
        ("80", AF_INET6, ("", 80)),
        ("unix:/run/x", AF_UNIX, "/run/x"),
        ("unix:x:80", AF_UNIX, "x:80"),
        ("unix:@x", AF_UNIX, "\0x"),
    ],
)
def test_addresses(given: Any, family: int, address: Any) -> None:
    assert parse_address(given) == (family, address)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (None, TypeError, "NoneType"),
        (b":80", TypeError, "bytes"),
        (1.5, TypeError, "float"),
        ((), ValueError, r"expected \(host, port\)"),
        (("a",), ValueError, r"expected \(host, port\)"),
        ((1, 2), ValueError, r"expected \(host, port\)"),
        ("host", ValueError, "port from 0 to 65535 in the address, found 'host'"),
        ("host:", ValueError, "'host:'"),
        ("host:http", ValueError, "'host:http'"),
        ("/tmp/x", ValueError, "'/tmp/x'"),
        ("::1:80", ValueError, r"'\[::1\]:80'"),
        (65536, ValueError, "65536"),
        ("-1", ValueError, "'-1'"),
        ("unix:", ValueError, "unix:path"),
        ("unix:@", ValueError, "unix:path"),
    ],
)
def test_what_is_no_address(given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        parse_address(given)


def test_a_wildcard_takes_both_protocols() -> None:
    with bound_socket(*parse_address(0)) as listener:
        listener.listen()
        if listener.family != AF_INET6:
            pytest.skip("no IPv6 here")
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            stdlib.create_connection((host, port), timeout=60).close()
    with bound_socket(AF_INET6, ("::1", 0)) as listener:
        assert listener.getsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY) == 1


def test_without_ipv6_a_wildcard_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    from corolib.server import listeners

    class NoSix(socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, kind)

    monkeypatch.setattr(listeners, "socket", NoSix)
    with bound_socket(*parse_address(0)) as listener:
        assert listener.family == AF_INET
    with pytest.raises(OSError, match="not supported"):
        bound_socket(*parse_address("[::1]:0"))


def test_an_error_names_the_address() -> None:
    with bound_socket(AF_INET, ("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"in use: \('127.0.0.1', {port}\)"):
            bound_socket(AF_INET, ("127.0.0.1", port))
    with (
        bound_socket(AF_UNIX, "\0corolib test"),
        pytest.raises(OSError, match="in use: 'unix:@corolib test'"),
    ):
        bound_socket(AF_UNIX, "\0corolib test")


def test_what_a_dead_server_left_goes_away_and_a_living_one_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bound_socket(AF_UNIX, path).close()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    with bound_socket(AF_UNIX, path) as again:
        again.listen()
        with pytest.raises(OSError, match="in use"):
            bound_socket(AF_UNIX, path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="in use"):
        bound_socket(AF_UNIX, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"


def test_the_path_of_another_server_is_not_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with bound_socket(AF_UNIX, path):
        first = unix_identity(path)
        assert first is not None
        os.rename(path, path + ".old")
        with bound_socket(AF_UNIX, path):
            remove_unix_path(path, first)
            assert os.path.exists(path)
            remove_unix_path(path, unix_identity(path))
            assert not os.path.exists(path)
    remove_unix_path(path, first)
    assert unix_identity("\0name") is None


def test_closing_an_adopted_socket_closes_the_original() -> None:
    original = stdlib.create_server(("127.0.0.1", 0))
    adopted = Adopted(original)
    assert adopted.getsockname() == original.getsockname()
    adopted.close()
    assert original.fileno() == -1


def test_several_may_bind_a_port_if_all_want_to() -> None:
    with bound_socket(AF_INET, ("127.0.0.1", 0), reuse_port=True) as first:
        bound_socket(AF_INET, first.getsockname(), reuse_port=True).close()
