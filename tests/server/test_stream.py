"""StreamServer: connections over TCP, UNIX sockets and TLS."""

import os
import socket as plain
import ssl as stdlib_ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import needed
import pytest
import trustme
from helpers import ROOT

import corolib
from corolib import socket, ssl
from corolib.event import Event
from corolib.hub import get_hub, sleep
from corolib.server import StreamServer
from corolib.testing import settle

HERE = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def handlers_end() -> Iterator[None]:
    yield
    settle()  # their clients are closed by now


def echo(sock: Any, address: Any) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def connect(server: StreamServer, number: int = 0) -> socket.socket:
    listener = server.sockets[number]
    client = socket.socket(listener.family)
    client.settimeout(60)
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(listener.getsockname())
    return client


def exchange(client: Any, data: bytes = b"hello") -> None:
    client.sendall(data)
    assert client.recv(100) == data


# -- kinds of listeners --------------------------------------------------------------------------------------


def test_many_connections_at_once() -> None:
    with StreamServer(HERE, echo) as server:
        server.start()
        clients = [connect(server) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.recv(10) == b"%d" % number
            client.close()


def test_the_handler_gets_the_address_of_the_peer() -> None:
    with StreamServer(HERE, lambda sock, address: sock.sendall(repr(address).encode())) as server:
        server.start()
        with connect(server) as client:
            assert client.recv(100) == repr(client.getsockname()).encode()


def test_the_connection_is_closed_after_its_handler_even_if_that_fails() -> None:
    get_hub().handle_error = lambda *error: None  # type: ignore[method-assign]
    for handle in (lambda sock, address: None, lambda sock, address: 1 / 0):
        with StreamServer(HERE, handle) as server:
            server.start()
            with connect(server) as client:
                assert client.recv(1) == b""
    del get_hub().handle_error


def test_several_listeners_of_different_kinds(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    given = plain.create_server(HERE)
    with StreamServer([HERE, f"unix:{path}", given, "unix:@corolib several"], echo) as server:
        server.start()
        assert len(server.sockets) == 4
        assert server.addresses[1:] == [path, given.getsockname(), b"\0corolib several"]
        for number in range(4):
            with connect(server, number) as client:
                exchange(client)
    assert given.fileno() == -1
    assert not os.path.exists(path)


def test_a_unix_peer_has_an_empty_address(tmp_path: Path) -> None:
    with StreamServer(
        f"unix:{tmp_path}/s", lambda sock, address: sock.sendall(repr(address).encode())
    ) as server:
        server.start()
        assert (server.server_host, server.server_port) == (None, None)
        with connect(server) as client:
            assert client.recv(100) == b"''"


def test_ipv6_with_its_scope() -> None:
    try:
        server = StreamServer("[::1]:0", lambda sock, address: sock.sendall(repr(address).encode()))
        server.start()
    except OSError:
        pytest.skip("no IPv6 here")
    with server, connect(server) as client:
        assert client.recv(100) == repr(client.getsockname()).encode()
        assert len(client.getsockname()) == 4


def test_a_socket_that_only_is_bound_begins_to_listen() -> None:
    for kind in (socket.socket, plain.socket):
        bound = kind()
        bound.bind(HERE)
        with StreamServer(bound, echo) as server:
            server.start()
            with connect(server) as client:
                exchange(client)


def test_a_tls_socket_is_no_listener() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with socket.socket() as bound, context.wrap_socket(bound, server_side=True) as secure:
        with pytest.raises(TypeError, match="ssl_context"):
            StreamServer(secure, echo)


def test_two_servers_share_a_port_if_both_want_to() -> None:
    with StreamServer(HERE, echo, reuse_port=True) as first:
        first.start()
        with StreamServer(first.address, echo, reuse_port=True) as second:
            second.start()
            for _ in range(8):
                with connect(first) as client:
                    exchange(client)
        with pytest.raises(OSError, match="in use"):
            StreamServer(first.address, echo).start()


def test_a_subclass_may_make_the_socket() -> None:
    class Own(StreamServer):
        @classmethod
        def get_listener(cls, address: Any, backlog: Any = None, family: Any = None) -> Any:
            assert backlog == 7
            return socket.create_server(address, backlog=backlog)

        def init_socket(self) -> None:
            super().init_socket()
            self.made = self.socket

    with Own(HERE, echo, backlog=7) as server:
        server.start()
        assert server.made is server.socket
        with connect(server) as client:
            exchange(client)


def test_a_subclass_may_read_and_close_in_its_own_way() -> None:
    closed: list[Any] = []

    class Own(StreamServer):
        def do_read(self) -> Any:
            sock, address = self.socket.accept()
            return sock, address, "more"

        def do_close(self, sock: Any, *args: Any) -> None:
            closed.append(args[1:])
            sock.close()

        def handle(self, sock: Any, address: Any, more: str) -> None:
            sock.sendall(more.encode())

    with Own(HERE) as server:
        server.start()
        with connect(server) as client:
            assert client.recv(100) == b"more"
    assert closed == [("more",)]


def test_a_peer_that_resets_before_it_is_accepted_is_no_error() -> None:
    seen: list[Any] = []

    def handle(sock: Any, address: Any) -> None:
        try:
            seen.append(sock.recv(100))
        except OSError as error:
            seen.append(type(error))

    with StreamServer(HERE, handle) as server:
        server.start()
        server.stop_accepting()
        client = connect(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with connect(server) as good:
            good.sendall(b"good")
            server.start_accepting()
            assert good.recv(1) == b""
    assert seen == [ConnectionResetError, b"good"]


# -- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("localhost")


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> Any:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def served(certificate: trustme.LeafCert, started: Any) -> Any:
    """Makes and starts a TLS server, with what handshake_failed() was told in `failed`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    class Noted(StreamServer):
        def handshake_failed(self, error: OSError, address: Any) -> None:
            self.failed.append(error)

    def make(handle: Any = echo, **options: Any) -> StreamServer:
        server = Noted(HERE, handle, **{"ssl_context": context, **options})
        server.failed = []
        return started(server)

    return make


def secure(server: StreamServer, context: Any) -> Any:
    return context.wrap_socket(connect(server), server_hostname="localhost", suppress_ragged_eofs=False)


def test_tls(served: Any, trusting: Any) -> None:
    server = served()
    assert server.ssl_enabled
    with secure(server, trusting) as client:
        exchange(client)


def test_the_end_of_tls_is_told(served: Any, trusting: Any) -> None:
    with secure(served(lambda sock, address: sock.sendall(b"x")), trusting) as client:
        assert client.recv(10) == b"x"
        assert client.recv(10) == b""


def test_a_context_of_the_standard_library_makes_sockets_that_wait_in_the_hub(
    served: Any, trusting: Any, certificate: trustme.LeafCert
) -> None:
    context = stdlib_ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    kinds: list[type] = []

    def handle(sock: Any, address: Any) -> None:
        kinds.append(type(sock))
        echo(sock, address)

    with secure(served(handle, ssl_context=context), trusting) as client:
        exchange(client)
    assert kinds == [ssl.SSLSocket]


def test_a_context_with_a_method_of_its_own_is_asked(
    served: Any, trusting: Any, certificate: trustme.LeafCert
) -> None:
    calls: list[Any] = []

    class Own(ssl.SSLContext):
        def wrap_socket(self, sock: Any, **options: Any) -> Any:
            calls.append(options)
            return super().wrap_socket(sock, **options)

    context = Own(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with secure(served(ssl_context=context), trusting) as client:
        exchange(client)
    assert calls == [{"server_side": True, "suppress_ragged_eofs": True, "do_handshake_on_connect": False}]


def test_a_context_is_made_of_files(certificate: trustme.LeafCert, trusting: Any, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    with StreamServer(HERE, echo, certfile=cert, keyfile=key) as server:
        server.start()
        with secure(server, trusting) as client:
            exchange(client)
        assert server.ssl_context is not None
        assert server.ssl_context.options & ssl.OP_NO_RENEGOTIATION
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(TypeError, match="found both"):
        StreamServer(HERE, echo, ssl_context=context, certfile=cert)
    with pytest.raises(TypeError, match="found neither"):
        StreamServer(HERE, echo, keyfile=key)
    assert not StreamServer(HERE, echo, ssl_context=None).ssl_enabled


@pytest.mark.corolib(clock=True)
def test_a_peer_that_says_nothing_delays_nobody_and_is_cut(served: Any, trusting: Any) -> None:
    server = served(handshake_timeout=0.05)
    # What is sent has come then, and is not held back until the peer acknowledges: the clock would not wait.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connect(server) as silent, secure(server, trusting) as client:
        exchange(client)
        assert silent.recv(1) == b""
        assert [type(error) for error in server.failed] == [TimeoutError]
        exchange(client)  # the deadline was for the handshake alone


@pytest.mark.corolib(clock=True)
def test_a_peer_that_talks_slowly_has_the_same_deadline(served: Any) -> None:
    server = served(handshake_timeout=0.05)
    with connect(server) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00")
        for _ in range(100):
            sleep(0.01)
            try:
                slow.sendall(b"\x01")
            except OSError:
                break
        else:
            pytest.fail("never cut")
        assert [type(error) for error in server.failed] == [TimeoutError]


def test_an_address_has_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corolib.server.peers.is_private", lambda host: False)
    turned_away = []

    class Noted(StreamServer):
        def turned_away(self, address: Any) -> None:
            turned_away.append(address)

    with Noted(HERE, echo, max_per_address=2) as server:
        server.start()
        first, second = connect(server), connect(server)
        exchange(first)
        exchange(second)
        with connect(server) as third:
            assert third.recv(1) == b""
            assert turned_away == [third.getsockname()]
        first.close()
        settle()
        with connect(server) as fourth:
            exchange(fourth)
        second.close()
        settle()
        assert server._peers == {}


def test_a_private_address_is_not_limited() -> None:
    with StreamServer(HERE, echo, max_per_address=1) as server:
        server.start()
        with connect(server) as first, connect(server) as second:
            exchange(first)
            exchange(second)
            assert server._peers == {"127.0.0.1": 2}


def test_a_connection_that_cannot_be_handled_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("no")

    told: list[Any] = []
    with StreamServer(HERE, echo, spawn=refuse, max_per_address=1) as server:
        get_hub().handle_error = lambda context, type, value, tb: told.append(type)  # type: ignore[method-assign]
        try:
            server.start()
            with connect(server) as client:
                assert client.recv(1) == b""
        finally:
            del get_hub().handle_error
        assert told == [RuntimeError]
        assert server._peers == {}


def test_who_does_not_end_the_handshake_is_counted(
    served: Any, trusting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corolib.server.peers.is_private", lambda host: False)
    server = served(max_per_address=2)
    stalled = [connect(server) for _ in range(2)]
    settle()
    with connect(server) as third:
        assert third.recv(1) == b""
    for each in stalled:
        each.close()
    settle()
    with secure(server, trusting) as client:
        exchange(client)


def test_a_handshake_that_fails_is_dropped_quietly(served: Any, trusting: Any, capfd: Any) -> None:
    server = served()
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while client.recv(100):
                pass
    client = connect(server)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    settle()
    with secure(server, trusting) as client:
        exchange(client)
    assert len(server.failed) == 2
    assert capfd.readouterr() == ("", "")


def test_the_handler_may_do_the_handshake(served: Any, trusting: Any) -> None:
    def handle(sock: Any, address: Any) -> None:
        assert sock.version() is None
        sock.do_handshake()
        echo(sock, address)

    with secure(served(handle, do_handshake_on_connect=False), trusting) as client:
        exchange(client)


def test_a_tls_connection_is_drained(served: Any, trusting: Any) -> None:
    gate = Event()

    def handle(sock: Any, address: Any) -> None:
        gate.wait()
        sock.sendall(b"late")

    server = served(handle)
    with secure(server, trusting) as client:
        corolib.spawn(gate.set)
        assert server.drain(5) == 0
        assert client.recv(10) == b"late"
        assert client.recv(10) == b""


# -- the system's answers, for once what we want -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.parametrize(
    "name",
    ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPERM", "EPROTO", "ENETDOWN", "EHOSTUNREACH"],
)
def test_accept_fails_for_a_while_and_everybody_is_served_in_the_end(name: str) -> None:
    """The real system call, made to fail by strace: every second time at first, then 30 times in a row."""
    strace = needed.program("strace")
    for when in ("1..40+2", "5..35"):
        inject = f"inject=accept4:error={name}:when={when}"
        done = subprocess.run(
            [
                strace,
                "-f",
                "-o",
                "/dev/null",
                "-e",
                "trace=accept4",
                "-e",
                inject,
                sys.executable,
                "-c",
                STORM,
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "served 100\n", done.stderr


#: Its back-off is shorter than a server's, for the sake of the test's time.
STORM = """
import time
import corolib
from corolib import socket
from corolib.server import StreamServer

class Hurried(StreamServer):
    max_delay = 0.02

def ask():
    with socket.create_connection(server.address, timeout=30) as client:
        client.sendall(b"x")
        return client.recv(10)

with Hurried(("127.0.0.1", 0), lambda sock, address: sock.sendall(sock.recv(10))) as server:
    server.start()
    answers = []
    for _ in range(10):
        asking = [corolib.spawn(ask) for _ in range(10)]
        corolib.joinall(asking, raise_error=True)
        answers += [each.value for each in asking]
    print("served", answers.count(b"x"))
"""
