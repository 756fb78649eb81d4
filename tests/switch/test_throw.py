"""throw(): exceptions raised from outside."""

import sys

import pytest
from helpers import Recorder

from corolib._switch import GreenletExit, getcurrent, greenlet


class Oops(Exception):
    pass


def parked(record=None):
    """A greenlet that is suspended and returns what is thrown into it."""
    main = getcurrent()

    def run():
        try:
            main.switch()
        except BaseException as thrown:
            return thrown

    child = greenlet(run)
    child.switch()
    return child


def test_a_class_an_instance_and_the_three_part_form():
    assert type(parked().throw(Oops)) is Oops
    instance = Oops("x")
    assert parked().throw(instance) is instance
    assert parked().throw(Oops, "text").args == ("text",)
    assert parked().throw(Oops, (1, 2)).args == (1, 2)
    assert parked().throw(Oops, instance) is instance
    assert parked().throw(Oops, None).args == ()
    assert type(parked().throw()) is GreenletExit


def test_an_exception_not_caught_goes_to_the_parent():
    child = greenlet(getcurrent().switch)
    child.switch()
    with pytest.raises(Oops):
        child.throw(Oops)
    assert child.dead


def test_what_the_target_returns_after_catching_comes_back():
    main = getcurrent()

    def run():
        try:
            main.switch()
        except Oops:
            main.switch("caught")
        return "end"

    child = greenlet(run)
    child.switch()
    assert child.throw(Oops) == "caught"
    assert child.switch() == "end"


def test_greenlet_exit_is_a_normal_end():
    child = greenlet(getcurrent().switch)
    child.switch()
    value = child.throw(GreenletExit("value"))
    assert isinstance(value, GreenletExit)
    assert value.args == ("value",)
    assert child.dead

    def run():
        raise GreenletExit("mine")

    assert greenlet(run).switch().args == ("mine",)


def test_a_fresh_greenlet_ends_without_running():
    record = Recorder()
    child = greenlet(lambda: record("ran"))
    with pytest.raises(Oops):
        child.throw(Oops)
    assert child.dead
    other = greenlet(lambda: record("ran"))
    assert isinstance(other.throw(), GreenletExit)
    assert other.dead
    record.check([])


def test_a_fresh_greenlet_without_run_complains_of_that():
    with pytest.raises(AttributeError, match="run"):
        greenlet().throw(Oops)


def test_throwing_at_a_fresh_greenlet_reaches_its_parent_not_the_thrower():
    main = getcurrent()

    def parent_run():
        try:
            main.switch("parent is ready")
        except Oops:
            return "parent caught"

    parent = greenlet(parent_run)
    parent.switch()

    def thrower():
        child.throw(Oops)
        raise AssertionError("resumed")

    child = greenlet(len, parent)
    assert greenlet(thrower).switch() == "parent caught"


def test_a_dead_target():
    dead = greenlet(len)
    with pytest.raises(TypeError):
        dead.switch()
    with pytest.raises(Oops):
        dead.throw(Oops)
    assert isinstance(dead.throw(), GreenletExit)
    assert dead.throw(GreenletExit("kept")).args == ("kept",)


def test_throwing_at_oneself_raises():
    with pytest.raises(Oops):
        getcurrent().throw(Oops)
    with pytest.raises(GreenletExit):
        getcurrent().throw()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((5,), "exceptions must be classes, or instances, not int"),
        (("Oops",), "exceptions must be classes, or instances, not str"),
        ((Oops(), "value"), "instance exception may not have a separate value"),
        ((Oops, None, "tb"), "throw.. third argument must be a traceback object"),
        ((int,), "exceptions must be classes"),
        ((Oops, None, None, None), "at most 3 arguments"),
    ],
)
def test_bad_arguments_are_the_caller_s_error(args, message):
    child = parked()
    with pytest.raises(TypeError, match=message):
        child.throw(*args)
    assert not child.dead
    child.throw(Oops)


def test_a_class_that_cannot_be_called_that_way_throws_its_own_complaint():
    class Picky(Exception):
        def __init__(self, needed):
            super().__init__(needed)

    assert isinstance(parked().throw(Picky), TypeError)
    assert parked().throw(Picky, "given").args == ("given",)


def test_a_class_whose_call_gives_something_else():
    class Odd(Exception):
        def __new__(cls, *args):
            return 5

    thrown = parked().throw(Odd)
    assert isinstance(thrown, TypeError)
    assert "should have returned an exception" in str(thrown)


def functions(traceback):
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def test_the_traceback_given_is_continued():
    def origin():
        raise Oops

    try:
        origin()
    except Oops:
        thrown = parked().throw(*sys.exc_info())
    assert functions(thrown.__traceback__) == [
        "run",
        "test_the_traceback_given_is_continued",
        "origin",
    ]


def test_tracebacks_end_at_the_greenlet_s_first_function():
    def inner():
        raise Oops

    def run():
        inner()

    with pytest.raises(Oops) as caught:
        greenlet(run).switch()
    assert functions(caught.tb)[-2:] == ["run", "inner"]


def test_throw_in_the_middle_of_finally_and_with():
    main = getcurrent()
    record = Recorder()

    class Manager:
        def __enter__(self):
            record("enter")

        def __exit__(self, type, value, traceback):
            record(type)
            main.switch()
            record("leave")

    def run():
        try:
            with Manager():
                main.switch()
        finally:
            main.switch()
            record("finally")

    child = greenlet(run)
    child.switch()
    child.throw(Oops)
    child.switch()
    with pytest.raises(Oops):
        child.switch()
    record.check(["enter", Oops, "leave", "finally"])


def test_an_exception_class_that_switches_while_it_is_made():
    main = getcurrent()
    child = parked()
    other = greenlet(lambda: main.switch("side") or "never")

    class Switching(Exception):
        def __init__(self):
            super().__init__(other.switch())

    assert child.throw(Switching).args == ("side",)
