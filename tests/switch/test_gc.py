"""The cyclic garbage collector and greenlets."""

import gc
import weakref

from helpers import Recorder, run_isolated

from corolib._switch import GreenletExit, getcurrent, greenlet


class Node:
    pass


def test_cycles_through_fresh_and_dead_greenlets_are_collected():
    for start in (False, True):
        child = greenlet(lambda: None)
        child.me = child
        if start:
            child.switch()
        reference = weakref.ref(child)
        del child
        gc.collect()
        assert reference() is None


def test_a_cycle_through_run_and_through_the_context_is_collected():
    import contextvars

    variable = contextvars.ContextVar("variable")
    node = Node()
    context = contextvars.copy_context()
    node.child = greenlet(node.__init__)
    node.child.gr_context = context
    context.run(variable.set, node)
    reference = weakref.ref(node)
    del node, context
    gc.collect()
    assert reference() is None


def test_a_parked_greenlet_in_a_cycle_outside_its_frames_is_ended_and_collected():
    main = getcurrent()
    record = Recorder()

    def run():
        try:
            main.switch()
        except GreenletExit:
            record("exit")

    child = greenlet(run)
    child.switch()
    child.me = [child]
    reference = weakref.ref(child)
    del child
    gc.collect()
    record.check(["exit"])
    gc.collect()
    assert reference() is None


def test_a_cycle_through_a_parked_frame_is_not_collected_but_can_be_ended():
    """A known limit, the greenlet package's too: frames of parked greenlets are opaque to the collector."""
    main = getcurrent()
    record = Recorder()

    def run():
        me = getcurrent()
        try:
            main.switch()
        finally:
            record("finally")
            assert me

    child = greenlet(run)
    child.switch()
    reference = weakref.ref(child)
    del child
    gc.collect()
    assert reference() is not None
    record.check([])
    reference().throw()
    record.check(["finally"])
    gc.collect()
    assert reference() is None


def test_the_exception_a_parked_greenlet_handles_is_visible_to_the_collector():
    main = getcurrent()
    held = ValueError()

    def run():
        try:
            raise held
        except ValueError:
            main.switch()

    child = greenlet(run)
    child.switch()
    assert held in gc.get_referents(child)
    child.switch()
    assert held not in gc.get_referents(child)


def test_collections_at_every_step_of_switching():
    """Destructors and weak reference callbacks that switch, while everything else switches too."""
    run_isolated(
        """
        import gc, random
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        chance = random.Random(1)
        live, deaths = [], 0

        class Switching:
            busy = False
            def __init__(self):
                self.me = self
            def __del__(self):
                global deaths
                deaths += 1
                if not Switching.busy and live and getcurrent() is main:
                    Switching.busy = True
                    child = live[chance.randrange(len(live))]
                    if not child.dead:
                        child.switch("from __del__")
                    Switching.busy = False

        def run(number):
            for turn in range(30):
                Switching()
                got = main.switch(number)
                assert got in ("from __del__", number), got
            return number

        gc.set_threshold(1)
        for number in range(100):
            child = greenlet(run)
            assert child.switch(number) == number
            live.append(child)
        while not all(child.dead for child in live):
            for number, child in enumerate(live):
                if not child.dead:
                    assert child.switch(number) == number
        live.clear()
        gc.collect()
        assert deaths == 3000, deaths
        """
    )


def test_a_thousand_parked_greenlets_survive_collections():
    main = getcurrent()

    def run(number):
        values = [object() for _ in range(3)]
        alive = [Node() for _ in range(2)]
        for node in alive:
            node.me = node
        main.switch()
        return number, len(values), all(node.me is node for node in alive)

    children = [greenlet(run) for _ in range(1000)]
    for number, child in enumerate(children):
        child.switch(number)
    for generation in range(3):
        gc.collect(generation)
    gc.collect()
    assert [child.switch() for child in children] == [(n, 3, True) for n in range(1000)]
