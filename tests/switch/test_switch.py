"""Switching: what goes in comes out, in the right greenlet."""

import sys

import pytest
from helpers import ROUNDING, Recorder, run_isolated

from corolib import _switch
from corolib._switch import GreenletExit, error, getcurrent, greenlet


def test_the_public_list_is_what_is_there():
    assert sorted(_switch.__all__) == sorted(
        [
            *("greenlet", "getcurrent", "GreenletExit", "error", "settrace", "gettrace", "_C_API"),
            *("add_switch_hook", "remove_switch_hook", "set_lanes", "get_lanes", "stats"),
        ]
    )
    for name in _switch.__all__:
        assert hasattr(_switch, name)


def test_run_gets_the_arguments_and_its_result_comes_back():
    def run(*args, **kwargs):
        return args, kwargs

    assert greenlet(run).switch() == ((), {})
    assert greenlet(run).switch(1) == ((1,), {})
    assert greenlet(run).switch(None) == ((None,), {})
    assert greenlet(run).switch(1, 2, a=3) == ((1, 2), {"a": 3})
    assert greenlet(run).switch(a=3) == ((), {"a": 3})


@pytest.mark.parametrize(
    ("args", "kwargs", "result"),
    [
        ((), {}, ()),
        ((1,), {}, 1),
        ((None,), {}, None),
        (((),), {}, ()),
        ((1, 2), {}, (1, 2)),
        ((), {"a": 1}, {"a": 1}),
        ((1,), {"a": 1}, ((1,), {"a": 1})),
        ((1, 2), {"a": 1}, ((1, 2), {"a": 1})),
    ],
)
def test_what_switch_is_called_with_is_what_the_other_side_returns(args, kwargs, result):
    main = getcurrent()
    got = []

    def run():
        got.append(main.switch())

    child = greenlet(run)
    child.switch()
    child.switch(*args, **kwargs)
    assert got == [result]
    # And in the other direction.
    assert greenlet(lambda: main.switch(*args, **kwargs)).switch() == result


def test_two_greenlets_take_turns():
    record = Recorder()

    def ping():
        record("ping 1")
        b.switch()
        record("ping 2")
        b.switch()

    def pong():
        record("pong 1")
        a.switch()
        record("pong 2")

    a, b = greenlet(ping), greenlet(pong)
    a.switch()
    record.check(["ping 1", "pong 1", "ping 2", "pong 2"])
    assert b.dead
    assert not a.dead


def test_getcurrent_is_the_one_that_runs():
    main = getcurrent()
    seen = []
    child = greenlet(lambda: seen.append(getcurrent()))
    child.switch()
    assert seen == [child]
    assert getcurrent() is main
    assert main.parent is None
    assert child.parent is main


def test_switching_to_oneself_returns_the_arguments():
    assert getcurrent().switch() == ()
    assert getcurrent().switch(1) == 1
    assert getcurrent().switch(1, a=2) == ((1,), {"a": 2})


def test_a_dead_greenlet_stands_for_its_nearest_live_ancestor():
    dead = greenlet(lambda: 1)
    assert dead.switch() == 1
    assert dead.dead
    assert dead.switch(7) == 7
    assert dead.switch() == ()

    def run():
        inner = greenlet(lambda: None, getcurrent())
        inner.switch()
        return inner, inner.switch("to myself")

    outer = greenlet(run)
    inner, value = outer.switch()
    assert value == "to myself"
    assert inner.switch("past both") == "past both"


def test_a_result_can_start_a_parent_that_has_not_run():
    parent = greenlet(lambda value: ("parent got", value))
    child = greenlet(lambda: "result", parent)
    assert child.switch() == ("parent got", "result")


def test_an_exception_ends_a_parent_that_has_not_run_and_goes_on():
    parent = greenlet(lambda value: 1)
    child = greenlet(lambda: 1 / 0, parent)
    with pytest.raises(ZeroDivisionError):
        child.switch()
    assert parent.dead


def test_an_exception_goes_to_the_parent():
    def run():
        raise ValueError("x")

    child = greenlet(run)
    with pytest.raises(ValueError, match="x"):
        child.switch()
    assert child.dead

    def catching():
        try:
            greenlet(run).switch()
        except ValueError:
            return "caught"

    assert greenlet(catching).switch() == "caught"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exceptions_that_end_programs_go_to_the_parent_too(kind):
    def run():
        raise kind(3)

    with pytest.raises(kind, match="3"):
        greenlet(run).switch()


def test_without_run_the_switch_fails_and_changes_nothing():
    child = greenlet()
    with pytest.raises(AttributeError, match="run"):
        child.switch()
    assert not child.dead
    child.run = lambda: 5
    assert child.switch() == 5


def test_run_that_is_not_callable_is_an_error_of_the_greenlet():
    child = greenlet(5)
    with pytest.raises(TypeError, match="not callable"):
        child.switch()
    assert child.dead


def test_run_is_an_attribute_until_the_start():
    def run():
        return hasattr(child, "run")

    child = greenlet(run)
    assert child.run is run
    assert child.switch() is False
    with pytest.raises(AttributeError, match="run"):
        child.run
    with pytest.raises(AttributeError, match="cannot be set after the start"):
        child.run = run
    assert greenlet(None).run is None
    fresh = greenlet(run)
    del fresh.run
    with pytest.raises(AttributeError):
        fresh.run


def test_a_subclass_can_bring_its_own_run():
    class Adder(greenlet):
        def __init__(self, base):
            super().__init__()
            self.base = base

        def run(self, value):
            return self.base + value

    adder = Adder(40)
    assert adder.switch(2) == 42
    assert adder.base == 40

    class Both(greenlet):
        def run(self):
            return "class"

    assert Both(lambda: "argument").switch() == "class"


def test_subclasses_with_slots_and_abstract_ones():
    import abc

    class Slotted(greenlet):
        __slots__ = ("x",)

    slotted = Slotted(lambda: 1)
    slotted.x = 5
    assert slotted.switch() == 1
    assert slotted.x == 5

    class Abstract(greenlet, metaclass=abc.ABCMeta):
        @abc.abstractmethod
        def run(self): ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()


def test_the_look_up_of_run_may_start_the_greenlet_itself():
    class Convoluted(greenlet):
        calls = 0

        def __getattribute__(self, name):
            found = greenlet.__getattribute__(self, name)
            if name == "run":
                Convoluted.calls += 1
                if Convoluted.calls == 1:
                    self.start_me()
            return found

    main = getcurrent()
    got = []

    def run(value):
        got.append(value)
        got.append(main.switch("parked"))
        return "end"

    child = Convoluted(run)
    child.start_me = lambda: got.append(child.switch("inner"))
    # The inner switch starts it and comes back; the outer one then resumes it.
    assert child.switch("outer") == "end"
    assert got == ["inner", "parked", "outer"]


def test_state_and_truth():
    main = getcurrent()
    child = greenlet(main.switch)
    assert (child.dead, bool(child)) == (False, False)
    child.switch()
    assert (child.dead, bool(child)) == (False, True)
    child.switch()
    assert (child.dead, bool(child)) == (True, False)
    assert (main.dead, bool(main)) == (False, True)


def test_repr_tells_the_state():
    main = getcurrent()
    child = greenlet(main.switch)
    assert repr(child).endswith(" pending>")
    child.switch()
    assert repr(child).endswith(" suspended active started>")
    child.switch()
    assert repr(child).endswith(" dead>")
    assert repr(main).endswith(" current active started main>")
    assert repr(main).startswith("<greenlet.greenlet object at 0x")


def test_copying_and_pickling_are_refused():
    import copy
    import pickle

    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot serialize"):
            attempt(greenlet(len))


def test_the_type_carries_the_names_of_the_module():
    assert greenlet.GreenletExit is GreenletExit
    assert greenlet.error is error
    assert greenlet.getcurrent() is getcurrent()
    assert greenlet.gettrace() is None
    assert issubclass(GreenletExit, BaseException)
    assert not issubclass(GreenletExit, Exception)
    assert issubclass(error, Exception)


@pytest.mark.parametrize(
    "call", [lambda: greenlet(1, 2, 3), lambda: greenlet(nonsense=1), lambda: greenlet(1, 2)]
)
def test_wrong_arguments_of_the_constructor(call):
    with pytest.raises(TypeError):
        call()


def test_constructor_keywords():
    main = getcurrent()
    parent = greenlet(len)
    assert greenlet(run=len, parent=parent).parent is parent
    assert greenlet(len, parent=None).parent is main
    assert greenlet(run=len).run is len


def test_a_switch_inside_generators_sorts_and_callbacks():
    main = getcurrent()

    def numbers():
        for i in range(3):
            main.switch(("generator", i))
            yield i

    def run():
        total = sum(numbers())
        total += sum(sorted([3, 1, 2], key=lambda n: main.switch(("key", n))))
        return total

    child = greenlet(run)
    seen = [child.switch()]
    while not child.dead:
        seen.append(child.switch(1))
    assert seen == [*(("generator", i) for i in range(3)), ("key", 3), ("key", 1), ("key", 2), 9]


def test_a_running_generator_cannot_be_entered_from_elsewhere():
    main = getcurrent()

    def numbers():
        main.switch("inside")
        yield 1

    generator = numbers()
    child = greenlet(lambda: list(generator))
    assert child.switch() == "inside"
    for attempt in (lambda: next(generator), generator.close, lambda: generator.throw(ValueError)):
        with pytest.raises(ValueError, match="already executing"):
            attempt()
    assert child.switch() == [1]


def test_exceptions_being_handled_stay_with_their_greenlet():
    main = getcurrent()

    def run(raised):
        assert sys.exc_info() == (None, None, None)
        try:
            raise raised
        except type(raised):
            main.switch()
            assert sys.exc_info()[1] is raised
            try:
                raise LookupError
            except LookupError as inner:
                main.switch()
                assert inner.__context__ is raised
            assert sys.exc_info()[1] is raised
            with pytest.raises(type(raised)):
                raise
        assert sys.exc_info() == (None, None, None)
        return raised

    try:
        raise RuntimeError("main's")
    except RuntimeError as mine:
        a, b = greenlet(run), greenlet(run)
        raised = [ValueError(), TypeError()]
        for child, its in zip((a, b), raised, strict=True):
            child.switch(its)
        for _ in range(2):
            for child in (a, b):
                assert sys.exc_info()[1] is mine
                result = child.switch()
        assert result is raised[1]
        assert a.dead and b.dead


def test_each_greenlet_has_the_full_recursion_depth():
    def depth(n=0):
        try:
            return depth(n + 1)
        except RecursionError:
            return n

    def nest(levels):
        return greenlet(nest).switch(levels - 1) if levels else depth()

    outside = depth()
    limit = sys.getrecursionlimit()
    assert limit - 5 < greenlet(depth).switch() <= limit
    # Not a matter of who created it, nor how deep that one stands.
    assert limit - 5 < nest(100) <= limit
    assert depth() == outside


def test_recursion_through_c_ends_in_an_exception_too():
    done = run_isolated(
        """
        from corolib._switch import greenlet

        def through_c():
            return sorted([1], key=lambda _: through_c())

        for _ in range(3):
            try:
                greenlet(through_c).switch()
            except RecursionError:
                print("RecursionError")
        """
    )
    assert done.stdout.split() == ["RecursionError"] * 3


def test_a_recursion_limit_set_while_parked_holds_for_the_parked_one():
    done = run_isolated(
        """
        import sys
        from corolib._switch import getcurrent, greenlet

        main = getcurrent()

        def depth(n=0):
            try:
                return depth(n + 1)
            except RecursionError:
                return n

        def run():
            main.switch()
            return depth()

        sys.setrecursionlimit(400)
        child = greenlet(run)
        child.switch()
        sys.setrecursionlimit(5000)
        assert child.switch() > 4500
        """
    )
    assert done.stderr == ""


def test_deep_python_frames_park_and_come_back():
    main = getcurrent()

    def deep(n):
        return n + deep(n - 1) if n else main.switch("deep")

    children = [greenlet(deep) for _ in range(20)]
    for child in children:
        assert child.switch(300) == "deep"
    for child in children:
        assert child.switch(0) == sum(range(301))


def test_the_floating_point_environment_stays_with_its_greenlet():
    # Python does not change it, so ask the C library: rounding upwards in one greenlet only.
    import ctypes
    import ctypes.util

    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    main = getcurrent()
    FE_UPWARD = ROUNDING[1]

    def run():
        libm.fesetround(FE_UPWARD)
        main.switch()
        return libm.fegetround()

    child = greenlet(run)
    child.switch()
    assert libm.fegetround() == 0
    assert child.switch() == FE_UPWARD
    assert libm.fegetround() == 0


def test_a_subinterpreter_is_refused():
    script = """
        try:
            import _interpreters as interpreters
            run = lambda id, code: interpreters.exec(id, code)
        except ImportError:
            import _xxsubinterpreters as interpreters
            run = interpreters.run_string
        import sys
        id = interpreters.create()
        refused = run(id, f"import sys; sys.path[:] = {sys.path!r}\\n"
            "try:\\n    import corolib._switch\\nexcept ImportError as e:\\n    print('refused:', e)\\n")
        assert refused is None, refused
        """
    done = run_isolated(script)
    assert done.stdout.startswith("refused:")


def test_importing_it_again_gives_the_same_type():
    run_isolated(
        """
        import importlib, sys
        from corolib import _switch
        for name in ("corolib._switch", "corolib._switch._engine"):
            del sys.modules[name]
        again = importlib.import_module("corolib._switch")
        assert again is not _switch
        assert again.greenlet is _switch.greenlet
        assert again.GreenletExit is _switch.GreenletExit
        assert again.greenlet(lambda: 3).switch() == 3
        """
    )


def test_the_exit_status_of_a_program_survives_parked_greenlets():
    script = """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        parked = [greenlet(main.switch) for _ in range(1000)]
        for g in parked:
            g.switch()
        greenlet(lambda: sys.exit(7)).switch()
        """
    assert run_isolated(script, check=False).returncode == 7
