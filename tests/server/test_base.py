"""What every server does: spawn, limit, back off, stop, drain."""

import errno
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import Recorder, run_isolated

import corolib
from corolib import socket
from corolib.event import Event
from corolib.hub import get_hub, sleep
from corolib.pool import Group, Pool
from corolib.queue import Queue
from corolib.server import BaseServer, StreamServer, base
from corolib.testing import settle
from corolib.threadpool import ThreadPool

HERE = ("127.0.0.1", 0)


def connect(server: StreamServer) -> socket.socket:
    return socket.create_connection(server.address, timeout=60)


class Feed(BaseServer):
    """A server whose work comes out of a queue: items are arguments, or exceptions to raise."""

    def __init__(self, handle: Any = None, spawn: Any = "default", **attributes: Any) -> None:
        self.feed: Queue[Any] = Queue()
        self.closed_with: list[Any] = []
        vars(self).update(attributes)
        super().__init__(socket.socket(), handle, spawn)

    def do_read(self) -> Any:
        item = self.feed.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def do_close(self, *args: Any) -> None:
        self.closed_with.append(args)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the acceptor has slept; it does not really."""
    found: list[float] = []
    monkeypatch.setattr(base, "sleep", lambda seconds: (found.append(seconds), sleep(0)))
    return found


@pytest.fixture
def errors() -> Iterator[list[Any]]:
    """(context, type) of what the hub was told."""
    found: list[Any] = []
    get_hub().handle_error = lambda context, type, value, tb: found.append((context, type))  # type: ignore[method-assign]
    yield found
    del get_hub().handle_error


# -- states --------------------------------------------------------------------------------------------------


def test_start_and_stop_and_start_again() -> None:
    server = StreamServer(HERE, lambda sock, address: sock.sendall(b"x"))
    assert server.closed and not server.started and server.sockets == []
    for _ in range(2):
        server.start()
        server.start()
        assert server.started and not server.closed
        assert (server.server_host, server.server_port) == server.address
        with connect(server) as client:
            assert client.recv(2) == b"x"
        address = server.address
        server.stop()
        assert server.closed and not server.started
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        assert server.address == address
        server.stop()


def test_a_start_that_fails_leaves_nothing_open() -> None:
    with socket.create_server(HERE) as other:
        server = StreamServer([HERE, other.getsockname()], print)
        with pytest.raises(OSError, match="in use"):
            server.start()
        assert server.closed and not server.started


def test_used_as_a_context_it_is_stopped_at_the_end() -> None:
    with StreamServer(HERE, print) as server:
        server.start()
    assert server.closed


def test_serve_forever_ends_when_it_is_stopped_or_killed() -> None:
    for end in (lambda server, greenlet: server.stop(), lambda server, greenlet: greenlet.kill()):
        server = StreamServer(HERE, print)
        serving = corolib.spawn(server.serve_forever)
        sleep(0)
        assert server.started
        end(server, serving)
        serving.join(60)
        assert serving.dead and server.closed


@pytest.mark.parametrize("spawn", ["default", None, 5])
def test_it_can_be_stopped_by_a_handler_and_in_the_acceptor_itself(spawn: Any) -> None:
    server = StreamServer(HERE, lambda sock, address: server.close(), spawn=spawn)
    server.start()
    with connect(server) as client:
        assert client.recv(1) == b""
    assert server.closed
    settle()


def test_what_was_accepted_is_not_lost_when_accepting_stops_and_goes_on_later() -> None:
    server = StreamServer(HERE, lambda sock, address: sock.sendall(sock.recv(1)))
    with server:
        server.start()
        for _ in range(3):
            with connect(server) as early, connect(server) as late:
                server.stop_accepting()
                server.start_accepting()
                server.stop_accepting()
                settle()
                server.start_accepting()
                for client in (early, late):
                    client.sendall(b"!")
                    assert client.recv(1) == b"!"


def test_repr_says_what_it_is() -> None:
    server = StreamServer(HERE, print)
    assert "closed address=('127.0.0.1', 0) handle=print" in repr(server)
    with server:
        server.start()
        assert f"started address={server.address!r}" in repr(server)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((HERE,), TypeError, "handler to call"),
        ((HERE, 5), TypeError, "handler to call"),
        ((HERE, print, None, "many"), TypeError, "spawn: expected"),
        ((HERE, print, None, True), TypeError, "spawn: expected"),
        (([], print), ValueError, "at least one"),
        ((None, print), TypeError, "expected an address"),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        StreamServer(*arguments)


# -- where handlers run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spawn", ["default", "raw", 3, None, corolib.spawn, Pool(3), Group()], ids=repr)
def test_a_handler_runs_where_spawn_says_and_is_closed_after_it(spawn: Any) -> None:
    seen: list[Any] = []
    server = Feed(lambda *args: seen.append((args, type(corolib.getcurrent()).__name__)), spawn)
    with server:
        server.start()
        server.feed.put((1, 2))
        server.feed.put((3,))
        settle()
    kind = "greenlet" if spawn == "raw" else "_Acceptor" if spawn is None else "Greenlet"
    assert seen == [((1, 2), kind), ((3,), kind)]
    assert server.closed_with == [(1, 2), (3,)]


def test_a_native_thread_pool_may_run_handlers() -> None:
    pool = ThreadPool(2)
    with StreamServer(HERE, lambda sock, address: sock.sendall(b"1"), spawn=pool) as server:
        server.start()
        with connect(server) as client:
            assert client.recv(1) == b"1"
    pool.kill()


def test_a_method_may_be_the_handler() -> None:
    class Own(Feed):
        def handle(self, item: str) -> None:
            self.found = item

    with Own() as server:
        server.start()
        server.feed.put(("x",))
        settle()
        assert server.found == "x"


def test_nothing_is_accepted_while_the_pool_is_full() -> None:
    note = Recorder()
    gate = Event()

    def handle(name: str) -> None:
        note(f"{name} begins")
        gate.wait()

    server = Feed(handle, 2)
    with server:
        server.start()
        for name in "abc":
            server.feed.put((name,))
        settle()
        note.check(["a begins", "b begins"])
        assert len(server.feed) == 1
        gate.set()
        settle()
        note.check(["a begins", "b begins", "c begins"])


def test_a_server_with_reasons_of_its_own_is_asked_again(naps: list[float]) -> None:
    class Picky(Feed):
        busy = True

        def full(self) -> bool:
            return self.busy

    seen: list[str] = []
    with Picky(seen.append) as server:
        server.start()
        server.feed.put(("a",))
        while len(naps) < 9:
            sleep(0)
        assert naps[:9] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
        assert seen == []
        server.busy = False
        settle()
        assert seen == ["a"]


@pytest.mark.parametrize("max_accept", [1, 3])
def test_others_have_their_turn_after_max_accept(max_accept: int) -> None:
    note = Recorder()
    server = Feed(note, None, max_accept=max_accept)

    def other() -> None:
        for _ in range(6 // max_accept):
            note("other")
            sleep(0)

    with server:
        for number in range(6):
            server.feed.put((number,))
        server.start()
        corolib.spawn(other)
        settle()
    numbers = [number for number in note.items if number != "other"]
    assert numbers == list(range(6))
    batches = "".join("o" if item == "other" else "n" for item in note.items).split("o")
    assert max(map(len, batches)) <= max_accept
    assert len(batches) == 6 // max_accept + 1


def test_a_handler_that_fails_is_reported_and_concerns_nobody_else(errors: list[Any]) -> None:
    with Feed(lambda item: 1 / item) as server:
        server.start()
        for item in (0, 1, 0):
            server.feed.put((item,))
        settle()
        assert [type for _, type in errors] == [ZeroDivisionError] * 2
        assert server.closed_with == [(0,), (1,), (0,)]


def test_what_cannot_be_spawned_is_closed_and_the_next_one_is_tried(
    errors: list[Any], naps: list[float]
) -> None:
    def spawn(function: Any, *args: Any) -> None:
        if args[1:] == (1,):
            raise MemoryError
        function(*args)

    seen: list[int] = []
    with Feed(seen.append, spawn) as server:
        server.start()
        server.feed.put((1,))
        server.feed.put((2,))
        settle()
        assert [type for _, type in errors] == [MemoryError]
        assert seen == [2]
        assert server.closed_with == [(1,), (2,)]


def test_a_do_read_that_does_not_wait_is_called_when_the_socket_is_readable() -> None:
    class Impatient(BaseServer):
        looks = 0

        def do_read(self) -> Any:
            self.looks += 1
            try:
                return self.socket.recvfrom(100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None

    near, far = socket.socketpair(type=socket.SOCK_DGRAM)
    seen: list[bytes] = []
    with far, Impatient(near, lambda data, address: seen.append(data)) as server:
        server.start()
        settle()
        assert server.looks == 1
        far.send(b"a")
        far.send(b"b")
        settle()
        assert seen == [b"a", b"b"]
        assert server.looks == 4


# -- errors of accept ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_it_backs_off_when_something_is_short_and_says_so_once(
    name: str, naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with Feed(seen.append) as server, caplog.at_level(logging.WARNING):
        server.start()
        for _ in range(9):
            server.feed.put(OSError(getattr(errno, name), "short of something"))
        server.feed.put(("a",))
        server.feed.put(OSError(getattr(errno, name), "short of something"))
        server.feed.put(("b",))
        settle()
        assert naps == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 0.01]
        assert seen == ["a", "b"]
        assert [record.message.count("short of something") for record in caplog.records] == [1, 1]


@pytest.mark.parametrize("name", ["ECONNABORTED", "EPERM", "EPROTO", "ENETDOWN"])
def test_an_error_about_one_connection_delays_nobody_unless_it_goes_on(
    name: str, naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with Feed(seen.append) as server, caplog.at_level(logging.WARNING):
        server.start()
        for _ in range(10):
            server.feed.put(OSError(getattr(errno, name), "gone"))
        server.feed.put(("a",))
        settle()
        assert (naps, seen, caplog.records) == ([], ["a"], [])
        for _ in range(12):
            server.feed.put(OSError(getattr(errno, name), "gone"))
        server.feed.put(("b",))
        settle()
        assert (naps, seen, len(caplog.records)) == ([0.01, 0.02], ["a", "b"], 1)


@pytest.mark.parametrize("name", ["EBADF", "EINVAL", "ENOTSOCK"])
def test_an_error_of_the_socket_itself_closes_the_server(name: str, errors: list[Any]) -> None:
    server = Feed(print)
    server.start()
    server.feed.put(OSError(getattr(errno, name), "no use"))
    server._stop_event.wait()
    assert server.closed
    assert errors == [(server, OSError)]


def test_a_bug_in_do_read_is_reported_and_backed_off_from(errors: list[Any], naps: list[float]) -> None:
    seen: list[str] = []
    with Feed(seen.append) as server:
        server.start()
        server.feed.put(KeyError("x"))
        server.feed.put(("a",))
        settle()
        assert errors == [(server, KeyError)]
        assert (naps, seen) == ([0.01], ["a"])


def test_it_serves_on_once_there_are_descriptors_again() -> None:
    done = run_isolated(
        """
        import os, resource, time
        import corolib
        from corolib import socket
        from corolib.server import StreamServer

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        server = StreamServer(("127.0.0.1", 0), lambda sock, address: sock.sendall(b"served"))
        server.start()
        server.stop_accepting()
        clients = [socket.create_connection(server.address) for _ in range(3)]
        hoard = []
        try:
            while True:
                hoard.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        server.start_accepting()
        before = time.process_time()
        corolib.sleep(0.5)
        used = time.process_time() - before
        assert used < 0.05, used
        for fd in hoard:
            os.close(fd)
        for client in clients:
            client.settimeout(60)
            assert client.recv(10) == b"served"
        print("all served")
        """
    )
    assert done.stdout == "all served\n"
    assert done.stderr.count("Too many open files") == 1


# -- stop and drain ------------------------------------------------------------------------------------------


@pytest.mark.corolib(clock=True)
def test_stop_gives_a_pool_time_and_then_kills_what_is_left() -> None:
    note = Recorder()

    def handle(name: str, event: Event) -> None:
        try:
            event.wait()
            note(f"{name} done")
        except corolib.GreenletExit:
            note(f"{name} killed")

    ends, never = Event(), Event()
    server = Feed(handle, 10)
    server.start()
    server.feed.put(("short", ends))
    server.feed.put(("long", never))
    settle()
    corolib.spawn(ends.set)
    server.stop(timeout=0.01)
    note.check(["short done", "long killed"])
    assert len(server.closed_with) == 2


def test_stop_without_a_pool_leaves_handlers_alone() -> None:
    gate = Event()
    server = Feed(lambda item: gate.wait(), "default")
    server.start()
    server.feed.put((1,))
    settle()
    server.stop(timeout=0.01)
    assert server.closed_with == []
    gate.set()
    settle()
    assert server.closed_with == [(1,)]


@pytest.mark.parametrize("spawn", ["default", "raw", 5])
def test_drain_waits_for_what_runs(spawn: Any) -> None:
    note = Recorder()
    gate = Event()

    def handle(name: str) -> None:
        gate.wait()
        note(name)

    server = Feed(handle, spawn)
    server.start()
    server.feed.put(("a",))
    server.feed.put(("b",))
    settle()
    corolib.spawn(lambda: (note(f"draining {server.draining}"), gate.set()))
    assert server.drain() == 0
    note.check(["draining True", "a", "b"])
    assert server.closed and len(server.closed_with) == 2


@pytest.mark.parametrize("spawn", ["default", "raw", 5])
def test_drain_cuts_what_is_too_slow_and_says_how_many(spawn: Any) -> None:
    never = Event()
    server = Feed(lambda item: never.wait(), spawn)
    server.start()
    for number in range(3):
        server.feed.put((number,))
    settle()
    assert server.drain(0.01) == 3
    assert sorted(server.closed_with) == [(0,), (1,), (2,)]
    assert server.drain(0.01) == 0


def test_a_connection_that_was_accepted_just_now_is_drained_too() -> None:
    with StreamServer(HERE, lambda sock, address: sock.sendall(sock.recv(1))) as server:
        server.start()
        with connect(server) as client:
            client.sendall(b"!")
            server._acceptors[0].join(0)  # nothing but its turn
            assert server.drain(5) == 0
            assert client.recv(1) in (b"!", b"")


def test_a_handler_may_drain_its_own_server() -> None:
    server = StreamServer(HERE, lambda sock, address: sock.sendall(b"%d" % server.drain(5)))
    server.start()
    with connect(server) as client:
        assert client.recv(1) == b"0"


def test_while_draining_the_server_refuses_and_finishes_what_runs() -> None:
    gate = Event()

    def handle(sock: Any, address: Any) -> None:
        gate.wait()
        sock.sendall(b"late but complete")

    server = StreamServer(HERE, handle)
    server.start()
    with connect(server) as client:
        settle()
        draining = corolib.spawn(server.drain, 10)
        settle()
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        gate.set()
        assert client.recv(100) == b"late but complete"
        assert draining.get(timeout=60) == 0
