"""corolib.tools.tree: who spawned whom, what everybody is doing."""

import io
import sys

import pytest
from helpers import in_thread, run_isolated

from corolib import util
from corolib._switch import getcurrent, greenlet
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep, spawn_raw
from corolib.local import local
from corolib.tools import tree as tree_module
from corolib.util import GreenletTree


@pytest.fixture
def event():
    """What waits for it is let go at the end."""
    event = Event()
    yield event
    event.set()
    sleep(0)


def find(tree, wanted):
    left = [tree]
    while left:
        step = left.pop()
        if step.greenlet is wanted:
            return step
        left += step.child_trees
    raise AssertionError(f"{wanted!r} is not in the tree")


# -- without tracking: by parents ----------------------------------------------------------------------------


def test_greenlets_stand_below_their_parents(event):
    main, hub = getcurrent(), get_hub()
    waiter = Greenlet.spawn(event.wait)
    raw = spawn_raw(event.wait)
    sleep(0)
    tree = GreenletTree.current_tree()
    assert tree.greenlet is main and tree.root and tree.is_current_tree
    below = find(tree, hub)
    assert not below.root and {waiter, raw} <= {child.greenlet for child in below.child_trees}


def test_attributes_are_those_of_the_greenlet(event):
    waiter = Greenlet.spawn(event.wait)
    sleep(0)
    tree = find(GreenletTree.current_tree(), waiter)
    assert tree.hub is get_hub() and tree.gr_frame is waiter.gr_frame
    with pytest.raises(AttributeError):
        tree.no_such_name
    assert repr(tree).startswith("<GreenletTree of <Greenlet at ")


def test_a_forest_has_a_tree_for_each_thread(event):
    def other():
        get_hub()
        return getcurrent(), GreenletTree.forest()

    main, forest = in_thread(other)
    assert [tree.is_current_tree for tree in forest] == [True] + [False] * (len(forest) - 1)
    assert forest[0].greenlet is main and getcurrent() in [tree.greenlet for tree in forest]
    assert all(tree.root for tree in forest)


def test_the_drawing(event):
    storage = local()

    def work():
        storage.x = "mine"
        event.wait()

    waiter = Greenlet.spawn(work)
    sleep(0)
    tree = GreenletTree.current_tree()
    plain = tree.format_lines(False)
    assert plain == str(tree).splitlines() and tree.format(False) == str(tree)
    assert plain[0] == f"{getcurrent()!r}; current"
    assert f" +--- {get_hub()!r}" in plain and f" |    +--- {waiter!r}" in plain
    full = tree.format_lines({"spawning_stacks": False})
    start = full.index(f" |    +--- {waiter!r}")
    assert (
        full[start + 1 : start + 10]
        == [
            " |    |    :    " + line
            for line in (
                f"Parent: {get_hub()!r}",
                f"Waits for: Event {event!r}",
                "Running:",
                f'  File "{__file__}", line {work.__code__.co_firstlineno + 2}, in work',
                "    event.wait()",
                "Greenlet Locals:",
                f"  local at {id(storage):#x}",
                "    {'x': 'mine'}",
            )
        ]
        + full[start + 9 : start + 10]
    )
    # The stacks would show these lines themselves.
    few = {"running_stacks": False}
    assert "Running:" not in tree.format(few) and "Greenlet Locals" in tree.format(few)
    assert "Greenlet Locals" not in tree.format({**few, "locals": False})
    assert "Waits for" in tree.format(few) and "Waits for" not in tree.format({**few, "waits": False})
    assert find(tree, waiter).format({"running_stack_limit": 1}).count(", in work") == 1


def test_the_current_greenlet_has_a_stack_too():
    def work():
        return GreenletTree.current_tree().format({"running_stack_limit": 1})

    text = Greenlet.spawn(work).get()
    assert ", in work\n" in text


def test_one_that_is_over_is_shown_only_above_others():
    tree = GreenletTree(Greenlet.spawn(int))
    tree.greenlet.join()
    assert str(tree).endswith("; finished")
    tree.add_child(tree)
    assert tree.child_trees == []
    child = GreenletTree(getcurrent())
    tree.add_child(child)
    assert tree.child_trees == [child]


def test_a_circle_of_parents_does_not_hang_the_drawing():
    a, b = GreenletTree(getcurrent()), GreenletTree(get_hub())
    a.add_child(b)
    b.add_child(a)
    assert len(a.format_lines(False)) == 2


def test_a_deep_tree_is_drawn():
    """Who spawns whom may go deeper than Python's stack: gevent's report 1371."""
    top = step = GreenletTree(getcurrent())
    fresh = greenlet(int)
    for _ in range(50_000):
        below = GreenletTree(fresh)
        step.add_child(below)
        step = below
    lines = top.format_lines(False)
    assert len(lines) == 50_001 and "(50000)" in lines[-1] and len(lines[-1]) < 400


# -- with tracking -------------------------------------------------------------------------------------------


def test_greenlets_stand_below_their_spawners_if_they_are_tracked():
    run_isolated(
        """
        from corolib.greenlet import Greenlet
        from corolib.hub import getcurrent, sleep
        from corolib.util import GreenletTree

        def child():
            sleep(0.01)

        def parent():
            made = Greenlet.spawn(child)
            getcurrent().spawn_tree_locals["who"] = "parent"
            sleep(0.001)
            tree = GreenletTree.current_tree()
            (mine,) = [each for each in tree.child_trees if each.greenlet is getcurrent()]
            assert [each.greenlet for each in mine.child_trees] == [made]
            text = tree.format()
            assert "Spawned at:" in text and ", in parent\\n" in text, text
            assert text.count("{'who': 'parent'}") == 2, text
            assert "Spawned at:" not in tree.format({"spawning_stacks": False})
            made.join()

        Greenlet.spawn(parent).get()
        """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
    )


def test_a_chain_of_spawners_keeps_nothing_alive():
    """Each spawns the next and ends: what is kept of the ancestry must not grow (gevent's report 1371)."""
    run_isolated(
        """
        import gc, weakref
        from corolib.greenlet import Greenlet

        seen = []
        def spawn_next(left):
            seen.append(weakref.ref(made := Greenlet(spawn_next, left - 1)))
            if left:
                made.start()
                made = None

        Greenlet.spawn(spawn_next, 20_000)
        from corolib.hub import get_hub
        get_hub().join()
        gc.collect()
        assert len(seen) == 20_001
        assert sum(each() is not None for each in seen) == 0
        """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
    )


# -- the process at a glance ---------------------------------------------------------------------------------


def test_run_info_shows_threads_and_greenlets(event):
    def work():
        event.wait()

    waiter = Greenlet.spawn(work)
    sleep(0)
    lines = util.format_run_info()
    text = "\n".join(lines)
    assert lines[1] == "* Threads" and "* Greenlets" in lines and "---- Thread boundary" in lines
    assert "(MainThread) (CURRENT)" in text
    assert "test_run_info_shows_threads_and_greenlets" in text
    assert repr(waiter) in text and ", in work" in text
    assert util.dump_stacks is util.format_run_info
    without = "\n".join(util.format_run_info(thread_stacks=False, greenlet_stacks=False))
    assert ", in work" not in without and "test_run_info_shows" not in without.partition("* Greenlets")[0]
    limited = util.format_run_info(limit=1)
    assert any("more)" in line for line in limited)


def test_run_info_from_another_thread(event):
    """It must not take the lock of threading, which may be what hangs."""
    Greenlet.spawn(event.wait)
    sleep(0)
    lines = in_thread(lambda: util.format_run_info(current_thread_ident=get_hub().thread_ident))
    assert any(line.endswith("(CURRENT)") and "MainThread" not in line for line in lines)


def test_print_run_info(event, capsys):
    stream = io.StringIO()
    util.print_run_info(file=stream)
    assert stream.getvalue().startswith("*" * 80 + "\n* Threads\n") and stream.getvalue().endswith("\n")
    util.print_run_info(False, False)
    assert "* Greenlets" in capsys.readouterr().err


# -- helpers -------------------------------------------------------------------------------------------------


def test_wrap_errors_returns_what_it_is_told_to():
    def convert(text, base=10):
        "Doc."
        return int(text, base)

    wrapped = util.wrap_errors((ValueError, KeyError), convert)
    assert wrapped("11", base=2) == 3
    assert isinstance(wrapped("no"), ValueError)
    with pytest.raises(TypeError):
        wrapped()
    assert wrapped.__name__ == "convert" and wrapped.__doc__ and str(wrapped) == repr(convert)
    assert isinstance(util.wrap_errors(ZeroDivisionError, lambda: 1 / 0)(), ZeroDivisionError)


def test_clear_stack_frames_drops_what_is_over():
    class Held:
        pass

    def fail():
        held = Held()
        frames.append(sys._getframe())
        raise ValueError(held)

    frames = []
    with pytest.raises(ValueError):
        fail()
    assert "held" in frames[0].f_locals
    util.clear_stack_frames(frames[0])
    assert frames[0].f_locals == {}
    util.clear_stack_frames(None)
    util.clear_stack_frames(sys._getframe())  # it runs: nothing happens


def test_everything_public_exists():
    assert all(hasattr(util, name) for name in util.__all__)
    assert all(hasattr(tree_module, name) for name in tree_module.__all__)
