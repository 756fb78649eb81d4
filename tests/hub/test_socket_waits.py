"""How the wait of a Socket ends: time, close, another thread."""

import _socket
import errno
import gc
import os
import socket as stdlib
import threading
import warnings

import pytest
from ends import (
    LONG,
    SHORT,
    SlottedSocket,
    close_all,
    fill,
    let_others_run,
    pattern,
    read_all,
    unix_pair,
)
from helpers import Recorder, run_isolated

from corolib._hub import Greenlet, Socket, get_hub, io, sleep
from corolib.errors import ConcurrentObjectUseError


def test_timeouts_are_ours_and_the_descriptor_never_blocks():
    sock = Socket()
    assert sock.gettimeout() is None
    assert sock.timeout is None
    assert sock.getblocking() is True
    for value in (1.5, 3, 0.0, 1e8, None):
        sock.settimeout(value)
        assert sock.gettimeout() == value == sock.timeout
        assert sock.getblocking() == (value != 0)
        assert _socket.socket.gettimeout(sock) == 0.0
        assert not os.get_blocking(sock.fileno())
    sock.setblocking(False)
    assert sock.gettimeout() == 0.0
    sock.setblocking(True)
    assert sock.gettimeout() is None
    sock.close()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (-0.1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), OverflowError),
        ("1", TypeError),
        (1j, TypeError),
    ],
)
def test_wrong_timeouts_leave_the_timeout_alone(value, error):
    sock = Socket()
    sock.settimeout(5)
    with pytest.raises(error):
        sock.settimeout(value)
    assert sock.gettimeout() == 5
    sock.close()


def test_default_timeout_is_taken_over(listener):
    _socket.setdefaulttimeout(7.5)
    try:
        sock = Socket()
        sock.connect(listener.getsockname())
        accepted, _ = listener.accept_as(SlottedSocket)
    finally:
        _socket.setdefaulttimeout(None)
    for each in (sock, accepted):
        assert each.gettimeout() == 7.5
        assert _socket.socket.gettimeout(each) == 0.0
        each.close()


@pytest.mark.parametrize(
    "operation", ["recv", "recv_into", "accept", "wait_read", "send", "sendall", "wait_write"]
)
def test_an_operation_that_runs_out_of_time(pair, listener, operation):
    client, _ = pair
    if "send" in operation or operation == "wait_write":
        fill(client)
    calls = {
        "recv": lambda: client.recv(1),
        "recv_into": lambda: client.recv_into(bytearray(1)),
        "accept": listener.accept4,
        "wait_read": client.wait_read,
        "send": lambda: client.send(b"x"),
        "sendall": lambda: client.sendall(b"x"),
        "wait_write": client.wait_write,
    }
    for sock in (client, listener):
        sock.settimeout(SHORT)
    with pytest.raises(TimeoutError, match="timed out"):
        calls[operation]()
    for sock in (client, listener):
        sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        # The kernel may have made room meanwhile: a little, and not again and again.
        for _ in range(1_000_000 if operation.startswith("send") else 1):
            calls[operation]()
    assert get_hub().parked_count == 0
    assert get_hub().deadline_count == 0


def test_the_timeout_of_sendall_is_for_the_whole_call(pair):
    """A reader that takes a little every now and then cannot keep it going."""
    client, server = pair
    client.settimeout(0.2)
    running = True

    def trickle():
        while running:
            server.recv(10_000)
            sleep(0.02)

    reader = Greenlet.spawn(trickle)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(200_000_000))
    running = False
    client.close()
    reader.join(LONG)


def test_a_wait_has_its_own_timeout(pair):
    client, server = pair
    with pytest.raises(TimeoutError):
        server.wait_read(timeout=SHORT)
    with pytest.raises(TimeoutError):
        server.wait_read(0)
    server.wait_write(0)
    client.sendall(b"x")
    server.settimeout(SHORT)
    server.wait_read(None)
    server.wait_read(0)
    with pytest.raises(TypeError):
        server.wait_read("soon")
    with pytest.raises(TypeError, match="unexpected keyword"):
        server.wait_read(limit=1)


def test_a_new_timeout_is_for_the_next_operation(pair):
    client, server = pair
    reader = Greenlet.spawn(server.recv, 10)
    let_others_run()
    server.settimeout(0)
    client.sendall(b"x")
    assert reader.get(timeout=LONG) == b"x"


# Close.


@pytest.mark.parametrize("end", ["close", "detach"])
@pytest.mark.parametrize("operation", ["recv", "recv_into", "send", "wait_read", "wait_write"])
def test_close_under_a_waiter(pair, operation, end):
    client, _ = pair
    fill(client)
    calls = {
        "recv": lambda: client.recv(1),
        "recv_into": lambda: client.recv_into(bytearray(1)),
        "send": lambda: client.send(b"x"),
        "wait_read": client.wait_read,
        "wait_write": client.wait_write,
    }
    waiter = Greenlet.spawn(calls[operation])
    let_others_run()
    assert get_hub().parked_count >= 1
    fd = getattr(client, end)()
    if end == "detach":
        os.close(fd)
    with pytest.raises(OSError) as caught:
        waiter.get(timeout=LONG)
    assert caught.value.errno == errno.EBADF
    assert client.fileno() == -1


def test_close_under_reader_and_writer_and_acceptor(listener):
    waiters = [Greenlet.spawn(listener.accept4), Greenlet.spawn(listener.wait_write)]
    let_others_run()
    listener.close()
    for waiter in waiters:
        with pytest.raises(OSError) as caught:
            waiter.get(timeout=LONG)
        assert caught.value.errno == errno.EBADF


def test_a_closed_socket_says_so():
    sock = Socket()
    sock.close()
    sock.close()
    assert sock.detach() == -1
    for call in (
        lambda: sock.recv(1),
        lambda: sock.recv_into(bytearray(1)),
        lambda: sock.send(b"x"),
        lambda: sock.sendall(b"x"),
        sock.accept4,
        sock.wait_read,
        lambda: sock.wait_write(0),
        lambda: sock.connect(("127.0.0.1", 1)),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF
    assert sock.connect_ex(("127.0.0.1", 1)) == errno.EBADF


def test_a_waiter_never_sees_the_next_socket_of_the_same_number():
    """Close, then the number goes to a new socket with data before the waiter runs."""
    for _ in range(200):
        old, old_peer = unix_pair()
        waiter = Greenlet.spawn(old.recv, 10)
        let_others_run()
        number = old.fileno()
        old.close()
        new, new_peer = unix_pair()
        assert number in (new.fileno(), new_peer.fileno())
        new.sendall(b"new")
        new_peer.sendall(b"new")
        with pytest.raises(OSError) as caught:
            waiter.get(timeout=LONG)
        assert caught.value.errno == errno.EBADF
        assert new.recv(10) == new_peer.recv(10) == b"new"
        for sock in (old_peer, new, new_peer):
            sock.close()


def test_woken_and_then_closed_before_it_runs():
    """The waiter has its event already; by the time it runs the number means another socket."""
    rec = Recorder()
    old, old_peer = unix_pair()

    def first():
        trigger.recv(1)
        old.close()
        made.extend(unix_pair())
        for sock in made:
            sock.sendall(b"new")

    def second():
        try:
            rec(old.recv(10))
        except OSError as error:
            rec(error.errno)

    made = []
    trigger, trigger_peer = unix_pair()
    greenlets = [Greenlet.spawn(first), Greenlet.spawn(second)]
    let_others_run()
    # Both become readable in the same turn of the loop. Which of the two runs first is libev's choice.
    trigger_peer.sendall(b"x")
    old_peer.sendall(b"old")
    for greenlet in greenlets:
        greenlet.get(timeout=LONG)
    assert rec.items in ([b"old"], [errno.EBADF])
    close_all(*made, trigger, trigger_peer, old_peer)


def test_close_tells_other_watchers_of_the_number(pair):
    client, _ = pair
    watcher = io(get_hub(), client.fileno(), 1)
    waiter = Greenlet.spawn(watcher.wait)
    let_others_run()
    client.close()
    with pytest.raises(OSError) as caught:
        waiter.get(timeout=LONG)
    assert caught.value.errno == errno.EBADF


def test_the_peer_sees_the_close_while_we_wait(pair):
    client, server = pair
    reader = Greenlet.spawn(server.recv, 10)
    let_others_run()
    client.close()
    assert reader.get(timeout=LONG) == b""


def test_shutdown_ends_our_own_waits(pair):
    client, _ = pair
    reader = Greenlet.spawn(client.recv, 10)
    let_others_run()
    client.shutdown(stdlib.SHUT_RDWR)
    assert reader.get(timeout=LONG) == b""
    with pytest.raises(BrokenPipeError):
        client.send(b"x")


def test_dropping_a_used_socket_closes_it_with_a_warning():
    one, other = unix_pair()
    reader = Greenlet.spawn(one.recv, 10)
    let_others_run()
    other.sendall(b"x")
    assert reader.get(timeout=LONG) == b"x"
    number = one.fileno()
    del reader
    gc.collect()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del one
    with pytest.raises(OSError):
        os.fstat(number)
    assert other.recv(1) == b""
    other.close()


def test_no_warning_after_close():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            sock = SlottedSocket()
            sock.close()
            del sock
        gc.collect()


def test_init_again_gives_waiters_up():
    one, other = unix_pair()
    reader = Greenlet.spawn(one.recv, 10)
    let_others_run()
    old = one.fileno()
    one.__init__(stdlib.AF_UNIX, stdlib.SOCK_DGRAM)
    os.close(old)
    with pytest.raises(OSError):
        reader.get(timeout=LONG)
    assert one.type == stdlib.SOCK_DGRAM
    close_all(one, other)


# One waiter in each direction.


def test_two_readers_of_one_socket(pair):
    client, server = pair
    first = Greenlet.spawn(server.recv, 10)
    let_others_run()
    with pytest.raises(ConcurrentObjectUseError):
        server.recv(10)
    client.sendall(b"x")
    assert first.get(timeout=LONG) == b"x"
    client.sendall(b"y")
    assert server.recv(10) == b"y"


def test_nothing_comes_out_in_the_middle_of_a_sendall(pair):
    client, server = pair
    data = pattern(20_000_000)
    first = Greenlet.spawn(client.sendall, data)
    let_others_run()
    received = bytearray(server.recv(1_000_000))
    for send in (client.send, client.sendall):
        with pytest.raises(ConcurrentObjectUseError, match="in the middle of a sendall"):
            send(b"mine")
    while len(received) < len(data):
        received += server.recv(1_000_000)
    first.get(timeout=LONG)
    assert received == data
    client.sendall(b"mine")
    assert server.recv(10) == b"mine"


def test_a_sendall_that_failed_holds_up_nobody(pair):
    client, server = pair
    client.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(50_000_000))
    client.settimeout(LONG)
    reader = Greenlet.spawn(read_all, server)
    client.sendall(b"more")
    client.shutdown(stdlib.SHUT_WR)
    assert reader.get(timeout=LONG).endswith(b"more")


def test_two_threads_accept_from_one_listener(listener):
    """Each thread has its own hub, so both may wait; a close ends both."""
    results = []
    waiting = [threading.Event() for _ in range(2)]

    def accept(ready):
        def announce():
            ready.set()

        Greenlet.spawn(announce)
        try:
            while True:
                fd, _ = listener.accept4()
                os.close(fd)
                results.append("connection")
        except OSError as error:
            results.append(error.errno)
        get_hub().destroy()

    threads = [threading.Thread(target=accept, args=(each,)) for each in waiting]
    for thread in threads:
        thread.start()
    for each in waiting:
        assert each.wait(LONG)
    client = Socket()
    client.settimeout(LONG)
    client.connect(listener.getsockname())
    assert client.recv(1) == b""
    client.close()
    listener.close()
    for thread in threads:
        thread.join(LONG)
    assert sorted(map(str, results)) == [str(errno.EBADF), str(errno.EBADF), "connection"]


def test_closed_by_another_thread_before_the_first_poll():
    """The waiter's loop has noted the number but not yet told the kernel: it must forget it again."""
    done = run_isolated(
        """
        import threading
        from corolib._hub import Greenlet, get_hub, sleep
        from ends import unix_pair

        one, other = unix_pair()
        parked, closed = threading.Event(), threading.Event()
        seen = []

        def in_thread():
            def hold():  # the whole thread, so that its loop cannot poll
                parked.set()
                closed.wait(20)

            waiter = Greenlet.spawn(one.recv, 10)
            holder = Greenlet.spawn(hold)
            try:
                waiter.get(timeout=20)
            except OSError as error:
                seen.append(error.errno)
            holder.join()
            sleep(0.001)  # so that the loop polls
            get_hub().destroy()

        thread = threading.Thread(target=in_thread)
        thread.start()
        assert parked.wait(20)
        one.close()
        closed.set()
        thread.join(20)
        other.close()
        print(seen)
        """
    )
    assert done.stdout == f"[{errno.EBADF}]\n"


def test_a_socket_may_move_to_another_thread(pair):
    client, server = pair
    parts = []

    def in_thread():
        parts.append(server.recv(10))
        server.sendall(b"there")
        get_hub().destroy()

    client.sendall(b"here")
    assert server.recv(10) == b"here"
    for _ in range(3):
        thread = threading.Thread(target=in_thread)
        thread.start()
        client.sendall(b"moved")
        assert client.recv(10) == b"there"
        thread.join(LONG)
    assert parts == [b"moved"] * 3
