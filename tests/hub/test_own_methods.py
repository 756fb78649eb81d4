"""own_methods(): a class derived in Python has the methods in C as its own, and nothing else changes."""

import pytest

import corolib
from corolib import _hub, _loop, hub, lock, queue, socket, thread


class Loud(_hub.Lock):
    def acquire(self, *args):
        return ["acquired", super().acquire(*args)]


class Louder(Loud):
    def locked(self):
        return ["locked", super().locked()]


def test_what_was_inherited_becomes_its_own():
    assert _hub.own_methods(Louder) is Louder
    own, inherited = vars(Louder)["release"], vars(_hub.Lock)["release"]
    assert own.__objclass__ is Louder and own is not inherited
    for name in ("__name__", "__doc__", "__text_signature__"):
        assert getattr(own, name) == getattr(inherited, name)


def test_hooks_are_left_alone():
    """Whether a subclass has overridden them is found by comparing."""
    assert not {"_put", "_get", "_qsize"} & set(vars(queue.Queue))
    assert corolib.Greenlet._run is _hub.Greenlet._run


def test_what_is_overridden_stays_so():
    _hub.own_methods(Louder)
    loud = Louder()
    assert loud.acquire() == ["acquired", True]
    assert loud.locked() == ["locked", True]
    assert loud.release() is None and loud.locked() == ["locked", False]
    assert "acquire" not in vars(Louder)


def test_it_is_for_objects_of_the_class_only():
    _hub.own_methods(Louder)
    with pytest.raises(TypeError, match="Louder"):
        Louder.release(_hub.Lock())


def test_it_wants_a_class():
    with pytest.raises(TypeError, match="expected a class, found int"):
        _hub.own_methods(3)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (socket.socket, "recv"),
        (socket.socket, "sendall"),
        (corolib.Greenlet, "join"),
        (queue.Queue, "get"),
        (queue.PriorityQueue, "put"),
        (queue.SimpleQueue, "get"),
        (thread.LockType, "acquire"),
        (thread.RLock, "release"),
        (lock.BoundedSemaphore, "acquire"),
        (hub.Hub, "run_callback"),
        (_loop.HubLoop, "timer"),
    ],
)
def test_the_classes_that_are_called_most_have_them(cls, name):
    assert vars(cls)[name].__objclass__ is cls
