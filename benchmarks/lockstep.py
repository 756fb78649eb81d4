"""A server and all of its clients in one thread, in turns: what a request costs is counted exactly.

With a client in another process, how many requests the server finds when it looks depends on who else runs on
the machine, and so does the cost of each. Here every client sends while the server does not run; then the hub
runs until the last one's answer is there, and only that is measured. The clients are plain sockets of the
interpreter, whatever is patched.
"""

import _socket
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

from echo import allow_many_files
from region import COUNTING, Region, result
from web_servers import application
from workload import Body

#: At least so many requests are measured, however few connections there are.
LEAST = 2_000
#: Connections that are made before the server accepts them; less than the backlog.
BATCH = 200
BACKLOG = 1024
ECHO = bytes(64)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def echo(package: ModuleType) -> Any:
    """The echo server of servers.py."""
    server = import_module(f"{package.__name__}.server")

    def serve(connection: Any, _: Any) -> None:
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        while data := connection.recv(65536):
            connection.sendall(data)

    return server.StreamServer(("127.0.0.1", 0), serve, backlog=BACKLOG)


def http(package: ModuleType) -> Any:
    """The web server of web_servers.py."""
    server = import_module(f"{package.__name__}.pywsgi")
    return server.WSGIServer(("127.0.0.1", 0), application, backlog=BACKLOG, log=None)


def connected(package: ModuleType, port: int, count: int) -> list[Any]:
    """So many clients, all of them accepted."""
    clients = []
    for index in range(count):
        client = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        client.connect(("127.0.0.1", port))
        client.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        client.setblocking(False)
        clients.append(client)
        if index % BATCH == 0:
            package.sleep(0.01)
    package.sleep(0.01)
    return clients


def steady(package: ModuleType) -> AbstractContextManager[object]:
    """Where instructions are counted the clock stands still: what a program does by the time would vary.

    It stands for as long as anybody waits for a descriptor: a server with time limits would end its
    connections if the clock jumped to them while a request is on its way.
    """
    if os.environ.get(COUNTING):
        testing = import_module(f"{package.__name__}.testing")
        clock: AbstractContextManager[object] = testing.VirtualClock(patience=None)
        return clock
    return nullcontext()


def in_turns(region: Region, clients: list[Any], request: bytes, wait: Callable[[int], object]) -> int:
    """The clients, the server, the clients, and so on: how many of the server's turns were measured."""
    turns = max(1, LEAST // len(clients))
    expected = b""
    # The first turn is not measured: a connection's first request is another one's than its second.
    for turn in range(1 + turns):
        for client in clients:
            client.send(request)
        if turn == 1:
            region.begin()
        elif turn > 1:
            region.resume()
        wait(clients[-1].fileno())
        if turn >= 1:
            region.pause()
        for client in clients:
            answer = received(client, wait)
            expected = expected or answer
            if len(answer) != len(expected):
                raise RuntimeError(f"expected an answer like {expected!r}, found {answer!r}")
    region.resume()
    region.end()
    return turns


def received(client: Any, wait: Callable[[int], object]) -> bytes:
    """An answer. Seldom it is still to come: the kernel may deliver the last request before another one."""
    while True:
        try:
            answer: bytes = client.recv(4096)
        except BlockingIOError:
            wait(client.fileno())
        else:
            return answer


def serving(make: Callable[[ModuleType], Any], request: bytes) -> Body:
    """A body: the size is the number of connections, a unit is a request."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        allow_many_files()
        wait_read = import_module(f"{package.__name__}.socket").wait_read
        server = make(package)
        server.start()
        clients = connected(package, server.server_port, size)
        region = Region()
        with steady(package):
            turns = in_turns(region, clients, request, wait_read)
        return result(region, turns * size)

    return body


def waiting(package: ModuleType, size: int) -> dict[str, float]:
    """What a turn costs in itself: to begin and end it, and to wait for an answer that is there already."""
    wait_read = import_module(f"{package.__name__}.socket").wait_read
    near, far = _socket.socketpair()
    near.send(b"x")
    wait_read(far.fileno())
    region, last = Region(), far.fileno()

    def serve() -> None:
        wait_read(last)

    with steady(package):
        region.begin()
        for _ in range(size):
            serve()
            region.pause()
            region.resume()
        region.end()
    return result(region, size)


BODIES: dict[str, Body] = {
    "echo": serving(echo, ECHO),
    "http": serving(http, GET),
    "waiting": waiting,
}
