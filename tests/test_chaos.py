"""The proxy that mistreats connections (chaos.py) does what its plans say, as plain sockets see it."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from chaos import Chaos, Datagrams, Stream

DATA = bytes(range(256)) * 8
#: Bounds what would otherwise hang.
WAIT = 60


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as chaos:
        yield chaos


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Where a server sends back whatever comes, and ends when its peer does."""

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                try:
                    while data := connection.recv(65536):
                        connection.sendall(data)
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def exchange(where: tuple[str, int], data: bytes = DATA) -> tuple[bytes, object]:
    """What comes back of the data until the end, and the error there if there is one."""
    got, failed = b"", None
    with socket.create_connection(where, timeout=WAIT) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except ConnectionResetError as error:  # it has been told now, and is not told again
            failed = error
        except OSError:
            pass  # what is reset cannot be shut down either: that is no news
        try:
            while part := client.recv(65536):
                got += part
        except OSError as error:
            failed = error
        return got, failed and type(failed)


def segments_in(sock: socket.socket) -> int:
    """How many segments with data a connection has received: tcpi_data_segs_in of the kernel's tcp_info."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("I", info, 152)[0])


def test_a_plan_that_does_nothing(chaos: Chaos, echo: tuple[str, int]) -> None:
    assert exchange(chaos.tcp(echo)) == (DATA, None)


@pytest.mark.parametrize("plan", [Stream(segment=1), Stream(segment=99, vary=True, seed=5)], ids=str)
def test_small_pieces(chaos: Chaos, echo: tuple[str, int], plan: Stream) -> None:
    with socket.create_connection(chaos.tcp(echo, down=plan), timeout=WAIT) as client:
        client.sendall(DATA)
        client.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: client.recv(65536), b"")) == DATA
        assert segments_in(client) > 5


@pytest.mark.parametrize("place", [0, 1, 1000])
def test_a_reset(chaos: Chaos, echo: tuple[str, int], place: int) -> None:
    got, error = exchange(chaos.tcp(echo, down=Stream(reset_at=place)))
    assert (got, error) == (DATA[:place], ConnectionResetError)


@pytest.mark.parametrize("place", [0, 1, 1000])
def test_an_early_end(chaos: Chaos, echo: tuple[str, int], place: int) -> None:
    assert exchange(chaos.tcp(echo, down=Stream(end_at=place))) == (DATA[:place], None)
    assert exchange(chaos.tcp(echo, up=Stream(end_at=place))) == (DATA[:place], None)


def test_a_stall(chaos: Chaos, echo: tuple[str, int]) -> None:
    with socket.create_connection(chaos.tcp(echo, down=Stream(stall_at=10)), timeout=WAIT) as client:
        client.sendall(DATA)
        assert client.recv(100, socket.MSG_WAITALL) == DATA[:10]
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert exchange(chaos.tcp(echo, up=Stream(stall_at=10, stall=0.01))) == (DATA, None)


def test_a_receiver_that_does_not_read_is_felt_by_the_sender(chaos: Chaos) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(chaos.tcp(listener.getsockname())) as client, listener.accept()[0]:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(100_000_000))


def test_datagrams(chaos: Chaos) -> None:
    def through(plan: Datagrams) -> list[int]:
        """The numbers of 100 datagrams as they come."""
        with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            where = chaos.udp(server.getsockname(), plan)
            for number in range(100):
                client.sendto(b"%d" % number, where)
            chaos.settle()
            got = []
            try:
                while True:
                    got.append(int(server.recv(100)))
            except BlockingIOError:
                return got

    everything = list(range(100))
    assert through(Datagrams()) == everything
    lost = through(Datagrams(loss=0.5, seed=1))
    assert lost == sorted(set(lost))
    assert 25 < len(lost) < 75
    doubled = through(Datagrams(duplicate=0.5, seed=1))
    assert sorted(set(doubled)) == everything
    assert 125 < len(doubled) < 175
    for mixed in (through(Datagrams(reorder=0.5, seed=1)), through(Datagrams(late=0.5, seed=1))):
        assert sorted(mixed) == everything
        assert mixed != everything
