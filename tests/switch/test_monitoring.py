"""Instrumentation that comes and goes while frames are parked: sys.settrace, sys.setprofile, sys.monitoring.

The interpreter rewrites the code of functions when it is switched on or off, also of those that stand parked
in the middle: 3.12 and later count versions for that, and have assertions about them in debug builds.
Before 3.15 those do not hold for parked frames, which the interpreter does not see; greenlet's own have the
same (its issue 368).
"""

import sys

import pytest
from helpers import run_isolated

from corolib._switch import getcurrent, greenlet

TOGGLE = """
    import sys
    from corolib._switch import getcurrent, greenlet

    rounds = int(sys.argv[1])
    main = getcurrent()
    events = 0

    def tracer(frame, event, arg):
        global events
        events += 1
        # 3.12 calls the trace function for an opcode without looking whether there is one any more.
        frame.f_trace_opcodes = rounds_done % 3 == 0 and sys.version_info[:2] != (3, 12)
        return tracer

    def profiler(frame, event, arg):
        global events
        events += 1

    def leaf(value):
        return value + 1

    def plain():
        value = 0
        while True:
            value = leaf(value)
            assert main.switch(value) == -value

    def numbers():
        value = 0
        while True:
            value += 1
            yield value

    def through_a_generator():
        for value in numbers():
            assert main.switch(value) == -value

    def through_c():
        value = 0
        while True:
            value += 1
            got = sorted([value], key=lambda value: main.switch(value))
            assert got == [value]

    def raising():
        value = 0
        while True:
            value += 1
            try:
                main.switch(value)
                raise LookupError(value)
            except LookupError as caught:
                assert caught.args == (value,)

    children = [greenlet(run) for run in (plain, through_a_generator, through_c, raising)]
    states = [lambda: sys.settrace(tracer), lambda: sys.settrace(None),
              lambda: sys.setprofile(profiler), lambda: sys.setprofile(None)]
    if sys.version_info >= (3, 12):
        mon = sys.monitoring
        E = mon.events
        mon.use_tool_id(3, "test")
        kinds = (E.LINE, E.INSTRUCTION, E.PY_START | E.PY_RETURN, E.PY_YIELD | E.PY_RESUME, E.CALL, E.BRANCH,
                 E.RAISE | E.EXCEPTION_HANDLED | E.PY_UNWIND, E.JUMP)

        def seen(*args):
            global events
            events += 1
            if rounds_done % 7 == 0:
                return mon.DISABLE if args and rounds_done % 2 else None

        single = [1 << bit for bit in range(15) if any(kind & 1 << bit for kind in kinds)]
        for event in single:
            if event & (E.RAISE | E.EXCEPTION_HANDLED | E.PY_UNWIND):
                mon.register_callback(3, event, lambda *args: seen() and None)
            else:
                mon.register_callback(3, event, seen)
        for kind in kinds:
            states.append(lambda kind=kind: mon.set_events(3, kind))
            states.append(lambda: mon.set_events(3, 0))
        for function in (plain, numbers, through_c, leaf, raising):
            for kind in (E.LINE | E.INSTRUCTION, 0):
                states.append(lambda code=function.__code__, kind=kind: mon.set_local_events(3, code, kind))
        states.append(mon.restart_events)

    rounds_done = 0
    for turn in range(1, rounds + 1):
        rounds_done = turn
        for child in children:
            # Something else while each of them is parked; both sides of the switch see it change.
            states[(turn * 7 + turn // 11) % len(states)]()
            assert child.switch(*[-(turn - 1)] if turn > 1 else []) == turn
        if turn % 50 == 0:
            # A new life under whatever is switched on now.
            fresh = greenlet(lambda: leaf(main.switch("fresh")))
            assert fresh.switch() == "fresh" and fresh.switch(1) == 2
    sys.settrace(None)
    sys.setprofile(None)
    assert events > rounds
"""


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 15) and hasattr(sys, "gettotalrefcount"),
    reason="a debug build insists that the code of all frames is up to date, and does not see parked ones",
)
@pytest.mark.parametrize(
    "rounds", [1000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.hang_after(300)])]
)
def test_instrumentation_may_change_while_frames_are_parked(rounds):
    run_isolated(TOGGLE, rounds, timeout=250)


ARRIVES_WITH_TOOLS = """
    import sys
    from corolib._switch import getcurrent, greenlet

    main = getcurrent()
    kind = sys.argv[1]
    seen = []

    def watch(*args):
        seen.append(args)
        return watch

    def turn_on():
        if kind == "trace":
            sys.settrace(watch)
        elif kind == "profile":
            sys.setprofile(watch)
        else:
            mon = sys.monitoring
            mon.use_tool_id(3, "test")
            mon.register_callback(3, mon.events.RAISE, lambda *args: seen.append(args))
            mon.set_events(3, mon.events.RAISE)

    def marked():
        pass

    def parked(deeper):
        # Nothing else runs this code: the interpreter does not see it when the tools come.
        if deeper:
            return parked(deeper - 1)
        greenlet(turn_on).switch()
        raise LookupError

    try:
        parked(3)
    except LookupError:
        marked()
    sys.settrace(None)
    sys.setprofile(None)
    assert seen, "the tools are not there"
"""


@pytest.mark.parametrize("kind", ["trace", "profile", "monitoring"])
def test_an_exception_may_leave_frames_that_were_parked_when_the_tools_came(kind):
    if kind == "monitoring" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring came with 3.12")
    run_isolated(ARRIVES_WITH_TOOLS, kind)


@pytest.mark.parametrize("when", ["before", "inside", "after"])
@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_who_is_seen_by_a_trace_function_set_before_inside_or_after_a_switch(kind, when):
    """Like any other state of the thread it holds for all greenlets from the moment it is set. A function
    that was entered before has no trace function of its own, so its lines are not traced, but its calls are;
    that is so without greenlets too.

    3.12 and later rewrite the code of all functions that are being executed when they are told to profile.
    They do not see those that are parked, which are profiled when they are called the next time; on 3.15 the
    engine tells it of them when they arrive.
    """
    main = getcurrent()
    events = []
    setter = sys.settrace if kind == "trace" else sys.setprofile
    getter = sys.gettrace if kind == "trace" else sys.getprofile
    watched = ("first", "second", "leaf")

    def tracer(frame, event, arg):
        if frame.f_code.co_name in watched and event in ("call", "return"):
            events.append((event, frame.f_code.co_name))
        return tracer

    def leaf():
        pass

    def first():
        leaf()
        if when == "inside":
            setter(tracer)
        main.switch()
        leaf()

    def second():
        leaf()
        main.switch()
        leaf()

    def program():
        one, two = greenlet(first), greenlet(second)
        if when == "before":
            setter(tracer)
        one.switch()
        two.switch()
        if when == "after":
            setter(tracer)
        one.switch()
        two.switch()

    old = getter()
    try:
        program()
    finally:
        setter(old)
    leafs = [("call", "leaf"), ("return", "leaf")]
    before = when == "before"
    # Profiling tells of the return of any function; tracing only of those it has seen called.
    sees_parked = kind == "profile" and (when != "after" or not (3, 12) <= sys.version_info < (3, 15))
    sees_first_end = before or sees_parked
    sees_second_start = when != "after"
    assert events == [
        *([("call", "first"), *leafs] if before else []),
        *([("call", "second"), *leafs] if sees_second_start else []),
        *leafs,
        *([("return", "first")] if sees_first_end else []),
        *leafs,
        *([("return", "second")] if sees_second_start or sees_parked else []),
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_monitoring_sees_all_greenlets_alike():
    monitoring = sys.monitoring
    main = getcurrent()
    events = []

    def leaf():
        pass

    def run():
        leaf()
        main.switch()
        leaf()

    def program():
        one, two = greenlet(run), greenlet(run)
        one.switch()
        two.switch()
        one.switch()
        two.switch()

    tool = next(number for number in range(6) if monitoring.get_tool(number) is None)
    names = {leaf.__code__: "leaf", run.__code__: "run", program.__code__: "program"}
    monitoring.use_tool_id(tool, "test")
    try:
        for event, name in (
            (monitoring.events.PY_START, "start"),
            (monitoring.events.PY_RETURN, "return"),
            (monitoring.events.PY_UNWIND, "unwind"),
        ):
            monitoring.register_callback(
                tool,
                event,
                lambda code, *_, name=name: events.append((name, names[code])) if code in names else None,
            )
        monitoring.set_events(
            tool, monitoring.events.PY_START | monitoring.events.PY_RETURN | monitoring.events.PY_UNWIND
        )
        program()
        dropped = greenlet(run)
        dropped.switch()
        events.append("drop")
        del dropped
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    leafs = [("start", "leaf"), ("return", "leaf")]
    assert events == [
        *(("start", "program"), ("start", "run"), *leafs, ("start", "run"), *leafs),
        *(*leafs, ("return", "run"), *leafs, ("return", "run"), ("return", "program")),
        *(("start", "run"), *leafs, "drop", ("unwind", "run")),
    ]
