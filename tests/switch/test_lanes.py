"""Lanes: any number of them works, what lies on them comes back, deep stacks, pinned ones, overflow."""

from pathlib import Path

import pytest
from helpers import EMULATED, run_isolated

from corolib._switch import error, get_lanes, getcurrent, greenlet, set_lanes, stats

STRESS = Path(__file__).with_name("stress.py")
LANES = [1, 2, 3, 64]


def with_lanes(lanes, script, *args, **kwargs):
    return run_isolated(script, *args, env={"COROLIB_LANES": str(lanes)}, **kwargs)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("mode", ["plain", "collect"])
def test_a_random_program_does_the_same_on_any_number_of_lanes(lanes, mode):
    expected = run_isolated(STRESS, 11, 4000, env={"COROLIB_LANES": "7"}).stdout.partition("}")[0]
    found = with_lanes(lanes, STRESS, 11, 4000, *([mode] if mode == "collect" else []), timeout=120)
    assert found.stdout.partition("}")[0] == expected


@pytest.mark.parametrize("lanes", LANES)
def test_values_survive_on_stacks_of_random_depth(lanes):
    with_lanes(
        lanes,
        """
        import random
        from corolib._switch import get_lanes, getcurrent, greenlet, stats
        main = getcurrent()
        chance = random.Random(3)

        def nest(depth, number):
            mine = [depth, number]
            if depth:
                if depth % 3:
                    value = nest(depth - 1, number)
                else:
                    value = min([depth], key=lambda n: nest(depth - 1, number)) and number
                assert mine == [depth, number]
                return value
            for turn in range(30):
                assert main.switch((number, turn)) == (number, "in", turn)
            return number

        children = [greenlet(nest) for _ in range(300)]
        turns = [0] * 300
        for number, child in enumerate(children):
            assert child.switch(chance.randrange(25), number) == (number, 0)
        alive = list(range(300))
        while alive:
            number = alive[chance.randrange(len(alive))]
            turn = turns[number]
            turns[number] += 1
            got = children[number].switch((number, "in", turn))
            if turn == 29:
                assert children[number].dead
                alive.remove(number)
            else:
                assert got == (number, turn + 1)
        assert stats()["lanes"] <= get_lanes()
        """,
    )


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("members", [2, 3, 10, 100])
def test_a_direct_ring(lanes, members):
    """From greenlet to greenlet without main in between; each starts the next one."""
    with_lanes(
        lanes,
        """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        size = int(sys.argv[1])
        laps = []

        def run(number):
            for lap in range(20):
                laps.append((number, lap))
                got = ring[(number + 1) % size].switch((number + 1) % size)
                assert got == number, (got, number)
            main.switch("done")

        ring = [greenlet(run) for _ in range(size)]
        assert ring[0].switch(0) == "done"
        assert laps == [(number, lap) for lap in range(20) for number in range(size)]
        """,
        members,
    )


@pytest.mark.parametrize("lanes", LANES)
def test_nested_starts_and_ends(lanes):
    """Each starts on a lane while its creator stands on one, and ends into it."""
    with_lanes(
        lanes,
        """
        from corolib._switch import greenlet

        def nested(depth):
            if depth == 0:
                return 0
            first = greenlet(nested).switch(depth - 1)
            second = sorted([1], key=lambda _: greenlet(lambda: None).switch())
            assert second == [1]
            return first + 1

        for _ in range(3):
            assert greenlet(nested).switch(200) == 200

        def failing(depth):
            if depth:
                greenlet(failing).switch(depth - 1)
            raise LookupError(depth)

        try:
            greenlet(failing).switch(100)
        except LookupError as caught:
            assert caught.args == (0,)
        """,
    )


@pytest.mark.parametrize("lanes", LANES)
def test_deep_c_recursion_in_many_greenlets(lanes):
    with_lanes(
        lanes,
        """
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()

        def through_c(depth):
            if depth == 0:
                return main.switch()
            return sorted([depth], key=lambda n: (through_c(depth - 1), n)[1])[0]

        children = [greenlet(through_c) for _ in range(8)]
        for child in children:
            child.switch(60)
        for _ in range(3):
            extra = greenlet(through_c)
            extra.switch(90)
            extra.switch()
        for child in children:
            assert child.switch() == 60
        """,
    )


def test_a_slice_of_a_megabyte_comes_back_and_its_buffer_goes():
    with_lanes(
        1,
        """
        import sys
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        sys.setrecursionlimit(20000)

        def deep(depth):
            if depth == 0:
                return main.switch("deep")
            return sorted([depth], key=lambda n: (deep(depth - 1), n)[1])[0]

        def run():
            value = deep(90)
            main.switch("shallow")
            return value

        child = greenlet(run)
        child.switch()
        greenlet(len).switch([])
        assert child._stack_saved > 100_000
        assert child.switch() == "shallow"
        greenlet(len).switch([])
        assert child._stack_saved < 10_000
        assert child.switch() == 90
        """,
    )


def test_the_number_of_lanes_is_a_setting():
    with_lanes(
        5,
        """
        import threading
        from corolib._switch import get_lanes, getcurrent, greenlet, set_lanes, stats
        main = getcurrent()
        assert get_lanes() == 5
        set_lanes(3)
        assert get_lanes() == 3
        children = [greenlet(main.switch) for _ in range(10)]
        for child in children:
            child.switch()
        assert stats()["lanes"] == 3
        set_lanes(8)  # for threads without lanes; this one has its own for good
        assert get_lanes() == 3

        def thread():
            main = getcurrent()
            children = [greenlet(main.switch) for _ in range(10)]
            for child in children:
                child.switch()
            found.append((get_lanes(), stats()["lanes"]))

        found = []
        each = threading.Thread(target=thread)
        each.start()
        each.join()
        assert found == [(8, 8)]
        """,
    )


@pytest.mark.parametrize("wrong", [0, -1, 10**6])
def test_a_number_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=f"from 1 to 65536, not {wrong}"):
        set_lanes(wrong)


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError):
        set_lanes("3")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [("many", "must be a whole number, not 'many'"), ("0", "from 1 to 65536, not 0"), ("1.5", "not '1.5'")],
)
def test_a_wrong_environment_variable_is_told(value, complaint):
    done = with_lanes(value, "import corolib._switch", check=False)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "COROLIB_LANES" in done.stderr


def test_a_pinned_greenlet_stays_where_it_is():
    before = stats()
    main = getcurrent()
    pinned = [greenlet(main.switch, pin=True) for _ in range(3)]
    for child in pinned:
        child.switch()
    crowd = [greenlet(main.switch) for _ in range(get_lanes() * 3)]
    for child in crowd:
        child.switch()
    assert stats()["lanes_pinned"] == before["lanes_pinned"] + 3
    assert stats()["evictions"] > before["evictions"]
    assert all(child._stack_saved == 0 for child in pinned)
    assert sum(child._stack_saved > 0 for child in crowd) >= get_lanes() * 2
    for number, child in enumerate(pinned):
        assert child.switch(number) == number
    assert stats()["lanes_pinned"] == before["lanes_pinned"]
    with pytest.raises(error, match="before its start only"):
        crowd[0].__init__(pin=True)


def test_lanes_of_pinned_greenlets_are_used_again():
    before = stats()["lanes_pinned"]
    for _ in range(1000):
        child = greenlet(lambda: None, pin=True)
        child.switch()
    assert stats()["lanes_pinned"] == before


@pytest.mark.heavy  # a checker has a qsort of its own
def test_what_lies_on_a_pinned_stack_can_be_lent_out():
    """C code lends out a pointer into its stack; another greenlet writes through it meanwhile."""
    with_lanes(
        1,
        """
        import ctypes
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        libc = ctypes.CDLL(None)
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        lent = []

        def run():
            # qsort keeps an array of 2 ints on its own stack while it calls back.
            values = (ctypes.c_int * 2)(2, 1)

            @compare
            def callback(a, b):
                lent.append(a)
                main.switch()
                return ctypes.c_int.from_address(a).value - ctypes.c_int.from_address(b).value

            libc.qsort(values, 2, 4, callback)
            return list(values)

        child = greenlet(run, pin=True)
        child.switch()
        for _ in range(10):
            greenlet(lambda: sorted([3, 1, 2], key=lambda n: n)).switch()
        assert child.switch() == [1, 2]
        """,
    )


@pytest.mark.heavy
def test_a_deep_call_does_not_keep_its_memory():
    run_isolated(
        """
        import resource
        import sys
        from corolib._switch import greenlet

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()

        sys.setrecursionlimit(10**6)

        def deep(depth):
            if depth:
                sorted([1], key=lambda _: deep(depth - 1))

        for _ in range(500):
            greenlet(len).switch([])
        greenlet(deep).switch(60)
        before = size()
        # As deep as the interpreter's own limits for C calls allow.
        low = sys.version_info < (3, 12) or hasattr(sys, "gettotalrefcount")
        greenlet(deep).switch(90 if low else 150)
        after = size()
        for _ in range(1000):
            greenlet(len).switch([])
        assert size() - before < (after - before) / 2 + 200_000, (before, after, size())
        """
    )


@pytest.mark.heavy
@pytest.mark.skipif(EMULATED, reason="an emulated processor knows no limit of address space")
def test_where_address_space_is_short_lanes_get_smaller_or_fewer():
    run_isolated(
        """
        import resource
        from corolib._switch import getcurrent, greenlet, stats
        main = getcurrent()
        warm = greenlet(main.switch)
        warm.switch()

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[0]) * resource.getpagesize()

        for room in (30 << 20, 3 << 20, 1 << 20):
            resource.setrlimit(resource.RLIMIT_AS, (size() + room, resource.RLIM_INFINITY))
            children = [greenlet(main.switch) for _ in range(40)]
            for child in children:
                child.switch()
            for number, child in enumerate(children):
                assert child.switch(number) == number
        assert 1 <= stats()["lanes"] < 64
        try:
            greenlet(len, pin=True).switch([])
        except MemoryError:
            pass
        else:
            raise AssertionError("a pinned greenlet found a lane")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert greenlet(len, pin=True).switch([]) == 0
        assert warm.switch(1) == 1
        """
    )


@pytest.mark.skipif(EMULATED, reason="an emulated processor knows no limit of address space")
def test_the_first_lane_may_fail_and_nothing_is_lost():
    run_isolated(
        """
        import resource
        from corolib._switch import getcurrent, greenlet

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[0]) * resource.getpagesize()

        child = greenlet(len)
        getcurrent()
        limit = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size(), limit[1]))
        try:
            child.switch([1, 2])
        except MemoryError:
            pass
        else:
            raise AssertionError("no MemoryError")
        resource.setrlimit(resource.RLIMIT_AS, limit)
        assert not child.dead
        assert child.switch([1, 2]) == 2
        """
    )
