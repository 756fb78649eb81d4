"""Each greenlet has a contextvars context of its own."""

import contextvars
import threading

import pytest

from corolib._switch import getcurrent, greenlet

variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture(autouse=True)
def own_context():
    """Each test in a context of its own, so that what main sets does not leak into others."""
    old = getcurrent().gr_context
    getcurrent().gr_context = contextvars.Context()
    yield
    getcurrent().gr_context = old


def test_a_greenlet_starts_with_an_empty_context():
    variable.set("main's")
    assert greenlet(variable.get).switch() == "default"
    assert variable.get() == "main's"


def test_contexts_do_not_mix():
    main = getcurrent()

    def run(value):
        assert variable.get() == "default"
        variable.set(value)
        for _ in range(3):
            main.switch()
            assert variable.get() == value
        return variable.get()

    variable.set("main's")
    children = [greenlet(run) for _ in range(10)]
    for number, child in enumerate(children):
        child.switch(number)
    for _ in range(2):
        for child in children:
            child.switch()
            # The cache inside of a context variable must not show another context's value.
            assert variable.get() == "main's"
    assert [child.switch() for child in children] == list(range(10))


def test_a_context_can_be_given_before_the_start():
    variable.set("main's")
    child = greenlet(variable.get)
    child.gr_context = contextvars.copy_context()
    variable.set("later")
    assert child.switch() == "main's"


def test_a_context_can_be_shared():
    main = getcurrent()
    variable.set("main's")
    child = greenlet(lambda: [variable.set("child's"), main.switch(), variable.get()][2])
    child.gr_context = main.gr_context
    child.switch()
    assert variable.get() == "child's"
    variable.set("back")
    assert child.switch() == "back"


def test_reading_gr_context():
    main = getcurrent()
    child = greenlet(lambda: [main.switch(), variable.set(1), main.switch(getcurrent().gr_context)])
    assert child.gr_context is None
    child.switch()
    assert child.gr_context is None
    inside = child.switch()
    assert isinstance(inside, contextvars.Context)
    assert child.gr_context is inside
    assert inside[variable] == 1
    child.switch()
    assert child.dead
    assert child.gr_context is inside


def test_setting_gr_context_in_every_state():
    main = getcurrent()

    def context(value):
        made = contextvars.Context()
        made.run(variable.set, value)
        return made

    def run():
        main.switch(variable.get())
        main.switch(variable.get())
        getcurrent().gr_context = context("by itself")
        main.switch(variable.get())
        getcurrent().gr_context = None
        return variable.get()

    child = greenlet(run)
    child.gr_context = context("fresh")
    assert child.switch() == "fresh"
    child.gr_context = context("suspended")
    assert child.switch() == "suspended"
    assert child.switch() == "by itself"
    assert child.switch() == "default"
    child.gr_context = context("dead")
    child.gr_context = None
    assert child.gr_context is None


@pytest.mark.parametrize("wrong", [5, "context", {}])
def test_only_a_context_or_none(wrong):
    with pytest.raises(TypeError, match=r"must be a contextvars\.Context or None"):
        greenlet(len).gr_context = wrong


def test_it_cannot_be_deleted():
    with pytest.raises(AttributeError, match="can't delete context attribute"):
        del getcurrent().gr_context


def test_one_that_runs_in_another_thread_is_out_of_reach():
    found, ready, end = [], threading.Event(), threading.Event()

    def thread():
        found.append(getcurrent())
        ready.set()
        end.wait(30)

    each = threading.Thread(target=thread)
    each.start()
    assert ready.wait(30)
    with pytest.raises(ValueError, match="running in a different thread"):
        found[0].gr_context
    with pytest.raises(ValueError, match="running in a different thread"):
        found[0].gr_context = None
    end.set()
    each.join()
    assert found[0].gr_context is None


def test_context_run_is_left_in_the_greenlet_that_entered_it():
    main = getcurrent()
    context = contextvars.copy_context()

    def run():
        context.run(main.switch, "inside")
        return variable.get()

    child = greenlet(run)
    assert child.switch() == "inside"
    assert child.gr_context is context
    with pytest.raises(RuntimeError, match="already entered"):
        context.run(len, ())
    assert child.switch() == "default"
    assert context.run(lambda: 1) == 1


def test_tokens_of_another_context_are_refused():
    main = getcurrent()
    child = greenlet(lambda: main.switch(variable.set("child's")))
    token = child.switch()
    with pytest.raises(ValueError, match="different Context"):
        variable.reset(token)
