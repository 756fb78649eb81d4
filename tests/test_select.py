"""corolib.select: select(), poll() and epoll() that let others run."""

import errno
import os
import select as stdlib
import tempfile
from typing import Any

import pytest
from helpers import Recorder

from corolib import select, socket
from corolib.hub import get_hub, sleep, spawn_raw
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture(autouse=True)
def hub():
    """Without a hub the plain functions are used: that is tested where it says so."""
    return get_hub()


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def later(function, *args) -> None:
    spawn_raw(lambda: (sleep(0.002), function(*args)))


# -- select --------------------------------------------------------------------------------------------------


def test_select_returns_the_objects_that_are_ready(pair) -> None:
    near, far = pair
    assert select.select([near], [near], [near], 0) == ([], [near], [])
    far.send(b"x")
    assert select.select([near.fileno()], [far], [], 0) == ([near.fileno()], [far], [])
    assert select.select([near, far, near], (), (), 0) == ([near, near], [], [])
    near.recv(1)
    far.close()
    assert select.select([near], [], []) == ([near], [], [])


def test_select_waits_while_others_run(pair) -> None:
    near, far = pair
    later(far.send, b"x")
    assert select.select([near], [], []) == ([near], [], [])


def test_select_waits_for_any_of_many(pair) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    try:
        later(pairs[13][1].send, b"x")
        nears = [near for near, _ in pairs]
        assert select.select(nears, [], nears, 10) == ([nears[13]], [], [])
    finally:
        for near, far in pairs:
            near.close()
            far.close()


def test_select_sees_urgent_data() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
            later(far.send, b"!", socket.MSG_OOB)
            assert select.select([], [], [near], 10) == ([], [], [near])


def test_select_gives_up_in_time_and_always_lets_others_run(pair) -> None:
    near, _ = pair
    rec = Recorder()
    assert select.select([near], [], [], 0.001) == ([], [], [])
    spawn_raw(rec, "ran")
    assert select.select([near], [], [], 0) == ([], [], [])
    spawn_raw(rec, "ran too")
    assert select.select([], [near], [], 5) == ([], [near], [])
    rec.check(["ran", "ran too"])


def test_select_of_nothing_sleeps() -> None:
    rec = Recorder()
    spawn_raw(rec, "ran")
    assert select.select([], [], [], 0.001) == ([], [], [])
    rec.check(["ran"])


def test_select_of_a_file_is_ready_at_once() -> None:
    with tempfile.TemporaryFile() as file:
        assert select.select([file], [file], [file]) == ([file], [file], [])
        assert select.select([], [], [file], 0.001) == ([], [], [])


def test_select_can_be_interrupted_and_leaves_nothing_behind(pair) -> None:
    near, far = pair
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Timeout), Timeout(0.001):
            select.select([near, far], [], [near])
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([-1], [], []), ValueError),
        ((["x"], [], []), TypeError),
        ((1, [], []), TypeError),
        (([], [], [], -1), ValueError),
        (([], [], [], "1"), TypeError),
    ],
)
def test_select_refuses_what_the_plain_one_refuses(arguments, error) -> None:
    with pytest.raises(error):
        stdlib.select(*arguments)
    with pytest.raises(error):
        select.select(*arguments)


def test_select_of_a_closed_descriptor_raises() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError) as caught:
        select.select([read], [], [])
    assert caught.value.errno == errno.EBADF


def test_a_socket_that_is_closed_while_select_waits_ends_the_wait(pair) -> None:
    near, _ = pair
    later(near.close)
    with pytest.raises(OSError) as caught:
        select.select([near], [], [], 10)
    assert caught.value.errno == errno.EBADF


def test_descriptors_of_any_number() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    near, far = socket.socketpair()
    with near, far:
        high = os.dup2(near.fileno(), 1150)
        try:
            later(far.send, b"x")
            assert select.select([high], [], [], 10) == ([high], [], [])
        finally:
            os.close(high)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- poll ----------------------------------------------------------------------------------------------------


def test_poll(pair) -> None:
    near, far = pair
    poller = select.poll()
    poller.register(near)
    poller.register(far, select.POLLIN)
    assert poller.poll(0) == [(near.fileno(), select.POLLOUT)]
    poller.modify(near, select.POLLIN)
    assert poller.poll(1) == []
    later(far.send, b"x")
    assert poller.poll() == [(near.fileno(), select.POLLIN)]
    poller.unregister(near)
    assert poller.poll(0) == []
    later(near.send, b"x")
    assert poller.poll(-1) == [(far.fileno(), select.POLLIN)]


def test_poll_reports_the_end_of_the_stream_and_closed_descriptors(pair) -> None:
    near, far = pair
    poller = select.poll()
    fd = near.fileno()
    poller.register(near, select.POLLIN | select.POLLRDHUP)
    far.close()
    ((_, events),) = poller.poll()
    assert events & select.POLLHUP
    assert events & select.POLLRDHUP
    near.close()
    assert poller.poll() == [(fd, select.POLLNVAL)]


def test_a_socket_that_is_closed_while_poll_waits_is_reported(pair) -> None:
    near, _ = pair
    poller = select.poll()
    fd = near.fileno()
    poller.register(near, select.POLLIN)
    later(near.close)
    assert poller.poll(10_000) == [(fd, select.POLLNVAL)]


def test_poll_refuses_what_was_never_registered(pair) -> None:
    poller = select.poll()
    with pytest.raises(KeyError):
        poller.unregister(pair[0])
    with pytest.raises(FileNotFoundError):
        poller.modify(pair[0], select.POLLIN)
    with pytest.raises(TypeError):
        poller.register("x")
    with pytest.raises(OverflowError):
        poller.poll(1 << 31)


def test_poll_objects_come_from_poll_alone(pair) -> None:
    kind = type(select.poll())
    with pytest.raises(TypeError, match=r"cannot create 'corolib\.select\._Poll' instances"):
        kind()

    class Holder:
        make = select.poll  # as selectors.PollSelector has it

    assert type(Holder().make()) is kind


def test_an_object_is_polled_by_one_at_a_time(pair) -> None:
    poller = select.poll()
    poller.register(pair[0], select.POLLIN)
    polled: list[Any] = []
    spawn_raw(lambda: polled.append(poller.poll()))
    sleep(0)
    with pytest.raises(RuntimeError, match="concurrent poll"):
        poller.poll()
    pair[1].send(b"x")
    while not polled:
        sleep(0)
    assert polled == [[(pair[0].fileno(), select.POLLIN)]]
    assert poller.poll(0) == polled[0]
    # One who is interrupted is in it no more.
    pair[0].recv(1)
    with Timeout(0.001, False):
        poller.poll()
    assert poller.poll(0) == []


# -- epoll ---------------------------------------------------------------------------------------------------


def test_epoll(pair, pipe) -> None:
    near, far = pair
    with select.epoll() as poller:
        assert not poller.closed
        poller.register(near, select.EPOLLIN)
        poller.register(pipe[0], select.EPOLLIN | select.EPOLLET)
        assert poller.poll(0) == []
        assert poller.poll(0.001) == []
        later(far.send, b"x")
        assert poller.poll() == [(near.fileno(), select.EPOLLIN)]
        later(os.write, pipe[1], b"x")
        poller.unregister(near)
        assert poller.poll(10) == [(pipe[0], select.EPOLLIN)]
        assert poller.poll(0) == [], "edge-triggered"
        poller.modify(pipe[0], select.EPOLLIN)
        assert poller.poll(0, 1) == [(pipe[0], select.EPOLLIN)]
        with pytest.raises(FileExistsError):
            poller.register(pipe[0])
        with pytest.raises(FileNotFoundError):
            poller.unregister(near)
        other = select.epoll.fromfd(os.dup(poller.fileno()))
        assert other.poll(0) == [(pipe[0], select.EPOLLIN)]
        other.close()
    assert poller.closed
    poller.close()
    with pytest.raises(ValueError):
        poller.poll(0)
    with pytest.raises(ValueError):
        poller.fileno()


def test_two_greenlets_may_wait_in_one_epoll(pair) -> None:
    near, far = pair
    rec = Recorder()
    with select.epoll() as poller:
        poller.register(near, select.EPOLLIN)
        waiting = [spawn_raw(lambda: rec(poller.poll(10))) for _ in range(2)]
        later(far.send, b"x")
        while not all(each.dead for each in waiting):
            sleep(0.001)
    rec.check([[(near.fileno(), select.EPOLLIN)]] * 2)


def test_an_epoll_that_is_closed_ends_the_wait_in_it(pair) -> None:
    poller = select.epoll()
    poller.register(pair[0], select.EPOLLIN)
    later(poller.close)
    with pytest.raises(ValueError):
        poller.poll(10)


def test_without_a_hub_the_plain_calls_are_made(pair, hub) -> None:
    from corolib.hub import get_hub_if_exists, set_hub

    near, far = pair
    far.send(b"x")
    hub.destroy()
    set_hub(None)
    poller = select.poll()
    poller.register(near, select.POLLIN)
    assert select.select([near], [], [], 1) == ([near], [], [])
    assert poller.poll(1000) == [(near.fileno(), select.POLLIN)]
    with select.epoll() as epoller:
        epoller.register(near, select.EPOLLIN)
        assert epoller.poll(1) == [(near.fileno(), select.EPOLLIN)]
    assert get_hub_if_exists() is None


def test_everything_else_is_the_standard_library_s() -> None:
    assert select.error is OSError
    assert select.POLLIN == stdlib.POLLIN
    assert set(select.__implements__) < set(select.__all__)
