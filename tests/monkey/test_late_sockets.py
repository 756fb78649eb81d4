"""Sockets made before patching, and of classes derived from the plain one: they wait in the hub as well."""

import pytest
from helpers import run_isolated

BEGIN = """
import select, socket, sys

class Derived(socket.socket):
    "As of a library that was imported before."

family, kind = socket.AF_INET, socket.SOCK_STREAM
listener = {maker}(family, kind)
listener.bind(("127.0.0.1", 0))
listener.listen()
near = {maker}(family, kind)
near.connect(listener.getsockname())
far, _ = listener.accept()

from corolib import monkey
monkey.patch_all()
import threading, time
assert not isinstance(near, socket.socket)
ticks = []

def in_thread(function, *args):
    "What it returns or raises; fails if nothing else runs meanwhile."
    found = []
    def body():
        try: found.append(function(*args))
        except Exception as error: found.append(error)
    def tick():
        while not found:
            ticks.append(1)
            time.sleep(0.001)
    threads = [threading.Thread(target=body), threading.Thread(target=tick)]
    for each in threads: each.start()
    def wait():
        before = len(ticks)
        while len(ticks) < before + 3:  # hangs, if the thread is blocked
            assert not found, found
            time.sleep(0.001)
        return threads
    def end():
        for each in threads: each.join()
        return found[0]
    return wait, end
"""


def run(script: str, maker: str = "socket.socket") -> None:
    done = run_isolated(BEGIN.replace("{maker}", maker) + script, timeout=60)
    assert done.stderr == ""


@pytest.mark.parametrize("maker", ["socket.socket", "Derived"])
def test_reading_waits_in_the_hub(maker: str) -> None:
    run(
        """
buffer = bytearray(3)
for call, expected in (
    (lambda: near.recv(3), b"abc"),
    (lambda: near.recv_into(buffer), 3),
    (lambda: near.recvfrom(3)[0], b"abc"),
    (lambda: near.recvfrom_into(buffer)[0], 3),
    (lambda: near.recvmsg(3)[0], b"abc"),
    (lambda: near.recvmsg_into([buffer])[0], 3),
    (lambda: near.makefile("rb").read(3), b"abc"),
):
    for timeout in (None, 20):
        near.settimeout(timeout)
        wait, end = in_thread(call)
        wait()
        far.sendall(b"abc")
        assert end() == expected, expected
wait, end = in_thread(near.recv, 1)
wait()
far.close()
assert end() == b""
""",
        maker,
    )


def test_writing_waits_in_the_hub_and_loses_nothing() -> None:
    run(
        """
data = bytes(range(256)) * 8192
near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
def received():
    got = bytearray()
    while len(got) < len(data): got += far.recv(100_000)
    return bytes(got)
for timeout in (None, 20):
    near.settimeout(timeout)
    wait, end = in_thread(near.sendall, data)
    wait()
    assert received() == data
    assert end() is None
    def by_send():
        left = memoryview(data)
        while left: left = left[near.send(left) if len(left) % 2 else near.sendmsg([left]):]
    wait, end = in_thread(by_send)
    wait()
    assert received() == data
    assert end() is None
""",
    )


@pytest.mark.parametrize("maker", ["socket.socket", "Derived"])
def test_accept_and_connect_wait_in_the_hub(maker: str) -> None:
    run(
        """
for timeout in (None, 20):
    listener.settimeout(timeout)
    wait, end = in_thread(listener.accept)
    wait()
    for call in ("connect", "connect_ex"):
        client = type(near)(family, kind)
        client.settimeout(timeout)
        assert getattr(client, call)(listener.getsockname()) in (None, 0)
        assert client.gettimeout() == timeout
        accepted, address = end() if call == "connect" else listener.accept()
        assert address == client.getsockname()
        accepted.sendall(b"x")
        assert client.recv(1) == b"x"
refused = type(near)(family, kind)
port = listener.getsockname()
listener.close()
try: refused.connect(port)
except ConnectionRefusedError as error: assert error.strerror == "Connection refused", error
else: raise AssertionError
import errno
assert type(near)(family, kind).connect_ex(port) == errno.ECONNREFUSED
""",
        maker,
    )


def test_timeouts_and_non_blocking_sockets_stay_what_they_are() -> None:
    run(
        """
near.settimeout(0.02)
_, end = in_thread(near.recv, 1)
error = end()
assert type(error) is TimeoutError and str(error) == "timed out", error
near.setblocking(False)
listener.setblocking(False)
for call in (lambda: near.recv(1), lambda: near.recv_into(bytearray(1)), listener.accept):
    try: call()
    except BlockingIOError: pass
    else: raise AssertionError
near.setblocking(True)
try: near.recv(1, socket.MSG_DONTWAIT)
except BlockingIOError: pass
else: raise AssertionError
try: near.recv()
except TypeError: pass
else: raise AssertionError
"""
    )


def test_closing_ends_the_wait_of_another_greenlet() -> None:
    run(
        """
import errno
dup = near.dup()
for sock, close in ((near, near.close), (dup, dup.detach)):
    wait, end = in_thread(sock.recv, 1)
    wait()
    close()
    error = end()
    assert isinstance(error, OSError) and error.errno == errno.EBADF, error
try: near.recv(1)
except OSError as error: assert error.errno == errno.EBADF
else: raise AssertionError
"""
    )


def test_a_native_thread_without_a_hub_blocks_as_ever() -> None:
    run(
        """
from corolib._native import allocate_lock, start_new_thread
from corolib.hub import get_hub_if_exists
done = allocate_lock()
done.acquire()
seen = []
def body():
    seen.extend([near.recv(3), get_hub_if_exists()])
    done.release()
wait, end = in_thread(near.recv, 3)  # makes the descriptor non-blocking
wait()
far.sendall(b"abc")
assert end() == b"abc"
start_new_thread(body, ())
far.sendall(b"def")
from corolib.threadpool import ThreadPool
ThreadPool(1).apply(done.acquire)
assert seen == [b"def", None], seen
"""
    )
