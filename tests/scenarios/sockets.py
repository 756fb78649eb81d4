"""Kill, Timeout and wake racing for a greenlet at a socket: no byte, no connection and no watcher is lost."""

import errno
from collections.abc import Iterator
from contextlib import suppress

from switchpoints import Run, by_limits, patient, without

from corolib import Timeout, get_hub, sleep, socket
from corolib.select import poll, select

# More than the buffers of a pair hold, so that both sides have to wait.
MESSAGE = bytes(range(251)) * 60
SMALL = 4096


def pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    for end in (near, far):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        end.settimeout(50)
    return near, far


def drain(end: socket.socket) -> bytes:
    """What is left in it."""
    end.setblocking(False)
    found = b""
    with suppress(BlockingIOError):
        while data := end.recv(65536):
            found += data
    return found


@without(by_limits)
def reader_is_disturbed(run: Run) -> Iterator[None]:
    near, far = pair()
    read: list[bytes] = []

    def subject() -> None:
        while data := near.recv(1000):
            read.append(data)

    def feed() -> None:
        with suppress(TimeoutError, BrokenPipeError):
            for begin in range(0, len(MESSAGE), 3000):
                far.sendall(MESSAGE[begin : begin + 3000])
        far.shutdown(socket.SHUT_WR)

    run.subject(subject)
    run.spawn(feed)
    yield
    found = b"".join(read) + drain(near)
    assert found == MESSAGE[: len(found)]
    assert not run.done or found == MESSAGE
    near.close()
    far.close()


@without(by_limits)
def two_readers_take_turns(run: Run) -> Iterator[None]:
    """When the one is gone the other gets what comes: the descriptor is not held."""
    near, far = pair()
    read: list[bytes] = []

    def once() -> None:
        while True:
            try:
                data = near.recv(1)
            except OSError as error:  # somebody waits already
                assert "already waited for" in str(error)
                sleep(0)
                continue
            if not data:
                return
            read.append(data)
            sleep(0)

    run.subject(lambda: [read.append(near.recv(1)) for _ in range(3)])
    run.spawn(lambda: [(sleep(1), far.send(bytes([65 + number]))) for number in range(3)])
    yield
    left = drain(near)
    assert b"".join(read) + left == b"ABC"
    near.close()
    far.close()


@without(by_limits)
def writer_is_disturbed(run: Run) -> Iterator[None]:
    near, far = pair()
    read: list[bytes] = []
    sent = []

    def subject() -> None:
        near.sendall(MESSAGE)
        sent.append(1)

    def take() -> None:
        with suppress(TimeoutError):
            while data := far.recv(500):
                read.append(data)
                sleep(0)

    run.subject(subject)
    run.spawn(take)
    yield
    found = b"".join(read) + drain(far)
    assert found == MESSAGE[: len(found)]
    assert not sent or found == MESSAGE
    near.close()
    far.close()


@without(by_limits)
def reader_and_writer_on_one_socket(run: Run) -> Iterator[None]:
    """The subject writes; the reader of the same socket does not notice what happens to it."""
    near, far = pair()
    read: list[bytes] = []
    echoed: list[bytes] = []

    def echo() -> None:
        with suppress(TimeoutError):
            while data := far.recv(1000):
                far.sendall(data)

    def read_back() -> None:
        with suppress(TimeoutError):
            while data := near.recv(1000):
                read.append(data)

    run.subject(lambda: (near.sendall(MESSAGE), echoed.append(b"")))
    run.spawn(echo)
    run.spawn(read_back)
    yield
    found = b"".join(read)
    assert found == MESSAGE[: len(found)]
    assert not echoed or found == MESSAGE
    near.close()
    far.close()


def limit_of_the_socket(run: Run) -> Iterator[None]:
    """The byte comes at the moment when the time is over."""
    near, far = pair()
    read: list[bytes] = []

    def subject() -> None:
        near.settimeout(1)
        for _ in range(3):
            try:
                read.append(near.recv(1))
            except TimeoutError:
                read.append(b"")

    run.subject(subject)
    run.spawn(lambda: [(sleep(1), far.send(b"x")) for _ in range(2)])
    yield
    assert len(b"".join(read) + drain(near)) == 2
    near.close()
    far.close()


def closed_under_the_reader(run: Run) -> Iterator[None]:
    near, far = pair()
    seen = []

    def subject() -> None:
        try:
            near.recv(1)
        except OSError as error:
            seen.append(error.errno)
            sleep(0)

    run.subject(subject)
    run.spawn(lambda: (sleep(1), near.close()))
    yield
    assert seen in ([], [errno.EBADF], [None])
    assert near.fileno() == -1
    far.close()


def datagrams(run: Run) -> Iterator[None]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.settimeout(3)
    read: list[bytes] = []

    def subject() -> None:
        with suppress(TimeoutError):
            while True:
                read.append(near.recvfrom(10)[0])

    run.subject(subject)
    run.spawn(lambda: [(sleep(number % 2), far.send(b"%d" % number)) for number in range(4)])
    yield
    near.setblocking(False)
    left = []
    with suppress(BlockingIOError):
        while True:
            left.append(near.recv(10))
    assert read + left == [b"0", b"1", b"2", b"3"]
    near.close()
    far.close()


def selecting(run: Run) -> Iterator[None]:
    """select() and poll() leave no watcher behind; the socket can be waited for afterwards."""
    near, far = pair()
    found = []

    def subject() -> None:
        found.append(select([near], [], [near], 1))
        found.append(select([near], [far], [], 5))
        poller = poll()
        poller.register(near, 1)
        found.append(poller.poll(3000))

    run.subject(subject)
    run.spawn(lambda: (sleep(1), far.send(b"x")))
    yield
    again = run.spawn(near.recv, 1)
    yield
    assert again.value == b"x"
    near.close()
    far.close()


def waiting_for_a_descriptor(run: Run) -> Iterator[None]:
    near, far = pair()
    watcher = get_hub().loop.io(near.fileno(), 1)

    def subject() -> None:
        get_hub().wait(watcher)
        with Timeout(5, False):
            get_hub().wait(watcher)

    run.subject(subject)
    run.spawn(lambda: (sleep(1), far.send(b"x")))
    yield
    assert not watcher.active
    assert not watcher.pending
    near.close()
    far.close()


# -- connections: the kernel may take a moment, so the time goes on only after a while


@patient(0.05)
@without(by_limits)
def server_is_disturbed(run: Run) -> Iterator[None]:
    """Every connection that was made is either with the server or still in the queue of the listener."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    accepted: list[socket.socket] = []
    clients: list[socket.socket] = []

    def subject() -> None:
        for _ in range(3):
            accepted.append(listener.accept()[0])
            sleep(0)

    def connect() -> None:
        for _ in range(3):
            clients.append(socket.create_connection(listener.getsockname()))
            sleep(0)

    run.subject(subject)
    run.spawn(connect)
    yield
    listener.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            accepted.append(listener.accept()[0])
    assert sorted(each.getpeername() for each in accepted) == sorted(each.getsockname() for each in clients)
    for each in [listener, *accepted, *clients]:
        each.close()


@patient(0.05)
@without(by_limits)
def client_is_disturbed(run: Run) -> Iterator[None]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    connected: list[socket.socket] = []

    def subject() -> None:
        for _ in range(2):
            client = socket.socket()
            try:
                client.connect(listener.getsockname())
            except BaseException:
                client.close()
                raise
            connected.append(client)

    run.subject(subject)
    run.spawn(sleep, 0)
    yield
    for client in connected:
        client.getpeername()
        client.close()
    listener.close()


SCENARIOS = [
    limit_of_the_socket,
    closed_under_the_reader,
    datagrams,
    selecting,
    waiting_for_a_descriptor,
    reader_is_disturbed,
    two_readers_take_turns,
    writer_is_disturbed,
    reader_and_writer_on_one_socket,
    server_is_disturbed,
    client_is_disturbed,
]
