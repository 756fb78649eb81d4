"""The end of a greenlet: finished, dropped, killed, resurrected, left over at exit."""

import gc
import sys
import weakref

import pytest
from helpers import Recorder, run_isolated

from corolib._switch import GreenletExit, getcurrent, greenlet, stats


class Catch:
    """Collects what goes to sys.unraisablehook."""

    def __enter__(self):
        self.caught = []
        self.old, sys.unraisablehook = sys.unraisablehook, self.hook
        return self.caught

    def hook(self, args):
        self.caught.append((args.exc_type, str(args.exc_value)))

    def __exit__(self, *args):
        sys.unraisablehook = self.old


def parked(run):
    child = greenlet(run)
    child.switch()
    return child


def test_dropping_a_suspended_greenlet_throws_greenlet_exit():
    main = getcurrent()
    record = Recorder()

    def run():
        try:
            main.switch()
        except GreenletExit as raised:
            record(raised.args)
            raise
        finally:
            record("finally")

    child = parked(run)
    record("drop")
    del child
    record("dropped")
    record.check(["drop", (), "finally", "dropped"])


def test_an_exception_in_flight_survives_a_drop():
    main = getcurrent()
    child = parked(main.switch)
    with pytest.raises(LookupError):
        try:
            raise LookupError
        finally:
            del child
    # Also when the greenlet is dropped by the switch that carries the exception away.
    with pytest.raises(LookupError):

        def run():
            local = parked(getcurrent().switch)
            assert local
            raise LookupError

        greenlet(run).switch()


def test_what_it_raises_when_dropped_is_reported():
    main = getcurrent()

    def run():
        try:
            main.switch()
        finally:
            raise ValueError("from finally")

    child = parked(run)
    with Catch() as caught:
        del child
    assert caught == [(ValueError, "from finally")]


def test_dropping_a_finished_or_fresh_one_runs_nothing():
    record = Recorder()
    child = greenlet(lambda: record("ran"))
    del child
    record.check([])
    child = greenlet(lambda: record("ran"))
    child.switch()
    del child
    record.check(["ran"])


def test_it_can_be_resurrected_in_its_last_moment():
    main = getcurrent()
    saved = []

    def run():
        try:
            main.switch()
        except GreenletExit:
            saved.append(getcurrent())
        return main.switch("alive")

    child = parked(run)
    reference = weakref.ref(child)
    del child
    assert reference() is saved[0]
    assert bool(saved[0])
    assert saved.pop().switch("result") == "result"
    assert reference() is None


def test_the_second_drop_throws_again():
    main = getcurrent()
    saved, record = [], Recorder()

    def run():
        for turn in range(2):
            try:
                saved[:] = [getcurrent()] if turn else []
                main.switch()
            except GreenletExit:
                record(turn)
        return None

    child = parked(run)
    saved.append(child)
    del child
    saved.clear()
    record.check([0, 1] if not saved else [0])
    saved.clear()
    record.check([0, 1])


@pytest.mark.leaky(True, reason="who catches GreenletExit for ever is leaked")
def test_one_that_will_not_die_is_reported_and_kept_from_harm():
    main = getcurrent()
    before = stats()["greenlets"]

    def run():
        while True:
            try:
                main.switch()
            except GreenletExit:
                pass

    child = parked(run)
    with Catch() as caught:
        del child
        gc.collect()
    assert [kind for kind, _ in caught] == [RuntimeError]
    assert "parked again" in caught[0][1]
    assert stats()["greenlets"] == before + 1  # leaked with its stack; nothing else can be done


def test_dropping_inside_itself_ends_it_normally():
    main = getcurrent()
    child = None

    def run():
        nonlocal child
        child = None
        main.switch("I hold myself up by running")
        return "never"

    child = greenlet(run)
    reference = weakref.ref(child)
    with Catch() as caught:
        child.switch()
        assert caught == []
    assert reference() is None


def test_the_last_reference_goes_with_the_switch_away():
    main = getcurrent()
    record = Recorder()

    def run():
        try:
            main.switch("parked")
        finally:
            record("ended")

    assert greenlet(run).switch() == "parked"
    record.check(["ended"])


def test_the_target_is_kept_alive_by_running():
    def run():
        gc.collect()
        return getcurrent()

    child = greenlet(run).switch()
    assert child.dead


def test_results_and_arguments_are_not_leaked():
    class Thing:
        pass

    main = getcurrent()
    things = [Thing() for _ in range(4)]
    alive = [weakref.ref(thing) for thing in things]
    child = greenlet(lambda a, b: (main.switch(a), b)[1])
    assert child.switch(things[0], b=things[1]) is things[0]
    assert child.switch(things[2]) is things[1]
    child = parked(main.switch)
    child.switch(things[3])
    del things
    assert [reference() for reference in alive] == [None] * 4


def test_reference_counts_stay_level():
    main = getcurrent()

    def run(*args):
        try:
            main.switch(*args)
        except ValueError:
            pass
        return args

    value = object()

    def cycle():
        child = greenlet(run)
        child.switch(value, value)
        child.switch(value)
        child = greenlet(run)
        child.switch(value)
        child.throw(ValueError)
        child = greenlet(run, parent=main)
        child.switch(value)
        del child

    for _ in range(10):
        cycle()
    tracked = [value, main, run, greenlet, (), None]
    gc.collect()
    before = [sys.getrefcount(thing) for thing in tracked[:4]]
    for _ in range(1000):
        cycle()
    gc.collect()
    after = [sys.getrefcount(thing) for thing in tracked[:4]]
    assert after == before


def test_subclasses_do_not_leak_their_type():
    class Sub(greenlet):
        __slots__ = ("x",)

        def __del__(self):
            pass

    main = getcurrent()

    def cycle():
        child = Sub(main.switch)
        child.x = child
        child.switch()
        del child.x
        child = Sub(len)
        child.x = [child]
        del child

    for _ in range(10):
        cycle()
    gc.collect()
    before = sys.getrefcount(Sub)
    for _ in range(1000):
        cycle()
    gc.collect()
    assert sys.getrefcount(Sub) == before


def test_weak_references_and_attributes():
    child = greenlet(len)
    reference = weakref.ref(child)
    child.attribute = 1
    assert child.__dict__ == {"attribute": 1}
    assert reference() is child
    del child
    assert reference() is None


def test_a_callback_of_a_weak_reference_may_switch():
    main = getcurrent()
    record = Recorder()
    other = greenlet(lambda: main.switch(record("other")))
    child = parked(main.switch)
    reference = weakref.ref(child, lambda _: other.switch())
    del child
    record.check(["other"])
    assert reference() is None


def test_objects_are_reused_without_remembering():
    main = getcurrent()
    for _ in range(1000):
        child = greenlet(lambda: None)
        assert not child.dead
        assert child.gr_context is None
        assert child.__dict__ == {}
        assert weakref.ref(child)() is child
        child.mark = True
        child.switch()
        del child
    # The second life of an object must have its finalizer too.
    record = Recorder()

    def run():
        try:
            main.switch()
        finally:
            record("finally")

    for _ in range(3):
        child = parked(run)
        del child
    record.check(["finally"] * 3)


def test_switching_in_a_destructor_deep_in_a_chain_of_containers():
    """The interpreter defers deep deallocations; its counters must be the greenlet's own."""
    main = getcurrent()
    freed = []

    class Switching:
        def __init__(self, number):
            self.number = number

        def __del__(self):
            main.switch() if getcurrent() is not main else None
            freed.append(self.number)

    def chain(depth, number):
        chained = Switching(number)
        for level in range(500):
            chained = (chained, Switching(number)) if level == depth else (chained,)
        return chained

    def run(depth, number):
        chained = chain(depth, number)
        del chained

    children = [greenlet(run) for _ in range(40)]
    for number, child in enumerate(children):
        child.switch((45, 50)[number % 2], number)
    while not all(child.dead for child in children):
        for child in children:
            if not child.dead:
                child.switch()
    assert sorted(freed) == sorted(list(range(40)) * 2)


def test_greenlets_still_parked_at_the_end_of_the_program():
    """Policy, as in the greenlet package: what the end of the program drops by reference count is ended, with
    its finally blocks; what it does not reach (a parked frame is opaque to the collector) is left as it is.
    """
    done = run_isolated(
        """
        import builtins
        from corolib._switch import getcurrent, greenlet

        def make():
            main = getcurrent()
            def run(print=print):
                try:
                    main.switch()
                finally:
                    print("finally")
            child = greenlet(run)
            child.switch()
            return child

        class Holder:
            child = None
            def __del__(self, print=print):
                print("holder")
                self.child = None

        left = make()
        reached = Holder()
        reached.child = make()
        builtins.reached = reached
        del reached
        print("end of program")
        """
    )
    assert done.stdout.split("\n")[:3] == ["end of program", "holder", "finally"]
    assert done.stderr == ""


def test_at_exit_everything_works_and_later_getcurrent_says_no():
    done = run_isolated(
        """
        import atexit, gc
        from corolib._switch import getcurrent, greenlet
        gc.disable()

        @atexit.register
        def handler():
            print("atexit", greenlet(lambda: getcurrent().parent.switch("works")).switch())

        class Late:
            def __del__(self, getcurrent=getcurrent, print=print):
                try:
                    getcurrent()
                except RuntimeError as error:
                    print(error)

        late = Late()
        late.cycle = late
        del late
        """
    )
    assert done.stdout.split("\n")[:2] == ["atexit works", "greenlet is being finalized"]
    assert done.stderr == ""


@pytest.mark.parametrize("how", ["del", "cycle", "thread", "global"])
def test_switching_while_the_interpreter_goes_down_does_not_crash(how):
    run_isolated(
        """
        import sys, threading
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        how = sys.argv[1]

        class Switcher:
            def __init__(self):
                self.child = greenlet(self.run)
                self.child.switch()
            def run(self, main=main):
                while True:
                    main.switch()
            def __del__(self, greenlet=greenlet):
                try:
                    self.child.switch()
                    greenlet(lambda: None).switch()
                except Exception:
                    pass

        if how == "del":
            kept = Switcher()
        elif how == "cycle":
            kept = Switcher(); kept.kept = kept; del kept
        elif how == "thread":
            thread = threading.Thread(target=lambda: globals().update(kept=Switcher()))
            thread.start(); thread.join()
        else:
            sys.kept = Switcher()
        """,
        how,
    )


@pytest.mark.heavy
def test_memory_stays_level_over_many_lives():
    run_isolated(
        """
        import resource
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()

        def deep(n):
            return deep(n - 1) if n else main.switch()

        def wave():
            children = [greenlet(deep) for _ in range(2000)]
            for number, child in enumerate(children):
                child.switch(number % 40)
            for child in children[::2]:
                child.switch()
            children.clear()
            for _ in range(20000):
                greenlet(len).switch([])

        for _ in range(3):
            wave()
        before = size()
        for _ in range(10):
            wave()
        assert size() - before < 2 << 20, size() - before
        """
    )
