"""What users get for a mistake: the documented exception, at once, and everything works on afterwards."""

import _thread
import os

import pytest

from corolib import Greenlet, sleep, spawn
from corolib import socket as cosocket
from corolib._switch import error, getcurrent, greenlet
from corolib.hub import get_hub
from corolib.select import poll, select


@pytest.fixture(autouse=True)
def the_hub_works_on():
    yield
    assert spawn(lambda: "alive").get() == "alive"


@pytest.mark.parametrize("bad", [None, 3, "name", object()])
def test_spawn_of_what_is_not_callable(bad):
    with pytest.raises(TypeError, match="callable"):
        spawn(bad or "name")
    with pytest.raises(TypeError):
        greenlet(bad).switch()


def test_spawn_of_nothing_runs_nothing():
    assert Greenlet.spawn().get() is None


def test_switch_to_a_dead_greenlet_comes_back_from_its_parent():
    """As in greenlet: a dead greenlet passes the switch on to its parent, which is us."""
    dead = greenlet(lambda: None)
    dead.switch()
    assert dead.dead
    assert dead.switch("passed on") == "passed on"


def test_switch_to_a_greenlet_of_another_thread():
    theirs, ready, done = [], _thread.allocate_lock(), _thread.allocate_lock()
    ready.acquire()
    done.acquire()

    def body():
        parked = greenlet(lambda: getcurrent().parent.switch())
        parked.switch()
        theirs.append(parked)
        ready.release()
        done.acquire()

    _thread.start_new_thread(body, ())
    ready.acquire()
    with pytest.raises(error, match="different thread"):
        theirs[0].switch()
    done.release()


def test_recv_on_a_closed_socket():
    near, far = cosocket.socketpair()
    near.close()
    for operation in (lambda: near.recv(1), lambda: near.send(b"x"), lambda: near.sendall(b"x"), near.accept):
        with pytest.raises(OSError, match="Bad file descriptor"):
            operation()
    far.close()


def test_waiting_for_a_bad_descriptor():
    get_hub()  # so that its descriptors do not take the numbers
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        get_hub().loop.io(read, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select([read], [], [])
    with pytest.raises(ValueError):
        select([-1], [], [])
    poller = poll()
    poller.register(read)
    assert poller.poll(1000) == [(read, 32)]  # POLLNVAL, as select.poll does


@pytest.mark.parametrize("seconds", [-1, -0.0, float("-inf")])
def test_negative_sleep_lets_the_others_run(seconds):
    order = []
    spawn(order.append, "other")
    sleep(seconds)
    assert order == ["other"]


def test_sleep_of_no_number():
    for bad in ("1", None, [], float("nan")):
        with pytest.raises((TypeError, ValueError)):
            sleep(bad)


def test_connect_refused():
    with cosocket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with pytest.raises(ConnectionRefusedError):
        cosocket.create_connection(address, timeout=10)
    with cosocket.socket() as sock:
        assert sock.connect_ex(address) == 111
