"""settrace() and switch hooks; sys.settrace, sys.setprofile and sys.monitoring across switches."""

import gc
import sys
import threading

import pytest
from helpers import Recorder, run_isolated

from corolib._switch import (
    GreenletExit,
    add_switch_hook,
    getcurrent,
    gettrace,
    greenlet,
    remove_switch_hook,
    settrace,
)


@pytest.fixture(autouse=True)
def no_tracer_is_left():
    yield
    assert settrace(None) is None


class Oops(Exception):
    pass


@pytest.fixture(autouse=True)
def nothing_to_collect():
    """What a collection finds is ended by switches, which tracers and hooks see."""
    gc.collect()


def test_the_tracer_sees_every_switch_and_throw():
    main = getcurrent()
    record = Recorder()

    def run():
        try:
            main.switch()
        except Oops:
            main.switch()

    child = greenlet(run)
    assert settrace(lambda event, pair: record((event, *pair))) is None
    child.switch()
    child.throw(Oops)
    child.switch()
    getcurrent().switch()
    settrace(None)
    child.switch()
    record.check(
        [
            ("switch", main, child),
            ("switch", child, main),
            ("throw", main, child),
            ("switch", child, main),
            ("switch", main, child),
            ("switch", child, main),
            ("switch", main, main),
        ]
    )


def test_the_end_by_an_exception_is_a_throw_and_greenlet_exit_a_switch():
    main = getcurrent()
    record = Recorder()

    def run(raised):
        raise raised

    settrace(lambda event, pair: record((event, pair[1] is main)))
    with pytest.raises(Oops):
        greenlet(run).switch(Oops)
    greenlet(run).switch(GreenletExit)
    settrace(None)
    record.check([("switch", False), ("throw", True), ("switch", False), ("switch", True)])


def test_the_previous_tracer_is_returned():
    first, second = [].append, lambda *_: None
    assert settrace(second) is None
    assert gettrace() is second
    assert settrace(second) is second
    assert settrace(first) is second
    assert settrace(None) is first
    assert gettrace() is None


def test_a_tracer_that_raises_is_removed_and_the_target_gets_its_exception():
    main = getcurrent()
    got = []

    def run():
        try:
            main.switch("parked")
        except Oops:
            got.append("in the target")
        return "end"

    child = greenlet(run)
    child.switch()

    def tracer(event, pair):
        raise Oops

    settrace(tracer)
    assert child.switch() == "end"
    assert got == ["in the target"]
    assert gettrace() is None

    # A fresh target does not run at all.
    settrace(tracer)
    with pytest.raises(Oops):
        greenlet(lambda: got.append("ran")).switch()
    assert got == ["in the target"]
    assert gettrace() is None


def test_the_exception_of_a_tracer_replaces_the_one_in_flight():
    def run():
        raise LookupError

    def tracer(event, pair):
        if event == "throw":
            raise Oops

    settrace(tracer)
    with pytest.raises(Oops):
        greenlet(run).switch()


def test_a_tracer_may_switch():
    """The value that was on its way arrives all the same, when everybody has come back."""
    main = getcurrent()
    record = Recorder()
    side = greenlet(lambda: [record("side"), main.switch(), record("side again")])

    def tracer(event, pair):
        if pair[1] is main:
            settrace(None)
            side.switch()

    settrace(tracer)
    assert greenlet(lambda: "value").switch() == "value"
    record.check(["side"])
    side.switch()
    record.check(["side", "side again"])


def test_a_tracer_that_removes_itself_and_one_that_is_set_twice():
    def tracer(event, pair):
        settrace(None)

    before = sys.getrefcount(tracer)
    settrace(tracer)
    settrace(tracer)
    greenlet(lambda: None).switch()
    assert gettrace() is None
    assert sys.getrefcount(tracer) == before


def test_tracers_are_per_thread():
    record = Recorder()
    settrace(lambda event, pair: record(event))

    def thread():
        assert gettrace() is None
        greenlet(lambda: None).switch()

    each = threading.Thread(target=thread)
    each.start()
    each.join()
    record.check([])
    settrace(None)


def test_what_is_not_callable_fails_at_the_next_switch():
    settrace(5)
    with pytest.raises(TypeError):
        greenlet(lambda: None).switch()
    assert gettrace() is None


def test_hooks_coexist_with_each_other_and_the_tracer():
    record = Recorder()
    hooks = [lambda event, pair, n=n: record(n) for n in range(3)]
    for hook in hooks:
        add_switch_hook(hook)
    settrace(lambda event, pair: record("tracer"))
    greenlet(lambda: None).switch()
    remove_switch_hook(hooks[1])
    settrace(None)
    greenlet(lambda: None).switch()
    remove_switch_hook(hooks[0])
    remove_switch_hook(hooks[2])
    greenlet(lambda: None).switch()
    record.check(["tracer", 0, 1, 2] * 2 + [0, 2] * 2)


def test_a_hook_that_raises_is_removed_the_others_stay():
    record = Recorder()

    def failing(event, pair):
        raise Oops

    def recording(event, pair):
        record(event)

    add_switch_hook(failing)
    add_switch_hook(recording)
    child = greenlet(lambda: None)
    with pytest.raises(Oops):
        child.switch()
    with pytest.raises(ValueError, match="not a switch hook of this thread"):
        remove_switch_hook(failing)
    greenlet(lambda: None).switch()
    remove_switch_hook(recording)
    record.check(["throw", "switch", "switch"])


def test_wrong_hooks():
    with pytest.raises(TypeError, match="must be callable, not int"):
        add_switch_hook(5)
    with pytest.raises(ValueError, match="not a switch hook"):
        remove_switch_hook(len)


def profiled(function):
    events = []

    def profiler(frame, event, arg):
        name = arg.__name__ if event.startswith("c_") else frame.f_code.co_name
        if name not in ("setprofile", "profiled"):
            events.append((event, name))

    sys.setprofile(profiler)
    try:
        function()
    finally:
        sys.setprofile(None)
    return events


def test_a_profiler_follows_into_greenlets():
    main = getcurrent()

    def inner():
        pass

    def run():
        inner()
        main.switch()
        inner()

    child = greenlet(run)

    def test():
        child.switch()
        inner()
        child.switch()

    child_calls = [("call", "inner"), ("return", "inner")]
    assert profiled(test) == [
        ("call", "test"),
        *(("c_call", "switch"), ("call", "run"), *child_calls, ("c_call", "switch"), ("c_return", "switch")),
        *child_calls,
        *(("c_call", "switch"), ("c_return", "switch"), *child_calls),
        *(("return", "run"), ("c_return", "switch"), ("return", "test")),
    ]


def test_a_profiler_set_inside_a_greenlet_stays_set_outside():
    main = getcurrent()
    record = Recorder()

    def profiler(frame, event, arg):
        if frame.f_code.co_name in ("inner", "outer"):
            record((event, frame.f_code.co_name))

    def inner():
        pass

    def outer():
        pass

    def run():
        sys.setprofile(profiler)
        inner()
        main.switch()
        inner()
        sys.setprofile(None)

    child = greenlet(run)
    child.switch()
    outer()
    child.switch()
    outer()
    inside = [("call", "inner"), ("return", "inner")]
    record.check([*inside, ("call", "outer"), ("return", "outer"), *inside])


def test_line_tracing_follows_into_greenlets():
    main = getcurrent()
    lines = []

    def tracer(frame, event, arg):
        if frame.f_code.co_name == "run":
            lines.append((event, frame.f_lineno - frame.f_code.co_firstlineno))
        return tracer

    def run():
        main.switch()
        return 1

    def rounds():
        child = greenlet(run)
        child.switch()
        child.switch()

    old = sys.gettrace()
    sys.settrace(tracer)
    try:
        rounds()
    finally:
        sys.settrace(old)
    assert lines == [("call", 0), ("line", 1), ("line", 2), ("return", 2)]


def test_tracing_switched_on_and_off_while_parked():
    run_isolated(
        """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        events = []

        def tracer(frame, event, arg):
            events.append((event, frame.f_code.co_name))
            return tracer

        def leaf():
            pass

        def run():
            while True:
                leaf()
                main.switch()

        child = greenlet(run)
        for turn in range(3000):
            child.switch()
            (sys.settrace, sys.setprofile)[turn % 2](tracer if turn % 3 else None)
            if turn % 5 == 0:
                sys.settrace(None)
                sys.setprofile(None)
        sys.settrace(None)
        sys.setprofile(None)
        assert ("call", "leaf") in events

        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(2, "test")
            seen = []
            for event in (monitoring.events.LINE, monitoring.events.INSTRUCTION):
                monitoring.register_callback(2, event, lambda code, _: seen.append(code.co_name))
            for turn in range(3000):
                child.switch()
                monitoring.set_events(
                    2, (monitoring.events.LINE, monitoring.events.INSTRUCTION, 0)[turn % 3])
            monitoring.set_events(2, 0)
            assert "leaf" in seen
        """
    )


def test_a_switch_inside_a_trace_function():
    run_isolated(
        """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        side = greenlet(lambda: [main.switch(n) for n in range(10**6)])

        def tracer(frame, event, arg):
            if getcurrent() is main:
                side.switch()
            return tracer

        def work(n):
            return work(n - 1) + 1 if n else 0

        sys.settrace(tracer)
        assert work(50) == 50
        sys.settrace(None)
        assert side.switch() > 100
        """
    )


def test_a_greenlet_parked_in_a_trace_function_keeps_tracing_off_in_its_thread():
    """The interpreter counts per thread how deep it is in trace functions, and calls none while it is."""
    run_isolated(
        """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        events = []

        def tracer(frame, event, arg):
            if frame.f_code.co_name in ("leaf", "run") and event == "call":
                events.append(frame.f_code.co_name)
                if frame.f_code.co_name == "run":
                    main.switch("in the trace function")
            return tracer

        def leaf():
            pass

        def run():
            leaf()
            return "end"

        child = greenlet(run)
        sys.settrace(tracer)
        leaf()
        assert child.switch() == "in the trace function"
        leaf()
        greenlet(leaf).switch()
        assert events == ["leaf", "run"], events
        assert child.switch() == "end"
        leaf()
        sys.settrace(None)
        assert events == ["leaf", "run", "leaf", "leaf"], events
        """
    )
