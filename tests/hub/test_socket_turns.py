"""When a Socket switches and when not: waiting first, fairness, and the system calls that come of it."""

import json
import os
import socket as stdlib
from pathlib import Path

import pytest
from ends import LONG, close_all, let_others_run, listen, unix_pair
from helpers import Recorder, in_thread, run_isolated

from corolib._hub import Greenlet, Socket, get_hub, get_hub_if_exists, sleep
from corolib.testing import VirtualClock


@pytest.fixture
def clock():
    """It stands still, so that what decides is what was done."""
    with VirtualClock():
        yield get_hub()


def test_a_short_read_makes_the_next_one_wait_first(pair):
    client, server = pair
    rec = Recorder()
    client.sendall(b"short")
    rec(server.recv(100))
    client.sendall(b"again")
    other = Greenlet.spawn(lambda: rec("other"))
    rec(server.recv(100))
    other.join(LONG)
    rec.check([b"short", "other", b"again"])


def test_a_full_read_or_flags_are_followed_by_a_try(pair, clock):
    client, server = pair
    rec = Recorder()
    client.sendall(b"abcdefgh")
    rec(server.recv(3))
    other = Greenlet.spawn(lambda: rec("other"))
    rec(server.recv(5))
    client.sendall(b"ij")
    rec(server.recv(10, stdlib.MSG_PEEK))
    rec(server.recv(10))
    client.sendall(b"kl")
    rec(server.recv(10, stdlib.MSG_PEEK))
    other.join(LONG)
    rec.check([b"abc", b"defgh", b"ij", b"ij", b"kl", "other"])


def test_data_that_is_always_there_ends_the_waiting(pair, clock):
    """The guess is tested now and then; when it fails again and again recv() is tried first."""
    client, server = pair
    others_turns = 0
    running = True

    def count():
        nonlocal others_turns
        while running:
            others_turns += 1
            sleep(0)

    other = Greenlet.spawn(count)
    waited = []
    for turn in range(1000):
        client.sendall(b"x")
        before = others_turns
        assert server.recv(100) == b"x"
        if others_turns != before:
            waited.append(turn)
    running = False
    other.join(LONG)
    # Three tests of the guess, 64 receives apart, then one turn in 64 for fairness.
    assert waited[:64] == list(range(1, 65))
    assert 180 <= len([turn for turn in waited if turn < 500]) <= 210
    assert len([turn for turn in waited if turn >= 500]) <= 10


def test_request_and_response_with_many_connections():
    """An echo server with 50 clients: each answer is right, and all servers end with their clients."""
    sock = listen(backlog=64)

    def serve(conn):
        while data := conn.recv(65536):
            conn.sendall(data)
        conn.close()

    def accept():
        return [Greenlet.spawn(serve, sock.accept_as(Socket)[0]) for _ in range(50)]

    def client(number):
        conn = Socket()
        conn.settimeout(LONG)
        conn.connect(sock.getsockname())
        for turn in range(20):
            message = b"%d/%d" % (number, turn)
            conn.sendall(message)
            assert conn.recv(100) == message
        conn.close()

    acceptor = Greenlet.spawn(accept)
    for greenlet in [Greenlet.spawn(client, n) for n in range(50)]:
        greenlet.get(timeout=LONG)
    for server in acceptor.get(timeout=LONG):
        server.get(timeout=LONG)
    sock.close()


# Fairness.


def test_a_reader_that_always_finds_data_lets_others_run(pair, clock):
    client, server = pair
    rec = Recorder()
    client.sendall(bytes(300))
    server.wait_read()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(150):
        assert server.recv(1)
        rec(i)
    other.join(LONG)
    place = rec.items.index("other")
    assert 60 <= place <= 66
    rec.items.remove("other")
    rec.check(range(150))


def test_a_sender_that_always_finds_room_lets_others_run(pair, clock):
    client, _ = pair
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(150):
        client.send(b"x")
        rec(i)
    other.join(LONG)
    assert 60 <= rec.items.index("other") <= 66


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("send", ()), ("sendall", ()), ("sendto", (None,)), ("sendmsg", ([], 0, None))],
)
def test_much_data_counts_for_more_than_an_operation(clock, method, arguments):
    """A sender of 32 KiB at a time, for which there is always room: UDP drops what nobody receives."""
    receiver, sender = Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM), Socket(stdlib.AF_INET, stdlib.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    if not arguments:
        sender.connect(receiver.getsockname())
    arguments = [receiver.getsockname() if each is None else each for each in arguments]
    data = [bytes(32768)] if method == "sendmsg" else bytes(32768)
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(40):
        getattr(sender, method)(data, *arguments)
        rec(i)
    other.join(LONG)
    assert 9 <= rec.items.index("other") <= 14
    close_all(receiver, sender)


def test_a_reader_of_much_data_lets_others_run_sooner(pair, clock):
    client, server = pair
    try:
        while True:
            client.send(bytes(1 << 16), stdlib.MSG_DONTWAIT)
    except BlockingIOError:
        pass
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(12):
        assert server.recv(1 << 16)
        rec(i)
    other.join(LONG)
    assert rec.items.index("other") <= 9


@pytest.mark.parametrize("way", ["recv", "send"])
def test_the_time_between_operations_counts(pair, clock, way):
    client, server = pair
    client.sendall(bytes(20))
    server.wait_read()
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(10):
        if way == "recv":
            server.recv(1)
        else:
            client.send(b"x")
        rec(i)
        clock.move_clock(0.002)
    other.join(LONG)
    assert 3 <= rec.items.index("other") <= 4


def test_an_acceptor_that_always_finds_a_connection_lets_others_run(clock):
    sock = listen(backlog=200)
    clients = []
    for _ in range(100):
        clients.append(Socket())
        clients[-1].connect(sock.getsockname())
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for i in range(100):
        os.close(sock.accept4()[0])
        rec(i)
    other.join(LONG)
    assert 60 <= rec.items.index("other") <= 66
    for client in clients:
        client.close()
    sock.close()


def test_a_thread_that_needs_no_hub_is_not_given_one():
    """There is nobody else in it who could run."""

    def send():
        sender, receiver = unix_pair()
        for _ in range(100):
            sender.send(b"x")
        close_all(sender, receiver)
        return get_hub_if_exists()

    assert in_thread(send) is None


def test_a_socket_that_is_not_to_wait_never_yields(pair):
    client, server = pair
    rec = Recorder()
    client.sendall(bytes(300))
    server.wait_read()
    server.settimeout(0)
    other = Greenlet.spawn(lambda: rec("other"))
    for _ in range(300):
        assert server.recv(1) == b"\0"
    rec("done")
    other.join(LONG)
    rec.check(["done", "other"])


def test_a_loop_callback_may_use_a_socket_that_need_not_wait():
    one, other = unix_pair()
    rec = Recorder()
    one.sendall(b"x" * 200)
    one.sendall(b"y")

    def callback():
        for _ in range(150):
            other.recv(1)
        rec(other.recv(100))
        one.sendall(b"z")
        rec(other.recv(100))

    get_hub().run_callback(callback)
    let_others_run()
    rec.check([b"x" * 50 + b"y", b"z"])
    close_all(one, other)


# System calls.


ECHO = """
import os
import _socket
import corolib.hub
from corolib._hub import Greenlet, Socket, sleep

CONNECTIONS, TURNS = 100, 50

def pair():
    return [Socket(fileno=end.detach()) for end in _socket.socketpair()]

def serve(sock):
    while data:= sock.recv(65536):
        sock.sendall(data)
    sock.close()

def request(sock, turns):
    for _ in range(turns):
        sock.sendall(b"x" * 64)
        assert sock.recv(65536) == b"x" * 64

def all_request(clients, turns):
    for greenlet in [Greenlet.spawn(request, client, turns) for client in clients]:
        greenlet.get(timeout=50)

pairs = [pair() for _ in range(CONNECTIONS)]
servers = [Greenlet.spawn(serve, server) for server, _ in pairs]
clients = [client for _, client in pairs]
all_request(clients, 2)
os.getppid()
all_request(clients, TURNS)
os.getppid()
for client in clients:
    client.close()
for server in servers:
    server.get(timeout=50)
"""


def test_the_system_calls_of_a_request(tmp_path):
    """One recv and one send for each end: nobody asks in vain, watchers stay registered."""
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    calls = json.loads(run_isolated(Path(__file__).parent / "count_syscalls.py", script).stdout)
    received = 2 * 100 * 50
    assert calls["sendto"] == received
    assert received <= calls["recvfrom"] <= received * 1.02
    assert calls.get("recvfrom-EAGAIN", 0) <= received * 0.02
    assert calls.get("epoll_ctl", 0) <= 10
    assert calls.get("getsockopt", 0) == 0
    assert calls["epoll_wait"] <= received * 0.1
