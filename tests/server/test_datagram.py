"""DatagramServer: datagrams over UDP and UNIX sockets."""

import socket as plain
from pathlib import Path
from typing import Any

import pytest

from corolib import socket
from corolib.event import Event
from corolib.server import DatagramServer
from corolib.testing import settle

HERE = ("127.0.0.1", 0)


@pytest.fixture
def client() -> Any:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.bind(HERE)
        made.settimeout(60)
        yield made


class Shout(DatagramServer):
    def handle(self, data: bytes, address: Any) -> None:
        self.sendto(data.upper(), address)


def test_it_answers(client: Any) -> None:
    with Shout(HERE) as server:
        server.start()
        for data in (b"hello", b"", b"x" * 60000):
            client.sendto(data, server.address)
            assert client.recvfrom(65536) == (data.upper(), server.address)


def test_a_slow_handler_delays_nobody(client: Any) -> None:
    gate = Event()
    seen: list[bytes] = []

    def handle(data: bytes, address: Any) -> None:
        if data == b"slow":
            gate.wait()
        seen.append(data)

    with DatagramServer(HERE, handle) as server:
        server.start()
        for data in (b"slow", b"1", b"2"):
            client.sendto(data, server.address)
        settle()
        assert seen == [b"1", b"2"]
        gate.set()
        settle()
        assert seen == [b"1", b"2", b"slow"]


def test_several_sockets_given_and_made(client: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    given = plain.socket(type=plain.SOCK_DGRAM)
    given.bind(HERE)
    seen: list[bytes] = []
    with DatagramServer([given, f"unix:{path}", HERE], lambda data, address: seen.append(data)) as server:
        server.start()
        client.sendto(b"a", server.addresses[0])
        client.sendto(b"b", server.addresses[2])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
            local.sendto(b"c", path)
        settle()
        assert sorted(seen) == [b"a", b"b", b"c"]
    assert given.fileno() == -1
    assert not Path(path).exists()


def test_a_peer_that_is_gone_does_not_end_it(client: Any) -> None:
    """A connected socket gets ECONNREFUSED, by ICMP, from the next operation after what it sent in vain."""
    near = socket.socket(type=socket.SOCK_DGRAM)
    near.bind(HERE)
    address = client.getsockname()
    near.connect(address)
    with Shout(near) as server:
        server.start()
        client.close()
        for _ in range(3):
            try:
                near.send(b"anybody there?")
            except ConnectionRefusedError:
                pass
            settle()
        assert server.started
        with socket.socket(type=socket.SOCK_DGRAM) as again:
            again.settimeout(60)
            again.bind(address)
            again.sendto(b"here", near.getsockname())
            assert again.recv(100) == b"HERE"


def test_reuse_port_shares_a_port() -> None:
    with Shout(HERE, reuse_port=True) as first:
        first.start()
        with Shout(first.address, reuse_port=True) as second:
            second.start()
