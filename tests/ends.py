"""Sockets for the tests of the C type Socket: connected pairs, listeners, and what is done with them."""

import _socket
import socket as stdlib

from helpers import Recorder

from corolib import spawn
from corolib._hub import Socket, sleep
from corolib.hub import get_hub
from corolib.testing import VirtualClock

#: Bounds what would otherwise hang; no test waits for it to run out.
LONG = 60.0
#: A timeout that is meant to run out.
SHORT = 0.01


class SlottedSocket(Socket):
    """As corolib.socket derives from it."""

    __slots__ = ("__weakref__",)


def listen(family=stdlib.AF_INET, address=("127.0.0.1", 0), backlog=16):
    sock = Socket(family, stdlib.SOCK_STREAM)
    sock.settimeout(LONG)
    sock.bind(address)
    sock.listen(backlog)
    return sock


def tcp_pair():
    """A client and the server's end of its connection."""
    sock = listen()
    client = Socket()
    client.settimeout(LONG)
    client.connect(sock.getsockname())
    server, _ = sock.accept_as(Socket)
    server.settimeout(LONG)
    sock.close()
    return client, server


def unix_pair(kind=stdlib.SOCK_STREAM):
    ends = [Socket(fileno=end.detach()) for end in _socket.socketpair(stdlib.AF_UNIX, kind)]
    for end in ends:
        end.settimeout(LONG)
    return ends[0], ends[1]


def full_unix_listener():
    """A listener whose queue is full, and who fills it."""
    sock = listen(stdlib.AF_UNIX, "", backlog=0)
    waiting = []
    while True:
        client = Socket(stdlib.AF_UNIX)
        client.setblocking(False)
        if client.connect_ex(sock.getsockname()) != 0:
            client.close()
            return sock, waiting
        waiting.append(client)


def fill(sock):
    """Send until the kernel takes no more: how much went."""
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(1 << 20), stdlib.MSG_DONTWAIT)
        except BlockingIOError:
            return sent


def read_all(sock, size=65536):
    parts = []
    while part := sock.recv(size):
        parts.append(part)
    return b"".join(parts)


def close_all(*sockets):
    for sock in sockets:
        sock.close()


def let_others_run():
    """Until nothing is ready but us."""
    hub = get_hub()
    sleep(0)
    while hub.ready_count:
        sleep(0)


def turns_before_others(operation, seconds):
    """How many of ten operations come before another greenlet's turn, if each is `seconds` of work."""
    with VirtualClock():
        rec = Recorder()
        other = spawn(lambda: rec("other"))
        for turn in range(10):
            operation()
            rec(turn)
            get_hub().move_clock(seconds)
        other.join()
    return rec.items.index("other")


def pattern(size):
    """Bytes in which each place tells where it is."""
    return b"".join(i.to_bytes(4, "big") for i in range(size // 4))
