"""The cyclic garbage collector and greenlets."""

import gc
import sys
import weakref

import pytest
from helpers import Recorder, in_thread, run_isolated

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


def test_a_cycle_through_a_parked_frame_is_collected_and_its_clean_up_code_runs():
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
    record.check(["finally"])
    assert reference() is None


@pytest.mark.parametrize("way", ["evicted", "resident"])
def test_a_cycle_through_callers_cells_and_c_functions_is_collected(way):
    main = getcurrent()
    record = Recorder()

    class Holder:
        pass

    def inner(holder):
        # C functions in between, and none of their own variables leads back.
        sorted([1], key=lambda _: main.switch())

    def outer(number, me):
        holder = Holder()
        holder.me = me
        try:
            (lambda: inner(holder))()
        finally:
            record(number)

    count = 200 if way == "evicted" else 3
    references = []
    for number in range(count):
        child = greenlet(outer)
        child.switch(number, child)
        references.append(weakref.ref(child))
    del child
    gc.collect()
    record.check([set(range(count))])
    assert [reference() for reference in references] == [None] * count


@pytest.mark.parametrize(
    "called",
    [
        "a Python function",
        pytest.param(
            "a C function",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 14), reason="the height of that stack is not in the frame before 3.14"
            ),
        ),
    ],
)
def test_a_cycle_through_an_evaluation_stack_is_collected(called):
    main = getcurrent()
    record = Recorder()

    def switch(_):
        main.switch()

    def run():
        try:
            for _ in [getcurrent()]:  # the iterator is nobody's variable
                (switch if called == "a Python function" else main.switch)([getcurrent()])
        finally:
            record("finally")

    child = greenlet(run)
    child.switch()
    reference = weakref.ref(child)
    del child
    gc.collect()
    record.check(["finally"])
    assert reference() is None


def test_what_only_a_parked_frame_refers_to_stays_alive():
    main = getcurrent()

    class Thing:
        pass

    def run(depth):
        mine = [Thing(), {depth: Thing()}, Thing()]
        mine[0].me = mine
        if depth:
            sorted([1], key=lambda _: run(depth - 1))
        else:
            main.switch()
        return [type(thing) for thing in (mine[0], mine[1][depth], mine[2], mine[0].me[2])]

    children = [greenlet(run) for _ in range(100)]
    for number, child in enumerate(children):
        child.switch(number % 6)
    for _ in range(3):
        gc.collect()
    assert [child.switch() for child in children] == [[Thing] * 4] * 100


def test_greenlets_that_only_wait_for_each_other_are_collected_together():
    main = getcurrent()
    record = Recorder()
    references = []

    def run(number, others):
        try:
            main.switch()
        finally:
            record((number, len(others)))

    for _ in range(20):
        children = [greenlet(run) for _ in range(3)]
        for number, child in enumerate(children):
            child.switch(number, children)
        references += map(weakref.ref, children)
    del children, child
    gc.collect()
    assert [reference() for reference in references] == [None] * 60
    assert sorted(record.items) == sorted([(number, 3) for number in range(3)] * 20)


def test_a_collected_greenlet_may_catch_its_end_and_live_on():
    main = getcurrent()
    saved = []

    def run():
        me = getcurrent()
        try:
            main.switch()
        except GreenletExit:
            saved.append(me)
        main.switch()
        return "went on"

    child = greenlet(run)
    child.switch()
    del child
    gc.collect()
    assert len(saved) == 1
    assert not saved[0].dead
    gc.collect()
    assert saved[0].switch() == "went on"


def test_a_cycle_through_the_frames_of_a_dead_thread_is_collected():
    references, things = [], []

    class Thing:
        pass

    def run():
        me = getcurrent()
        thing = Thing()
        things.append(weakref.ref(thing))
        me.parent.switch()
        return thing

    def thread():
        for _ in range(10):
            child = greenlet(run)
            child.switch()
            references.append(weakref.ref(child))

    in_thread(thread)
    gc.collect()
    assert [reference() for reference in references] == [None] * 10
    assert [thing() for thing in things] == [None] * 10


def test_a_frame_that_somebody_holds_outlives_its_dead_thread_and_its_greenlet():
    frames = []

    def run():
        local = "kept"
        getcurrent().parent.switch()
        return local

    def thread():
        child = greenlet(run)
        child.switch()
        frames.append(child.gr_frame)

    in_thread(thread)
    gc.collect()
    assert frames[0].f_locals == {"local": "kept"}
    assert frames[0].f_code is run.__code__


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


KILLS = """
    import gc
    from corolib._switch import getcurrent, greenlet
    gc.disable()
    main = getcurrent()

    class Node:
        pass

    class Kind(greenlet):
        __slots__ = ("node",)

    def victim():
        try:
            main.switch()
        finally:
            # Frees what the collector would have come to next.
            me = getcurrent()
            node, me.node = me.node, None
            del me
            while node is not None:
                node.me = node.child = None
                node = node.__dict__.pop("next", None)

    def make():
        child = Kind(victim)
        child.switch()
        node = child.node = Node()
        node.child = child
        for _ in range(20):
            node.me = node
            node.next = Node()
            node = node.next

    for _ in range(50):
        make()
        greenlet(gc.collect).switch()
"""

LEAVES = """
    import gc
    from corolib._switch import getcurrent, greenlet
    gc.disable()
    main = getcurrent()
    box = []

    class Node:
        def __init__(self):
            self.me = self

    class Dying(Node):
        def __del__(self):
            box.append(self.__dict__.pop("next"))
            main.switch()

    def collector():
        dying = Dying()
        node = dying
        for _ in range(20):
            node.next = Node()
            node = node.next
        del dying, node
        gc.collect()

    def deep(levels):
        return sorted([1], key=lambda _: deep(levels - 1)) if levels else main.switch()

    for _ in range(20):
        child = greenlet(collector)
        child.switch()
        # Its stack goes to others, while what it had in its lists is freed.
        others = [greenlet(deep) for _ in range(3)]
        for other in others:
            other.switch(5)
        node = box.pop()
        while node is not None:
            node.me = None
            node = node.__dict__.pop("next", None)
        child.switch()
        assert child.dead
"""


# A collection keeps the heads of its lists on the stack, against the stack rule: were the slice copied away
# when a destructor leaves it, objects that are freed meanwhile would write to where the heads were.
@pytest.mark.parametrize("lanes", [1, 64])
@pytest.mark.parametrize(
    "script", [KILLS, LEAVES], ids=["it kills a parked greenlet", "a destructor leaves it"]
)
def test_a_collection_in_a_greenlet_whose_stack_is_wanted_meanwhile(script, lanes):
    run_isolated(script, env={"COROLIB_LANES": str(lanes)}, options=["-X", "faulthandler"])
