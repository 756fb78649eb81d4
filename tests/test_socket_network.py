"""Sockets and what a network does to them (chaos.py).

What arrives is an exact prefix of what was sent, and errors come at the right call.
"""

import socket as stdlib
import ssl as stdlib_ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import trustme
from chaos import Address, Chaos, Datagrams, Stream
from ends import pattern

from corolib import socket, ssl
from corolib.event import AsyncResult
from corolib.greenlet import Greenlet
from corolib.hub import sleep

#: Bounds what would otherwise hang.
LONG = 60.0
SHORT = 0.02
DATA = pattern(40_000)


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as chaos:
        yield chaos


@pytest.fixture(scope="module")
def contexts() -> tuple[Any, Any]:
    """For the server and for the client."""
    authority = trustme.CA()
    server, client = (
        ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_SERVER),
        ssl.SSLContext(stdlib_ssl.PROTOCOL_TLS_CLIENT),
    )
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


class Server:
    """Does something with each connection, in a greenlet of its own; `first`: what came of the first one."""

    def __init__(self, serve: Callable[[Any], Any]) -> None:
        self.first: AsyncResult[Any] = AsyncResult()
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.acceptor = Greenlet.spawn(self.accept)
        self.attending: list[Greenlet] = []

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(LONG)
            greenlet = Greenlet.spawn(self.attend, connection)
            if not self.attending:
                greenlet.link(self.first)
            self.attending.append(greenlet)

    def attend(self, connection: Any) -> Any:
        with connection:
            return self.serve(connection)

    def __enter__(self) -> Address:
        where: Address = self.listener.getsockname()
        return where

    def __exit__(self, *exc_info: object) -> None:
        self.acceptor.kill()
        self.listener.close()
        for each in self.attending:
            each.kill()


def echo(connection: Any) -> None:
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except (ConnectionError, ssl.SSLError):
        pass


def open_to(where: Address) -> Any:
    connection = socket.create_connection(where, LONG)
    connection.setsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY, 1)
    return connection


def wrapped(where: Address, context: Any) -> Any:
    return context.wrap_socket(open_to(where), server_hostname="localhost")


def tls_echo(context: Any) -> Callable[[Any], None]:
    def serve(connection: Any) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                echo(wrapped)
        except (OSError, ssl.SSLError):
            pass

    return serve


def whole(receive: Callable[[], bytes]) -> tuple[bytes, Any]:
    """What comes until the end, and the error there if there is one."""
    got = bytearray()
    try:
        while part := receive():
            got += part
    except OSError as error:
        return bytes(got), type(error)
    return bytes(got), None


def into(sock: Any, size: int = 1000) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: sock.recv_into(buffer)])


READINGS: dict[str, Callable[[Any], Callable[[], bytes]]] = {
    "recv": lambda sock: lambda: sock.recv(65536),
    "recv of little": lambda sock: lambda: sock.recv(3),
    "recv_into": lambda sock: lambda: into(sock),
    "recvfrom": lambda sock: lambda: sock.recvfrom(65536)[0],
    "recvmsg": lambda sock: lambda: sock.recvmsg(65536)[0],
    "file": lambda sock: partial(sock.makefile("rb").read, 777),
    "lines": lambda sock: sock.makefile("rb").readline,
}
readings = pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
CUTS = [Stream(segment=1), Stream(segment=200, vary=True, seed=1), Stream(segment=5000, delay=0.001)]


@readings
@pytest.mark.parametrize("cut", CUTS, ids=["single bytes", "various", "slowly"])
def test_however_a_stream_is_cut_every_byte_comes_once_and_in_order(
    chaos: Chaos, reading: Any, cut: Stream
) -> None:
    data = DATA[:4000] if cut.segment == 1 else DATA
    with (
        Server(lambda connection: connection.sendall(data)) as server,
        open_to(chaos.tcp(server, down=cut)) as client,
    ):
        assert whole(reading(client)) == (data, None)


def test_both_directions_cut_at_once(chaos: Chaos) -> None:
    cut = Stream(segment=300, vary=True, seed=7)
    with Server(echo) as server, open_to(chaos.tcp(server, down=cut, up=cut)) as client:
        sender = Greenlet.spawn(lambda: (client.sendall(DATA), client.shutdown(socket.SHUT_WR)))
        assert whole(lambda: client.recv(1000)) == (DATA, None)
        sender.get()


@readings
@pytest.mark.parametrize("place", [0, 1, 999, 5001])
def test_a_reset_comes_after_an_exact_prefix(chaos: Chaos, reading: Any, place: int) -> None:
    plan = Stream(segment=700, reset_at=place)
    with Server(lambda connection: connection.sendall(DATA)) as server:
        with open_to(chaos.tcp(server, down=plan)) as client:
            got, error = whole(reading(client))
            assert error is ConnectionResetError
            assert got == DATA[: len(got)]
            assert len(got) <= place
            # A file keeps back what it has read ahead of an error; the socket itself loses nothing.
            assert len(got) == place or reading in (READINGS["file"], READINGS["lines"])
            # It is an error once, and the end from then on, as ever.
            assert client.recv(1) == b""


def test_a_writer_learns_of_a_reset_at_its_next_call(chaos: Chaos) -> None:
    with Server(lambda connection: whole(lambda: connection.recv(1000))) as server:
        with open_to(chaos.tcp(server, up=Stream(reset_at=1000))) as client:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                while True:
                    client.sendall(DATA)
            with pytest.raises(BrokenPipeError):
                client.sendall(b"x")


def test_what_a_server_gets_before_a_reset_is_a_prefix(chaos: Chaos) -> None:
    serving = Server(lambda connection: whole(lambda: connection.recv(1000)))
    with serving as server, open_to(chaos.tcp(server, up=Stream(reset_at=12_345))) as client:
        with pytest.raises(ConnectionError):
            while True:
                client.sendall(DATA)
        assert serving.first.get() == (DATA[:12_345], ConnectionResetError)


@pytest.mark.parametrize("place", [0, 1, 5000])
def test_after_half_a_close_the_other_half_goes_on(chaos: Chaos, place: int) -> None:
    def serve(connection: Any) -> Any:
        connection.sendall(DATA)
        return whole(lambda: connection.recv(1000))

    serving = Server(serve)
    with serving as server, open_to(chaos.tcp(server, down=Stream(end_at=place))) as client:
        assert whole(lambda: client.recv(1000)) == (DATA[:place], None)
        client.sendall(DATA * 10)
        client.shutdown(socket.SHUT_WR)
        assert serving.first.get() == (DATA * 10, None)


def test_a_stall_is_a_timeout_and_loses_nothing(chaos: Chaos) -> None:
    plan = Stream(segment=1000, stall_at=3000)
    with Server(lambda connection: connection.sendall(DATA)) as server:
        with open_to(chaos.tcp(server, down=plan)) as client:
            got = bytearray()
            while len(got) < 3000:
                got += client.recv(1000)
            client.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                client.recv(1000)
            chaos.go_on()
            client.settimeout(LONG)
            while len(got) < len(DATA):
                got += client.recv(1000)
            assert got == DATA


def test_a_sendall_that_is_out_of_time_has_sent_a_prefix(chaos: Chaos) -> None:
    serving = Server(lambda connection: whole(lambda: connection.recv(1000)))
    with serving as server, open_to(chaos.tcp(server, up=Stream(stall_at=3000, stall=0.2))) as client:
        client.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            client.sendall(DATA * 1000)
        client.close()
        got, error = serving.first.get()
        assert error is None
        assert got == (DATA * 1000)[: len(got)]
        assert 3000 < len(got) < 1000 * len(DATA)


@pytest.mark.parametrize(
    "cut", [*CUTS[:2], Stream(segment=3000, delay=0.001)], ids=["bytes", "various", "slowly"]
)
def test_tls_however_its_records_are_cut(chaos: Chaos, contexts: Any, cut: Stream) -> None:
    data = DATA[:3000] if cut.segment == 1 else DATA
    with Server(tls_echo(contexts[0])) as server:
        with wrapped(chaos.tcp(server, down=cut, up=cut), contexts[1]) as client:
            client.sendall(data)
            got = bytearray()
            while len(got) < len(data):
                got += client.recv(1000)
            assert got == data


@pytest.mark.parametrize("place", [0, 100, 2500, 9000])
def test_tls_and_a_reset(chaos: Chaos, contexts: Any, place: int) -> None:
    """In the handshake and in the data: an error, and never a byte too many.

    In the middle of a record OpenSSL takes it for an end without goodbye, as without us.
    """
    with Server(tls_echo(contexts[0])) as server:
        got = bytearray()
        with (
            pytest.raises(OSError) as caught,
            open_to(chaos.tcp(server, down=Stream(reset_at=place))) as plain,
        ):
            options = {"server_hostname": "localhost", "suppress_ragged_eofs": False}
            with contexts[1].wrap_socket(plain, **options) as client:
                client.sendall(DATA)
                while True:
                    part = client.recv(1000)
                    assert part, "a reset is not an end"
                    got += part
        assert isinstance(caught.value, (ConnectionError, ssl.SSLError)), caught.value
        assert got == DATA[: len(got)]


@pytest.mark.parametrize("suppress", [True, False])
def test_tls_and_an_end_without_goodbye(chaos: Chaos, contexts: Any, suppress: bool) -> None:
    """Cut in the middle of the data: only who asks for it takes that for an end."""
    with (
        Server(tls_echo(contexts[0])) as server,
        open_to(chaos.tcp(server, down=Stream(end_at=9000))) as plain,
    ):
        with contexts[1].wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=suppress
        ) as client:
            client.sendall(DATA)
            got, error = whole(lambda: client.recv(1000))
            assert got == DATA[: len(got)]
            assert error is (None if suppress else ssl.SSLEOFError)


def test_tls_and_a_stall_in_the_handshake(chaos: Chaos, contexts: Any) -> None:
    with (
        Server(tls_echo(contexts[0])) as server,
        open_to(chaos.tcp(server, down=Stream(stall_at=200))) as plain,
    ):
        plain.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            contexts[1].wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize(
    "plan",
    [
        Datagrams(loss=0.3, seed=1),
        Datagrams(duplicate=0.5, seed=2),
        Datagrams(reorder=0.5, seed=3, lateness=0.005),
        Datagrams(late=0.3, seed=4, lateness=0.03),
        Datagrams(loss=0.2, duplicate=0.2, reorder=0.2, late=0.2, seed=5, lateness=0.03),
    ],
    ids=["loss", "duplicates", "reordered", "late", "all"],
)
def test_questions_by_datagram_are_answered_whatever_happens_to_them(chaos: Chaos, plan: Datagrams) -> None:
    """Asked again after a timeout; an answer to an earlier question is not taken for one to this."""
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            question, sender = server.recvfrom(100)
            server.sendto(b"answer to " + question, sender)

    answering = Greenlet.spawn(answer)
    with server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(chaos.udp(server.getsockname(), plan))
        client.settimeout(SHORT)
        for number in range(30):
            question = b"%d" % number
            while True:
                try:
                    client.send(question)
                    while client.recv(100) != b"answer to " + question:
                        sleep(0)
                    break
                except TimeoutError:
                    continue
        assert not answering.ready()
        answering.kill()
