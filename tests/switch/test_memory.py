"""What parked greenlets cost: classes of first chunks, lanes that are made only where they pay."""

import os

import pytest
from helpers import EMULATED, in_thread, run_isolated

from corolib._switch import getcurrent, greenlet, stats

KIB = 1024
#: The smallest first chunk.
ROOT = 512


def deep(levels, do):
    """Some 14 words of frame for each level."""
    return deep(levels - 1, do) if levels else do()


def chunk_of(run, *args):
    """The size of the first chunk that a greenlet gets which runs this now."""
    before = stats()["chunk_bytes"]
    child = greenlet(run)
    parent = getcurrent()
    child.switch(lambda: parent.switch(), *args)
    size = stats()["chunk_bytes"] - before
    child.switch()
    return size


def test_a_kind_that_overflows_its_chunk_gets_a_larger_one_and_others_do_not():
    def thread():
        def hungry(park, levels):
            deep(levels, park)

        def modest(park):
            park()

        assert chunk_of(modest) == ROOT
        sizes = [chunk_of(hungry, 20) for _ in range(6)]
        # The first two overflow the smallest; with twice as much two more do, and so on.
        assert sizes == [ROOT, ROOT, KIB, KIB, 2 * KIB, 2 * KIB]
        assert [chunk_of(hungry, 20) for _ in range(20)] == [4 * KIB] * 20
        assert chunk_of(modest) == ROOT
        return True

    assert in_thread(thread) is True


def test_it_is_learned_from_greenlets_that_park_and_never_end():
    def thread():
        me = getcurrent()

        def hungry():
            deep(20, me.switch)

        children = [greenlet(hungry) for _ in range(2000)]
        for child in children:
            child.switch()
        total = stats()["chunk_bytes"]
        # More lanes than the first 64 are not made for it, and each lane is shared before the next guess.
        assert total > 1800 * 4 * KIB
        for child in children:
            child.switch()
        assert stats()["chunk_bytes"] == 0
        return True

    assert in_thread(thread) is True


def test_a_kind_that_needs_less_again_gets_less():
    def thread():
        def changing(park, levels):
            deep(levels, park)

        for _ in range(6):
            chunk_of(changing, 20)
        assert chunk_of(changing, 0) == 4 * KIB
        sizes = {chunk_of(changing, 0) for _ in range(350)}
        assert chunk_of(changing, 0) == ROOT
        assert sizes == {ROOT, KIB, 2 * KIB, 4 * KIB}
        return True

    assert in_thread(thread) is True


def test_an_exception_to_the_rule_does_not_raise_the_chunks_of_all():
    def thread():
        def seldom(park, levels):
            deep(levels, park)

        sizes = {chunk_of(seldom, 20 if number % 20 == 19 else 0) for number in range(400)}
        assert sizes == {ROOT}
        return True

    assert in_thread(thread) is True


def test_whether_less_would_do_is_tried_more_and_more_seldom():
    def thread():
        def medium(park):
            deep(4, park)

        sizes = [chunk_of(medium) for _ in range(3300)]
        assert set(sizes) == {ROOT, KIB}
        # Two at the beginning, then two for each trial: after 100 that did not overflow, 200, 400 and so on.
        trials = [number for number, size in enumerate(sizes) if size == ROOT]
        assert trials == [0, 1, 102, 103, 304, 305, 706, 707, 1508, 1509, 3110, 3111]
        return True

    assert in_thread(thread) is True


def test_methods_and_partial_objects_have_kinds_too():
    import functools

    class Server:
        def handle(self, park, levels):
            deep(levels, park)

    def thread():
        server = Server()
        for _ in range(6):
            chunk_of(server.handle, 20)
        assert chunk_of(Server().handle, 20) == 4 * KIB
        for _ in range(6):
            chunk_of(functools.partial(deep, 20))
        assert chunk_of(functools.partial(deep, 20)) == 4 * KIB
        return True

    assert in_thread(thread) is True


def lanes_with(count, rounds):
    def thread():
        me = getcurrent()

        def run():
            while me.switch():
                pass

        children = [greenlet(run) for _ in range(count)]
        for child in children:
            child.switch()
        for _ in range(rounds):
            for child in children:
                child.switch(True)
            extra = greenlet(run)
            extra.switch()
            children.append(extra)
        found = stats()
        for child in children:
            child.switch(False)
        return found

    return in_thread(thread)


SMALL = """
    from switch.test_memory import lanes_with
    print(lanes_with(%d, %d)["lanes"])
"""


def lanes_in_fresh_process(count, rounds, **env):
    # Whatever COROLIB_LANES says for this run of the suite.
    done = run_isolated(SMALL % (count, rounds), env={"COROLIB_LANES": "", **env})
    return int(done.stdout)


def test_lanes_are_made_as_they_are_needed_then_only_if_greenlets_come_back_to_them():
    assert lanes_in_fresh_process(5, 0) == 5
    # However many park, they do not need more lanes than this.
    assert lanes_in_fresh_process(5000, 0) == 64
    # Each round comes back to some that were evicted, so a new one may have a new lane.
    assert 64 < lanes_in_fresh_process(200, 30) <= 64 + 30
    assert lanes_in_fresh_process(200, 300) == 256


def test_the_setting_is_the_limit():
    assert lanes_in_fresh_process(200, 300, COROLIB_LANES="80") == 80
    assert lanes_in_fresh_process(200, 300, COROLIB_LANES="3") == 3


DEEP = """
    import gc, json, sys
    from corolib._switch import getcurrent, greenlet

    me = getcurrent()
    sys.setrecursionlimit(100_000)

    def resident():
        pages = 0
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return pages * __import__("resource").getpagesize()

    class Nest:
        def __init__(self, depth):
            self.depth = depth
        def __lt__(self, other):
            return bool(self.depth and sorted([other, Nest(self.depth - 1)]) is None)

    def run():
        sorted([Nest(0), Nest(150)])  # some hundred KiB of C stack
        while me.switch():
            pass

    children = [greenlet(run) for _ in range(60)]
    for child in children:
        child.switch()
    before = resident()
    # They stay parked. Others come, end, and the lanes of all are looked at in turn.
    for _ in range(64 * 200):
        greenlet(int).switch()
    print(before - resident())
"""


@pytest.mark.heavy
def test_what_a_deep_call_left_on_the_lane_of_a_parked_greenlet_is_given_back():
    freed = int(run_isolated(DEEP, env={"COROLIB_LANES": ""}).stdout)
    assert freed > 60 * 64 * KIB


@pytest.mark.skipif(EMULATED, reason="an emulated processor knows no limit of address space")
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer needs address space itself"
)
def test_no_memory_for_frames_is_a_memory_error():
    done = run_isolated(
        """
        import resource, sys
        from corolib._switch import greenlet

        def down():
            down()

        def size():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[0]) * resource.getpagesize()

        def deep():
            try:
                down()
            except MemoryError:
                return "no memory"

        # The interpreter learns what kind of call it is; then there is no limit but memory.
        for _ in range(3):
            try:
                down()
            except RecursionError:
                pass
        sys.setrecursionlimit(10**9)
        # Small objects find room, also the tracebacks: it is the frames that do not.
        room = [bytes(400) for _ in range(100_000)]
        room = room[::2000]
        greenlet(size).switch()  # the stack that one switches by is there
        resource.setrlimit(resource.RLIMIT_AS, (size() + (4 << 20), resource.RLIM_INFINITY))
        outcome = greenlet(deep).switch()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(outcome)
        """,
        timeout=60,
    )
    assert done.stdout == "no memory\n"
