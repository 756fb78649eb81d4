"""What the collector sees of the hub's greenlets: all that may be garbage, and nothing of those that wait."""

import gc
from weakref import ref

import pytest
from helpers import run_isolated

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


def test_a_circle_through_a_watcher_is_collected_once_it_is_not_active(pair):
    """The collector passes over active ones, which hold themselves."""
    watcher = get_hub().loop.io(pair[0].fileno(), 1)
    node = Node()
    node.timer = watcher
    assert gc.is_tracked(watcher)
    watcher.start(print, node)
    assert not gc.is_tracked(watcher)
    watcher.stop()
    assert gc.is_tracked(watcher)
    watcher.callback = watcher.start
    watcher.args = (node,)
    gone = ref(node)
    del watcher, node
    gc.collect()
    assert gone() is None


def test_a_timer_has_what_it_calls_while_it_is_active():
    """So no circle can go through one that nobody holds, and it is no affair of the collector's."""
    timer = get_hub().loop.timer(100)
    node = Node()
    node.timer = timer
    timer.start(print, node)
    timer.callback, timer.args = node, (node, node)
    assert timer.callback is node and not gc.is_tracked(timer)
    gone = ref(node)
    del timer, node
    gc.collect()
    gone().timer.stop()  # it was alive
    assert gone() is None


@pytest.mark.parametrize("name, value", [("callback", print), ("args", ())])
def test_a_timer_that_is_not_active_takes_nothing_to_call(name, value):
    timer = get_hub().loop.timer(0)
    with pytest.raises(ValueError, match=f"{name}: the timer is not active, and start"):
        setattr(timer, name, value)
    setattr(timer, name, None)
    delattr(timer, name)
    seen = []
    timer.start(seen.append, 1)
    sleep(0.001)
    assert seen == [1] and getattr(timer, name) is None


def test_a_circle_through_an_attribute_of_a_class_derived_from_timer_is_collected():
    class Derived(_hub.timer):
        pass

    made = Derived(get_hub(), 100)
    made.itself = made
    gone = ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_a_timer_keeps_no_hub_that_is_gone():
    run_isolated(
        """
        import gc
        from _thread import start_new_thread
        from _queue import SimpleQueue
        from weakref import ref
        from corolib.hub import get_hub

        def run():
            hub = get_hub()
            hub.timer = hub.loop.timer(100)  # a circle, if it held the hub
            hub.active = hub.loop.timer(100)
            hub.active.start(print)
            found.put((hub.timer, ref(hub)))

        found = SimpleQueue()
        start_new_thread(run, ())
        timer, gone = found.get()
        while gone() is not None:  # until the thread has ended
            gc.collect()
        assert timer.loop is None and not timer.active
        try:
            timer.start(print)
        except ValueError as error:
            assert str(error) == "the hub of this watcher is destroyed"
        timer.stop()
        """
    )


@pytest.mark.parametrize("spawn", [_hub.spawn_raw, Greenlet.spawn], ids=["raw", "hub"])
def test_of_one_that_waits_nothing_is_visited(spawn):
    """It is alive, whatever it refers to, and so is all that: a hundred thousand that wait cost a collection
    next to nothing.
    """

    def wait(held):
        try:
            sleep(1000)
        finally:
            ended.append(held)

    ended = []
    node = Node()
    node.green = spawn(wait, node)
    assert gc.get_referents(node.green) == []  # it stands in the queue
    sleep(0)
    assert gc.get_referents(node.green) == [] and gc.is_tracked(node.green)
    gone = ref(node)
    del node
    gc.collect()
    kill(gone().green)
    sleep(0)
    sleep(0)
    assert ended == [gone()]
    ended.clear()
    gc.collect()
    assert gone() is None


def test_of_one_that_is_to_be_resumed_nothing_is_visited():
    seen = []

    def wait(node):
        _hub.park("for this")
        seen.append(node)

    node = Node()
    green = Greenlet.spawn(wait, node)
    sleep(0)
    _hub.wake(green)
    gone = ref(node)
    del node
    assert gc.get_referents(green) == []
    gc.collect()
    green.join()
    assert seen == [gone()]
    assert seen[0] is not None


def test_a_circle_through_what_is_ready_in_a_hub_that_nobody_has_is_collected():
    run_isolated(
        """
        import gc
        from weakref import ref
        from corolib.greenlet import Greenlet
        from corolib.hub import get_hub, set_hub

        class Node:
            pass

        node = Node()
        node.hub = get_hub()
        node.green = Greenlet.spawn(print, node)
        gone, hub_gone = ref(node), ref(node.hub)
        gc.collect()
        assert gone() is node
        del node
        gc.collect()
        assert gone() is not None
        set_hub(None)
        gc.collect()
        gc.collect()
        assert gone() is None and hub_gone() is None
        """
    )


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
