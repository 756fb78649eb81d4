"""What the collector sees of greenlets of the hub: no reference of ours is hidden from it."""

import gc
from weakref import ref

import pytest

from corolib import _hub
from corolib._switch import GreenletExit, getcurrent, greenlet
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, kill, sleep, spawn_raw


class Node:
    """May be part of a circle, and seen to go."""

    green: object = None
    timer: object = None


class Overriding(Greenlet):
    def _run(self, function, node, back):
        function(node, back=back)


class Callable:
    def __init__(self, function):
        self.function = function

    def method(self, node, back):
        self.function(node, back=back)


ended: list[object] = []


def away(*nodes, back, **more):
    """Switches away by hand: not a wait, so nobody but the circle keeps it alive."""
    try:
        back()
    except GreenletExit:
        ended.append("ended")
        raise


WAYS = {
    "argument": lambda node, back: Greenlet(away, node, back=back),
    "keyword": lambda node, back: Greenlet(away, back=back, node=node),
    "override": lambda node, back: Overriding(away, node, back=back),
    "method": lambda node, back: Greenlet(Callable(away).method, node, back=back),
    "changed": lambda node, back: Greenlet(changed, node, back=back),
}


def changed(node, back):
    me = getcurrent()
    me.args, me.kwargs = (), {}
    del me
    away(node, back=back)


@pytest.mark.parametrize("way", WAYS)
def test_a_circle_through_what_a_greenlet_is_called_with_is_collected(way):
    main = getcurrent()
    ended.clear()
    node = Node()
    node.green = WAYS[way](node, main.switch)
    node.green.start()
    get_hub().switch()  # it comes back by hand
    assert node.green.started
    get_hub().run_callback(ended.clear)
    sleep(0)  # the hub has let go of it
    gone = ref(node)
    del node
    gc.collect()  # finds it, and ends it
    sleep(0)
    assert ended == ["ended"]
    gc.collect()  # the exception that ended it refers to its frames
    assert gone() is None


def test_a_circle_through_a_watcher_is_collected_once_it_is_not_active():
    """The collector passes over active ones, which hold themselves."""
    timer = get_hub().loop.timer(100)
    node = Node()
    node.timer = timer
    assert gc.is_tracked(timer)
    timer.start(print, node)
    assert not gc.is_tracked(timer)
    gone = ref(node)
    del timer, node
    gc.collect()
    gone().timer.stop()  # it was alive
    assert gone() is None
    timer = get_hub().loop.timer(100)
    timer.callback = timer.again
    assert gc.is_tracked(timer)
    timer.start(print)
    timer.stop()
    assert gc.is_tracked(timer)
    node = Node()
    node.timer = timer
    timer.args = (node,)
    gone = ref(node)
    del timer, node
    gc.collect()
    assert gone() is None


def test_arguments_taken_away_while_it_runs_are_held_until_it_has_them_no_more():
    seen = []

    def run(first, *, key):
        me = getcurrent()
        me.args, me.kwargs = (), {}
        del me
        gc.collect()
        seen.append((first, key))

    Greenlet.spawn(run, Node(), key=Node()).join()
    assert [type(each) for each in seen[0]] == [Node, Node]


@pytest.mark.parametrize("make", [greenlet, Greenlet], ids=["raw", "hub"])
def test_a_circle_through_a_pending_exception_is_collected(make):
    """Of one that has been killed and that nobody ever starts."""
    error = KeyError()
    error.node = node = Node()
    node.green = make(lambda: None)
    if make is greenlet:
        kill(node.green, error)
        sleep(0)
    else:
        _hub.interrupt(node.green, error)
    gone = ref(node)
    del error, node
    gc.collect()
    assert gone() is None


def test_a_circle_through_a_value_that_has_not_arrived_is_collected():
    """The hub of the one that was woken is destroyed, so the value never comes."""
    node = Node()
    node.green = spawn_raw(_hub.park, "a value")
    sleep(0)
    _hub.wake(node.green, node)
    gone = ref(node)
    get_hub().destroy()
    del node
    gc.collect()
    assert gone() is None
