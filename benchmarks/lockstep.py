"""A server and all of its clients, in turns: what a request costs is counted exactly.

With clients that go on by themselves, how many requests the server finds when it looks depends on who else
runs on the machine, and so does the cost of each. Here every client sends while the server does not run; then
the hub runs until the last one's answer is there, and only that is measured. That client is a plain socket of
the interpreter, whatever is patched; the others are in a process of their own, lockstep_clients.py.
"""

import _socket
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from subprocess import PIPE, Popen
from types import ModuleType
from typing import Any

from echo import allow_many_files
from peers import SUBJECT
from region import COUNTING, Region, result
from web_servers import MOST, application
from workload import Body

#: At least so many requests are measured, however few connections there are.
LEAST = 2_000
#: Connections that are made before the server accepts them; less than the backlog.
BATCH = 200
BACKLOG = 1024
#: Connections that come and go before anything is measured. CPython specialises a function that was called
#: some times; a handler whose only loop is `while data := recv()` is called once for each connection, and
#: with one connection it would not be.
WARM_UP = 20
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
    more = {"max_connections": MOST} if package.__name__ == SUBJECT else {}
    return server.WSGIServer(("127.0.0.1", 0), application, backlog=BACKLOG, log=None, **more)


class Crowd:
    """All clients: the last one is here, since the hub can wait for its answer; the others have a process."""

    def __init__(self, package: ModuleType, port: int, request: bytes, count: int) -> None:
        self.package, self.request = package, request
        script = Path(__file__).with_name("lockstep_clients.py")
        # Plain pipes, read while the hub stands still. Not traced by a tool that counts this process.
        self.others = Popen([sys.executable, str(script), str(port), request.hex()], stdin=PIPE, stdout=PIPE)
        wait_read = import_module(f"{package.__name__}.socket").wait_read
        for begun in range(0, count - 1, BATCH):
            # The server accepts meanwhile.
            self.command(f"connect {min(BATCH, count - 1 - begun)}", wait_read)
        self.last = client(port)

    def command(self, line: str, wait: Callable[[int], object] = lambda _: None) -> str:
        """Have the others do something, and wait until they have; nothing else runs, unless `wait` does."""
        assert self.others.stdin is not None and self.others.stdout is not None
        self.others.stdin.write(f"{line}\n".encode())
        self.others.stdin.flush()
        wait(self.others.stdout.fileno())
        answer = self.others.stdout.readline()
        if not answer:
            raise RuntimeError(f"the other clients have ended, with status {self.others.wait()}")
        return answer.decode().strip()

    def send(self) -> None:
        """A request on each connection, the last one last."""
        self.command("send")
        self.last.send(self.request)

    def receive(self, wait: Callable[[int], object]) -> int:
        """The length of the answers, all of which are the same. Seldom one is still to come: the kernel may
        deliver the last request before another one."""
        length = len(received(self.last, wait))
        while (others := self.command("receive")) == "waits":
            time.sleep(0.001)  # whatever clock the hub has
            self.package.sleep(0)
        if others not in ("", str(length)):
            raise RuntimeError(f"expected answers of one length, found {others} and {length}")
        return length

    def close(self) -> None:
        """The end of all of them."""
        self.last.close()
        self.others.communicate()


def client(port: int) -> _socket.socket:
    """A connection of the interpreter's, whatever is patched."""
    made = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    made.connect(("127.0.0.1", port))
    made.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return made


def warm_up(port: int, request: bytes, wait: Callable[[int], object]) -> None:
    """Some connections, one after the other, each with a request."""
    for _ in range(WARM_UP):
        visitor = client(port)
        visitor.send(request)
        received(visitor, wait)
        visitor.close()


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


def in_turns(region: Region, crowd: Crowd, count: int, wait: Callable[[int], object]) -> int:
    """The clients, the server, the clients, and so on: how many of the server's turns were measured."""
    turns = max(1, LEAST // count)
    expected = 0
    # The first turn is not measured: a connection's first request is another one's than its second.
    for turn in range(1 + turns):
        crowd.send()
        if turn == 1:
            region.begin()
        elif turn > 1:
            region.resume()
        wait(crowd.last.fileno())
        if turn >= 1:
            region.pause()
        length = crowd.receive(wait)
        expected = expected or length
        if length != expected:
            raise RuntimeError(f"expected answers of {expected} bytes, found {length}")
    region.resume()
    region.end()
    return turns


def received(connection: Any, wait: Callable[[int], object]) -> bytes:
    """An answer, which may be still to come."""
    while True:
        try:
            answer: bytes = connection.recv(4096)
        except BlockingIOError:
            wait(connection.fileno())
        else:
            return answer


def serving(make: Callable[[ModuleType], Any], request: bytes) -> Body:
    """A body: the size is the number of connections, a unit is a request."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        allow_many_files()
        wait_read = import_module(f"{package.__name__}.socket").wait_read
        server = make(package)
        server.start()
        region = Region()
        with steady(package):
            warm_up(server.server_port, request, wait_read)
            crowd = Crowd(package, server.server_port, request, size)
            turns = in_turns(region, crowd, size, wait_read)
        crowd.close()
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
