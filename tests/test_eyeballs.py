"""corolib._eyeballs: the first connection counts."""

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import Recorder

from corolib import Timeout
from corolib import socket as cosocket
from corolib._eyeballs import interleaved, race
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import sleep

V4, V6 = socket.AF_INET, socket.AF_INET6


def test_families_take_turns() -> None:
    rows = [(V6, 1), (V6, 2), (V6, 3), (V4, 4), (V4, 5)]
    assert interleaved(rows) == [(V6, 1), (V4, 4), (V6, 2), (V4, 5), (V6, 3)]
    assert interleaved([(V4, 1), (V4, 2), (V6, 3)]) == [(V4, 1), (V6, 3), (V4, 2)]
    assert interleaved([]) == []


class Wire:
    """Connections by name: each is made, or fails, when the test says so."""

    def __init__(self) -> None:
        self.rec = Recorder()
        self.ready: dict[str, Event] = {}
        self.outcome: dict[str, BaseException | None] = {}
        self.last_moment: Callable[[], object] = lambda: None

    def connect(self, row: tuple[int, str]) -> "Connection":
        name = row[1]
        self.rec(f"try {name}")
        try:
            self.ready.setdefault(name, Event()).wait()
        except BaseException:
            self.rec(f"drop {name}")
            raise
        self.last_moment()
        error = self.outcome[name]
        if error is not None:
            raise error
        return Connection(self.rec, name)

    def end(self, name: str, error: BaseException | None = None) -> None:
        self.outcome[name] = error
        self.ready.setdefault(name, Event()).set()


class Connection:
    def __init__(self, rec: Recorder, name: str) -> None:
        self.rec, self.name = rec, name

    def close(self) -> None:
        self.rec(f"close {self.name}")


def turns(number: int = 5) -> None:
    for _ in range(number):
        sleep(0)


def until(wire: Wire, happened: int) -> None:
    while len(wire.rec.items) < happened:
        sleep(0.001)


def start(wire: Wire, *names: str, delay: float) -> Greenlet[Any]:
    return Greenlet.spawn(race, [(V4, name) for name in names], wire.connect, delay)


def test_the_next_is_tried_when_one_fails() -> None:
    wire = Wire()
    racing = start(wire, "a", "b", "c", delay=1000)
    turns()
    wire.rec.check(["try a"])
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    wire.end("a", refused)
    turns()
    wire.rec.check(["try a", "try b"])
    wire.end("b")
    winner, errors = racing.get()
    assert (winner.name, errors) == ("b", [refused])
    wire.rec.check(["try a", "try b"])


def test_the_next_is_tried_when_one_is_slow_and_the_first_to_come_wins() -> None:
    wire = Wire()
    racing = start(wire, "a", "b", "c", delay=0)
    until(wire, 3)
    wire.rec.check(["try a", "try b", "try c"])
    wire.end("b")
    assert racing.get()[0].name == "b"
    turns()
    wire.rec.check(["try a", "try b", "try c", {"drop a", "drop c"}])


def test_the_second_to_come_is_closed() -> None:
    wire = Wire()
    racing = start(wire, "a", "b", delay=0)
    until(wire, 2)
    wire.end("b")
    wire.end("a")
    assert racing.get()[0].name == "b"
    turns()
    wire.rec.check(["try a", "try b", "close a"])


def test_all_errors_come_in_the_order_of_the_attempts() -> None:
    wire = Wire()
    racing = start(wire, "a", "b", "c", delay=0)
    until(wire, 3)
    errors = {name: OSError(name) for name in "abc"}
    for name in ("c", "a", "b"):
        wire.end(name, errors[name])
        turns(2)
    assert racing.get() == (None, [errors["a"], errors["b"], errors["c"]])


def test_what_is_no_failure_to_connect_is_raised() -> None:
    wire = Wire()
    racing = start(wire, "a", "b", delay=1000)
    wire.end("a", OverflowError("port"))
    with pytest.raises(OverflowError, match="port"):
        racing.get()
    wire.rec.check(["try a"])


@pytest.mark.parametrize("won", [False, True])
def test_who_is_killed_leaves_nothing_behind(won: bool) -> None:
    wire = Wire()
    racing = start(wire, "a", "b", delay=0)
    until(wire, 2)
    if won:
        # Just as a connection comes: the attempt has it, the race has not been told.
        wire.last_moment = lambda: racing.kill(block=False)
        wire.end("a")
        racing.join()
    else:
        racing.kill()
    turns()
    left = ["close a", "drop b"] if won else ["drop a", "drop b"]
    wire.rec.check(["try a", "try b", set(left)])


def test_nobody_to_try() -> None:
    assert race([], lambda row: Connection(Recorder(), ""), 0) == (None, [])


# -- by create_connection() --------------------------------------------------------------------------------


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Tells what getaddrinfo() says."""

    def has(*addresses: tuple[str, int]) -> None:
        rows = [
            (
                V6 if ":" in address else V4,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0)[: 4 if ":" in address else 2],
            )
            for address, port in addresses
        ]
        monkeypatch.setattr(cosocket, "getaddrinfo", lambda *args: rows)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: rows)

    return has


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """An address that does not answer: its queue is full."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(0)
        filling = []
        for _ in range(3):
            filling.append(socket.socket())
            filling[-1].setblocking(False)
            filling[-1].connect_ex(made.getsockname())
        yield made.getsockname()
        for each in filling:
            each.close()


def closed() -> tuple[str, int]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        address: tuple[str, int] = made.getsockname()
        return address


def test_a_dead_address_does_not_hold_up_the_next(
    host: Callable[..., None], listener: socket.socket, full: tuple[str, int]
) -> None:
    host(full, listener.getsockname())
    with Timeout(60), cosocket.create_connection(("host", 1), happy_eyeballs_delay=0.01) as made:
        assert made.getpeername() == listener.getsockname()
    with pytest.raises(TimeoutError):
        host(full, full)
        cosocket.create_connection(("host", 1), 0.05, happy_eyeballs_delay=0.01)


def test_errors_are_those_of_the_plain_loop(host: Callable[..., None]) -> None:
    host(closed(), closed())
    for delay in (None, 0, 0.25):
        with pytest.raises(ConnectionRefusedError):
            cosocket.create_connection(("host", 1), happy_eyeballs_delay=delay)
        with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
            cosocket.create_connection(("host", 1), all_errors=True, happy_eyeballs_delay=delay)
        assert [type(each) for each in caught.value.exceptions] == [ConnectionRefusedError] * 2
    host()
    with pytest.raises(OSError, match="getaddrinfo returns an empty list"):
        cosocket.create_connection(("host", 1), happy_eyeballs_delay=0)


def test_the_source_address_is_bound(host: Callable[..., None], listener: socket.socket) -> None:
    host(closed(), listener.getsockname())
    with cosocket.create_connection(("host", 1), None, ("127.0.0.3", 0), happy_eyeballs_delay=0) as made:
        assert made.getsockname()[0] == "127.0.0.3"


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_delay_is_a_number_of_seconds(delay: float) -> None:
    with pytest.raises(ValueError, match="happy_eyeballs_delay: expected seconds, 0 or more, found"):
        cosocket.create_connection(("127.0.0.1", 1), happy_eyeballs_delay=delay)
