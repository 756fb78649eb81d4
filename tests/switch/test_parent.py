"""The tree of parents: who gets the results."""

import threading

import pytest

from corolib._switch import getcurrent, greenlet


def test_the_parent_is_the_creator_unless_said_otherwise():
    main = getcurrent()
    assert greenlet(len).parent is main

    def run():
        return greenlet(len)

    outer = greenlet(run)
    assert outer.switch().parent is outer


def test_a_result_goes_to_the_parent_of_the_moment():
    main = getcurrent()
    other = greenlet(lambda: main.switch("other is ready"))
    other.switch()

    def run():
        main.switch()
        return "result"

    child = greenlet(run)
    child.switch()
    child.parent = other
    # `other` is resumed with the result, and its own result goes to main.
    assert child.switch() == "result"
    assert other.dead


def test_cycles_are_refused():
    a = greenlet(len)
    b = greenlet(len, a)
    c = greenlet(len, b)
    for child, parent in ((a, a), (a, b), (a, c)):
        with pytest.raises(ValueError, match="cyclic parent chain"):
            child.parent = parent
    with pytest.raises(ValueError, match="cyclic parent chain"):
        a.__init__(parent=c)
    c.parent = a


@pytest.mark.parametrize("wrong", [None, 5, "greenlet", object()])
def test_only_a_greenlet_can_be_a_parent(wrong):
    with pytest.raises(TypeError):
        greenlet(len).parent = wrong


def test_it_cannot_be_deleted():
    with pytest.raises(AttributeError, match="can't delete"):
        del greenlet(len).parent
    with pytest.raises(AttributeError, match="can't delete"):
        del getcurrent().parent


def test_the_main_greenlet_has_none_and_gets_none():
    assert getcurrent().parent is None
    with pytest.raises(AttributeError, match="cannot set the parent of a main greenlet"):
        getcurrent().parent = greenlet(len)


def foreign(started):
    """A greenlet of another thread, which stays alive until the returned function is called."""
    found, ready, end = [], threading.Event(), threading.Event()

    def run():
        main = getcurrent()
        child = greenlet(main.switch)
        if started:
            child.switch()
        found.append(child)
        ready.set()
        end.wait(30)
        if started:
            child.switch()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)

    def finish():
        end.set()
        thread.join()

    return found[0], finish


@pytest.mark.parametrize("started", [True, False])
def test_a_parent_of_another_thread(started):
    other, finish = foreign(started)
    try:
        child = greenlet(getcurrent().switch)
        child.parent = other  # allowed while fresh; the switch then is not
        with pytest.raises(greenlet.error, match="different thread"):
            child.switch()
        mine = greenlet(getcurrent().switch)
        mine.switch()
        with pytest.raises(ValueError, match="parent cannot be on a different thread"):
            mine.parent = other
        assert mine.parent is getcurrent()
        mine.switch()
    finally:
        finish()


def test_a_parent_that_dies_first_is_passed_over():
    main = getcurrent()

    def run():
        main.switch()
        return "late"

    parent = greenlet(lambda: None)
    child = greenlet(run, parent)
    child.switch()
    parent.switch()
    assert parent.dead
    assert child.switch() == "late"


def test_a_long_chain_of_dead_parents_is_walked():
    last = getcurrent()
    for _ in range(500):
        last = greenlet(len, last)
        with pytest.raises(TypeError):
            last.switch()
    assert last.switch("through all") == "through all"


def test_freeing_a_very_long_chain_does_not_overflow_the_stack():
    last = getcurrent()
    for _ in range(200_000):
        last = greenlet(len, last)
    del last


def test_a_failing_start_of_the_parent_goes_on_to_its_own():
    parent = greenlet()  # has nothing to run
    child = greenlet(lambda: "result", parent)
    with pytest.raises(AttributeError, match="run"):
        child.switch()
    assert child.dead
    assert not parent.dead


def test_a_look_up_of_run_in_the_parent_may_switch_while_the_child_ends():
    main = getcurrent()

    class Looking(greenlet):
        @property
        def run(self):
            main.switch("looked up")
            return lambda value: ("parent", value)

    parent = Looking()
    child = greenlet(lambda: "result", parent)
    assert child.switch() == "looked up"
    assert not child.dead  # it stands in its last step
    assert child.switch() == ("parent", "result")
    assert child.dead
