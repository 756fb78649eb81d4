"""Storms of sockets (storms/reuse.py, storms/streams.py): a little every day, all of it in a long run."""

import os
from typing import Any

import pytest
from chaos import Chaos
from helpers import ROOT, run_isolated
from storms.reuse import Storm
from storms.streams import Ends, contexts, read_exactly, run

from corolib import sleep, socket
from corolib.server import StreamServer

#: The sizes of the long runs are for who runs them.
ROUNDS = os.environ.get("COROLIB_TEST_ROUNDS", "1000000")
LOOPBACK = os.environ.get("COROLIB_TEST_LOOPBACK", "50G")
LONG = 36_000


def test_no_byte_goes_to_another_socket_of_the_same_number() -> None:
    storm = Storm(1000, seed=1)
    storm.run()
    # It was a storm.
    assert storm.reused > 900
    assert storm.cut > 300
    assert storm.read > 100


def test_a_byte_of_another_socket_is_found_out() -> None:
    def by_number(sock: Any) -> bytes:
        fd = sock.fileno()
        for _ in range(50):
            try:
                return os.read(fd, 100)
            except BlockingIOError:
                sleep(0)
        return b""

    with pytest.raises(AssertionError, match="rounds went wrong"):
        Storm(500, seed=1, reads=[by_number]).run()


@pytest.mark.slow
@pytest.mark.hang_after(LONG)
def test_no_byte_goes_to_another_socket_in_a_great_many_rounds() -> None:
    run_isolated(ROOT / "tests/storms/reuse.py", "--rounds", ROUNDS, timeout=LONG)


@pytest.mark.parametrize("way", ["plain", "tls", "chaos"])
def test_all_bytes_come_as_they_were_sent(way: str) -> None:
    with Chaos() as chaos:
        size = run(
            3_000_000, 10, tls=contexts() if way == "tls" else None, chaos=chaos if way == "chaos" else None
        )
    assert size == 3_000_000


def doubled(ends: Ends) -> None:
    write = ends.write
    ends.write = lambda sock, place: (sock.sendall(ends.pattern.at(place, 1)), write(sock, place))  # type: ignore[method-assign]


def left_out(ends: Ends) -> None:
    write = ends.write

    def leave_out(sock: Any, place: int) -> None:
        sock.sendall(ends.pattern.at(place, 10))
        write(sock, place + 11)

    ends.write = leave_out  # type: ignore[method-assign]


@pytest.mark.parametrize("spoil", [doubled, left_out])
def test_a_byte_that_is_doubled_or_lost_is_found_out(spoil: Any) -> None:
    with pytest.raises(AssertionError, match="a wrong byte"):
        run(1_000_000, 1, spoil=spoil)


@pytest.mark.slow
@pytest.mark.hang_after(LONG)
@pytest.mark.parametrize(
    "options",
    [("--bytes", LOOPBACK), ("--chaos", "--bytes", "1G"), ("--tls", "--connections", "200", "--bytes", "1G")],
    ids=["loopback", "chaos", "tls"],
)
def test_a_great_many_bytes_come_as_they_were_sent(options: tuple[str, ...]) -> None:
    run_isolated(ROOT / "tests/storms/streams.py", *options, timeout=LONG)


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_silent_peers_hold_up_nobody(count: int) -> None:
    """They connect to a TLS server and say nothing: those who come after them are served all the same."""
    server_context, client_context = contexts()
    served: list[bytes] = []

    def serve(sock: Any, address: object) -> None:
        served.append(read_exactly(sock, 1))
        sock.sendall(b"!")

    with StreamServer(("127.0.0.1", 0), serve, 4096, count + 100, ssl_context=server_context) as server:
        server.start()
        silent = [socket.create_connection(server.address) for _ in range(count)]
        for number in range(5):
            with socket.create_connection(server.address, 20) as plain:
                with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                    client.sendall(b"%d" % number)
                    assert client.recv(1) == b"!"
        assert served == [b"0", b"1", b"2", b"3", b"4"]
        for sock in silent:
            # They are all still connected.
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            sock.close()
        server.stop(timeout=20)
