"""Frames of suspended greenlets: gr_frame, f_back, tracebacks, tools that look from outside."""

import faulthandler
import gc
import sys
import tempfile
import traceback

import pytest
from helpers import run_isolated

from corolib._switch import getcurrent, greenlet, stats


def names(frame):
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_gr_frame_only_while_suspended():
    main = getcurrent()
    seen = []

    def run():
        seen.append(getcurrent().gr_frame)
        main.switch()

    child = greenlet(run)
    assert child.gr_frame is None
    child.switch()
    assert seen == [None]
    assert names(child.gr_frame) == ["run"]
    child.switch()
    assert child.gr_frame is None
    assert main.gr_frame is None
    assert names(greenlet(lambda: main.gr_frame).switch())[0] == "test_gr_frame_only_while_suspended"


def test_a_greenlet_without_python_frames_has_none():
    child = greenlet(getcurrent().switch)
    child.switch()
    assert child.gr_frame is None


class Weird:
    """Python called from C in several ways."""

    def __init__(self, then):
        self.then = then

    def __getattr__(self, name):
        return self.then()

    def __lt__(self, other):
        self.missing
        return False


def layered(then):
    """Frames with C functions between them, and what f_back must say, innermost first."""

    def key(item):
        return next(map(weird_in_map, [item]))

    def weird_in_map(item):
        weird = Weird(then)
        return weird < weird

    def generator():
        yield sorted([1], key=key)

    def outer():
        return list(generator())

    return outer, ["__getattr__", "__lt__", "weird_in_map", "key", "generator", "outer"]


def test_f_back_skips_the_c_functions():
    main = getcurrent()
    outer, expected = layered(main.switch)
    child = greenlet(outer)
    child.switch()
    assert names(child.gr_frame) == expected
    child.switch()


def test_frames_of_a_thousand_parked_and_evicted_greenlets():
    main = getcurrent()
    before = stats()["evictions"]
    children, frames = [], []
    for number in range(1000):
        outer, expected = layered(main.switch)

        def nest(depth, outer=outer):
            return nest(depth - 1, outer) if depth else outer()

        child = greenlet(nest)
        child.switch(number % 7)
        children.append((child, [*expected, *["nest"] * (number % 7 + 1)]))
        frames.append(child.gr_frame)
    assert stats()["evictions"] > before
    for turn in range(2):
        for (child, expected), frame in zip(children, frames, strict=True):
            assert names(child.gr_frame) == expected
            assert child.gr_frame is frame
            assert names(frame) == expected  # kept from the time when it lay on its lane
            assert "".join(traceback.format_stack(frame)).count("\n") >= len(expected)
        if turn == 0:
            gc.collect()
            # The lanes belong to others meanwhile.
            for _ in range(100):
                greenlet(sorted).switch([3, 1, 2])
    for child, _ in children:
        assert child.switch() == [[1]]
        assert child.dead
    del children, child
    gc.collect()
    for frame in frames:
        assert names(frame)[:3] == expected[:3]  # how much more of the chain is kept differs by version


def test_frames_can_be_read_while_others_run_and_after_the_end():
    main = getcurrent()

    def run(argument):
        local = [argument]
        main.switch()
        local.append("more")
        main.switch()
        return local

    child = greenlet(run)
    child.switch("x")
    frame = child.gr_frame
    line = frame.f_lineno
    assert frame.f_locals == {"argument": "x", "local": ["x"], "main": main}
    with pytest.raises(RuntimeError, match="cannot clear an executing frame"):
        frame.clear()
    child.switch()
    assert frame.f_lineno == line + 2
    assert frame.f_locals["local"] == ["x", "more"]
    child.switch()
    assert frame.f_locals["local"] == ["x", "more"]
    frame.clear()
    assert frame.f_locals == {}


def test_killing_a_greenlet_whose_frame_is_kept():
    main = getcurrent()

    def run():
        local = "kept"
        main.switch(local)

    child = greenlet(run)
    child.switch()
    frame = child.gr_frame
    del child
    assert frame.f_locals["local"] == "kept"
    assert frame.f_back is None


def test_tracebacks_of_evicted_greenlets_are_complete():
    main = getcurrent()

    def fail():
        main.switch()
        raise LookupError

    outer, expected = layered(fail)
    children = [greenlet(outer) for _ in range(200)]
    for child in children:
        child.switch()
    for child in children:
        with pytest.raises(LookupError) as caught:
            child.switch()
        found = [entry.name for entry in traceback.extract_tb(caught.tb)][1:]
        assert found == [*reversed(expected), "fail"]


def test_the_current_frames_of_threads_end_at_the_greenlet():
    def run():
        return names(sys._current_frames()[__import__("threading").get_ident()])

    assert greenlet(run).switch() == ["run"]


def test_faulthandler_shows_the_running_greenlet():
    def inner():
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            return file.read()

    def run():
        return inner()

    dumped = greenlet(run).switch()
    assert "in inner" in dumped and "in run" in dumped
    assert "test_faulthandler_shows" not in dumped


def test_getting_frames_during_collections():
    run_isolated(
        """
        import gc
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()

        class Cycle:
            def __init__(self): self.me = self
            def __del__(self):
                for child in children[:3]:
                    frame = child.gr_frame
                    while frame is not None:
                        frame.f_locals
                        frame = frame.f_back

        def run():
            while True:
                Cycle()
                main.switch()

        gc.set_threshold(1)
        children = [greenlet(run) for _ in range(100)]
        for turn in range(20):
            for child in children:
                child.switch()
                child.gr_frame
        gc.disable()
        children.clear()
        """
    )
