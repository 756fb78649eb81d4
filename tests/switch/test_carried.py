"""What the interpreter keeps per thread and a switch has to carry: nesting counters, frame memory,
exceptions, what a sort or a running loop holds.
"""

import asyncio
import contextvars
import gc
import sys

import pytest
from helpers import Recorder, run_isolated

from corolib._switch import getcurrent, greenlet


class Oops(Exception):
    pass


DEALLOCATION = """
    import gc, sys
    from corolib._switch import getcurrent, greenlet

    rounds = int(sys.argv[1])
    main = getcurrent()
    made = freed = 0

    class Switching:
        # Goes elsewhere in the middle of its container's deallocation: a child to main, main to a child.
        def __init__(self):
            global made
            made += 1
            self.freed = False

        def __del__(self):
            global freed
            assert not self.freed
            self.freed = True
            me = getcurrent()
            if me is not main:
                main.switch()
            elif waiting:
                waiting.pop().switch()
            freed += 1

    def chain(depth):
        chained = Switching()
        for level in range(500):
            chained = (chained, Switching()) if level == depth else (chained,)
        return chained

    def run(depth):
        for _ in range(2):
            chained = chain(depth)
            del chained

    waiting = []
    for turn in range(rounds):
        children = [greenlet(run) for _ in range(6)]
        for number, child in enumerate(children):
            child.switch((45, 50)[number % 2])
        waiting = [child for child in children[:4] if not child.dead]
        # Main frees a chain of its own while four children stand in the middle of theirs.
        for depth in (45, 50):
            chained = chain(depth)
            del chained
        while not all(child.dead for child in children):
            for child in children:
                if not child.dead:
                    child.switch()
        waiting.clear()
    # A counter that was left too high would keep what is freed now on a list that nobody empties.
    deep = chain(0)
    del deep
    gc.collect()
    assert freed == made, (freed, made)
"""


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lanes", [1, 64])
def test_destructors_that_switch_deep_in_nested_containers_in_both_directions(rounds, lanes):
    run_isolated(DEALLOCATION, rounds, env={"COROLIB_LANES": str(lanes)})


@pytest.mark.heavy
def test_half_a_million_lives_with_frames_beyond_the_first_chunk_leave_no_memory():
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

        def lives(count):
            for _ in range(count):
                child = greenlet(deep)
                child.switch(20)
                child.switch()

        lives(20_000)
        before = size()
        lives(500_000)
        assert size() - before < 256 << 10, size() - before
        """
    )


def sorting(step):
    return sorted([3, 1, 2], key=lambda n: step() or n) == [1, 2, 3]


def sorting_in_place(step):
    values = [3, 1, 2]
    values.sort(key=lambda n: step() or n)
    return values == [1, 2, 3]


def hashing(step):
    class Key:
        def __init__(self, number):
            self.number = number

        def __hash__(self):
            step()
            return 1  # all collide, so that they are compared as well

        def __eq__(self, other):
            step()
            return self.number == other.number

    keys = [Key(n) for n in range(3)]
    table = {}
    table.update((key, key.number) for key in keys)
    both = set(keys) & {keys[0], keys[2]}
    return sorted(table.values()) == [0, 1, 2] and {key.number for key in both} == {0, 2}


def comparing(step):
    class Item:
        def __eq__(self, other):
            step()
            return False

    item = Item()
    return [Item()] * 3 != [item] * 3 and item not in [Item(), Item()] and not [Item()].count(item)


@pytest.mark.parametrize("pair", [(a, b) for a in (sorting, hashing) for b in (sorting_in_place, comparing)])
def test_two_greenlets_inside_operations_on_containers(pair, tmp_path):
    """On a build without the GIL these hold critical sections; with it, the same has to work."""
    main = getcurrent()
    path = tmp_path / "file"

    def run(operation):
        done = []
        for _ in range(10):
            done.append(operation(main.switch))
            with open(path, "w") as file:  # blocks, and so gives up what the thread holds
                file.write("x")
        return all(done)

    children = [greenlet(run) for _ in pair]
    for child, operation in zip(children, pair, strict=True):
        child.switch(operation)
    results = []
    while len(results) < 2:
        for child in [child for child in children if not child.dead]:
            result = child.switch()
            path.read_text() if path.exists() else None
            if child.dead:
                results.append(result)
    assert results == [True, True]


def test_a_list_that_is_being_sorted_elsewhere_says_so():
    main = getcurrent()
    values = [3, 1, 2]
    child = greenlet(lambda: values.sort(key=lambda n: main.switch() or n))
    child.switch()
    values.append(4)  # the list looks empty meanwhile, as from any key function
    child.switch()
    child.switch()
    with pytest.raises(ValueError, match="list modified during sort"):
        child.switch()


def test_functions_and_classes_held_by_parked_frames_only():
    main = getcurrent()

    def run(number):
        def function(value):
            return value + number

        class Class:
            base = number

            def method(self):
                return self.base * 2, function(1)

        bound = Class().method
        del Class
        main.switch()
        return bound(), type(bound.__self__).__name__, function(2)

    children = [greenlet(run) for _ in range(1000)]
    for number, child in enumerate(children):
        child.switch(number)
    for _ in range(3):
        gc.collect()
        [type("Other", (), {"method": lambda self: None}) for _ in range(50)]
    assert [child.switch() for child in children] == [
        ((number * 2, number + 1), "Class", number + 2) for number in range(1000)
    ]


# --- exceptions being handled -----------------------------------------------------------------------------


def in_except(raised, step):
    try:
        raise raised
    except Oops:
        step()
        assert sys.exc_info()[1] is raised
        raise  # a bare one finds it too


def in_finally(raised, step):
    try:
        raise raised
    finally:
        step()
        assert sys.exc_info()[1] is raised


def in_exit(raised, step):
    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, kind, value, traceback):
            step()
            assert value is raised is sys.exc_info()[1]

    with Manager():
        raise raised


def in_a_generator(raised, step):
    def generator():
        try:
            yield
        except Oops:
            step()
            assert sys.exc_info()[1] is raised
            raise

    running = generator()
    next(running)
    running.throw(raised)


PLACES = [in_except, in_finally, in_exit, in_a_generator]


def nested(places, raised, step):
    """Raise the first inside the handling of the second, and so on; all of them come out as one chain."""
    place, *others = places
    if not others:
        return place(raised[0], step)

    def inner():
        step()
        try:
            nested(others, raised[1:], step)
        except Oops as caught:
            assert caught is raised[1]
        step()

    return place(raised[0], inner)


def chain_of(places, step):
    """Which exception is the context of which, by number, after nested()."""
    raised = [Oops(str(level)) for level in range(3)]
    assert sys.exc_info() == (None, None, None)
    with pytest.raises(Oops) as caught:
        nested(places, raised, step)
    assert caught.value is raised[0]
    assert sys.exc_info() == (None, None, None)
    # Throwing an exception into a generator gives it no context, in any version.
    return [raised.index(one.__context__) if one.__context__ else None for one in raised]


@pytest.mark.parametrize("hers", PLACES)
@pytest.mark.parametrize("his", PLACES)
def test_each_greenlet_keeps_its_chain_of_exceptions(his, hers):
    main = getcurrent()
    where = {"his": [his, hers, his], "hers": [hers, his, hers]}
    without = {name: chain_of(places, lambda: None) for name, places in where.items()}
    found = {}

    def run(name):
        found[name] = chain_of(where[name], main.switch)

    children = [greenlet(run), greenlet(run)]
    try:
        raise LookupError
    except LookupError as mine:
        for child, name in zip(children, where, strict=True):
            child.switch(name)
        while len(found) < 2:
            for child in children:
                assert sys.exc_info()[1] is mine
                if not child.dead:
                    child.switch()
        assert mine.__context__ is None
    assert found == without


def test_throwing_into_a_greenlet_from_a_coroutine_of_a_running_loop():
    main = getcurrent()
    record = Recorder()

    def run():
        try:
            main.switch()
        except Oops as thrown:
            record(("child", thrown.__traceback__ is not None))
            raise

    async def fails():
        await asyncio.sleep(0)
        raise Oops("in the coroutine")

    async def coroutine():
        child = greenlet(run)
        child.switch()
        try:
            await fails()
        except Oops as raised:
            with pytest.raises(Oops) as caught:
                child.throw(*sys.exc_info())
            assert caught.value is raised
        assert child.dead
        await asyncio.sleep(0)
        record("awaits again")
        with pytest.raises(Oops):
            await fails()
        return "result"

    assert asyncio.run(coroutine()) == "result"
    record.check([("child", True), "awaits again"])


def test_a_greenlet_whose_parent_runs_a_loop_gets_exceptions_through_it():
    """The parent stands inside of the loop, in a coroutine's step."""
    main = getcurrent()

    def loop():
        async def coroutine():
            with pytest.raises(Oops):
                inner.switch()
            await asyncio.sleep(0)
            return "loop goes on"

        inner = greenlet(lambda: main.switch(inner))
        return asyncio.run(coroutine())

    inner = greenlet(loop).switch()
    try:
        raise Oops
    except Oops:
        assert inner.throw(*sys.exc_info()) == "loop goes on"


# --- depth ------------------------------------------------------------------------------------------------

NESTING = """
    import sys
    from corolib._switch import getcurrent, greenlet

    nested, standing = int(sys.argv[1]), int(sys.argv[2])
    sys.setrecursionlimit(1000)
    overflows = []

    def recurse(depth, then=None):
        if depth:
            return recurse(depth - 1, then)
        return then() if then else None

    def endless():
        return endless()

    def nest(level, stand):
        recurse(900)
        if level == nested // 2:
            try:
                endless()
            except RecursionError:
                overflows.append(level)
        if level:
            below = lambda: greenlet(nest).switch(level - 1, stand)
            # Standing 900 deep while the next one runs, or back at the top.
            return (recurse(900, below) if stand else below()) + 1
        return 1

    assert greenlet(nest).switch(nested, False) == nested + 1
    assert overflows == [nested // 2]
    overflows.clear()
    nested = standing
    assert greenlet(nest).switch(standing, True) == standing + 1
    assert overflows == [standing // 2]
    recurse(900)
    greenlet(recurse).switch(900)
"""


@pytest.mark.parametrize(
    ("nested", "standing"),
    [(1000, 100), pytest.param(10_000, 2000, marks=[pytest.mark.slow, pytest.mark.hang_after(300)])],
)
@pytest.mark.parametrize("lanes", [1, 64])
def test_greenlets_nested_in_each_other_have_the_full_depth_each(nested, standing, lanes):
    run_isolated(NESTING, nested, standing, env={"COROLIB_LANES": str(lanes)}, timeout=200)


# --- generators -------------------------------------------------------------------------------------------


def test_a_generator_that_is_parked_in_another_greenlet_can_be_neither_closed_nor_entered():
    main = getcurrent()
    record = Recorder()

    def numbers():
        try:
            main.switch("inside")
            yield 1
            main.switch("inside again")
            yield 2
        finally:
            record("closed")

    generator = numbers()
    child = greenlet(lambda: [next(generator), next(generator)])
    for where in ("inside", "inside again"):
        assert child.switch() == where
        for attempt in (
            lambda: next(generator),
            lambda: generator.throw(Oops),
            generator.close,
            lambda: generator.send(1),
        ):
            with pytest.raises(ValueError, match="already executing"):
                attempt()
        assert generator.gi_running
    assert child.switch() == [1, 2]
    assert not generator.gi_running
    generator.close()
    record.check(["closed"])


def test_a_generator_may_be_driven_by_several_greenlets_in_turn():
    main = getcurrent()

    def numbers():
        for n in range(6):
            # Whoever drives it is who leaves, and comes back here.
            yield n, main.switch(("driving", n))

    generator = numbers()
    children = [greenlet(lambda: next(generator)) for _ in range(6)]
    for n, child in enumerate(children):
        assert child.switch() == ("driving", n)
        assert child.switch("go") == (n, "go")
    with pytest.raises(StopIteration):
        next(generator)


def test_the_finalizer_of_an_asynchronous_generator_may_switch():
    main = getcurrent()
    record = Recorder()

    async def numbers():
        try:
            yield 1
        finally:
            record("closed")

    def finalizer(generator):
        record("finalizer")
        side.switch()
        try:
            generator.aclose().send(None)
        except StopIteration:
            pass

    side = greenlet(lambda: [record("side"), main.switch(), None][2])

    def run():
        old = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=finalizer)
        try:
            generator = numbers()
            step = generator.__anext__()
            with pytest.raises(StopIteration):
                step.send(None)
            del step
            record("drop")
            del generator
            record("dropped")
        finally:
            sys.set_asyncgen_hooks(*old)

    child = greenlet(run)
    child.switch()
    record.check(["drop", "finalizer", "side"])
    child.switch()
    record.check(["drop", "finalizer", "side", "closed", "dropped"])


def test_a_coroutine_driven_by_hand_across_switches():
    main = getcurrent()

    async def inner():
        return main.switch("in the coroutine")

    async def outer():
        return await inner(), await inner()

    def drive():
        coroutine = outer()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value

    child = greenlet(drive)
    assert child.switch() == "in the coroutine"
    assert child.switch(1) == "in the coroutine"
    assert child.switch(2) == (1, 2)


# --- contexts ---------------------------------------------------------------------------------------------


def test_a_context_entered_in_one_greenlet_cannot_be_entered_in_another():
    main = getcurrent()
    context = contextvars.Context()
    before = sys.getrefcount(context)

    def enter():
        return context.run(main.switch, "entered")

    for _ in range(200):
        first, second = greenlet(enter), greenlet(enter)
        assert first.switch() == "entered"
        with pytest.raises(RuntimeError, match="already entered"):
            second.switch()
        assert second.dead
        assert first.switch("out") == "out"
        assert greenlet(enter).switch() == "entered"  # dropped at once, which leaves it
        del first, second
    assert context.run(lambda: 1) == 1
    gc.collect()
    assert sys.getrefcount(context) == before


@pytest.mark.parametrize("state", ["fresh", "suspended", "inside run", "dead"])
@pytest.mark.parametrize("where", ["same thread", "other thread"])
@pytest.mark.parametrize("value", ["context", "none", "wrong"])
def test_assigning_a_context_in_every_state_from_every_thread(state, where, value):
    from helpers import in_thread

    main = getcurrent()
    variable = contextvars.ContextVar("variable", default="default")
    given = contextvars.Context()
    given.run(variable.set, "given")
    own = contextvars.Context()

    def run():
        if state == "inside run":
            own.run(main.switch)
        else:
            main.switch()
        return variable.get()

    child = greenlet(run)
    if state != "fresh":
        child.switch()
    if state == "dead":
        child.switch()

    new = {"context": given, "none": None, "wrong": "text"}[value]
    before = child.gr_context

    def assign():
        child.gr_context = new

    def attempt():
        try:
            assign()
        except TypeError:
            return "TypeError"
        return "assigned"

    outcome = in_thread(attempt) if where == "other thread" else attempt()
    assert outcome == ("TypeError" if value == "wrong" else "assigned")
    assert child.gr_context is (before if value == "wrong" else new)
    if state == "fresh":
        child.switch()
    if state == "inside run" and value != "wrong":
        # Context.run finds another context than the one it has entered, and says so; the old one stays
        # entered.
        with pytest.raises(RuntimeError, match=r"(not the current context|cannot exit context)"):
            child.switch()
    elif state != "dead":
        expected = "given" if value == "context" else "default"
        assert child.switch() == expected
    assert child.dead
