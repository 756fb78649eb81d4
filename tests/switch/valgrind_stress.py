"""Every path of the engine once or a few times, for a memory checker: slow ones allow no more.

    COROLIB_LANES=2 PYTHONMALLOC=malloc valgrind --error-exitcode=9 python valgrind_stress.py

The engine must have been built with COROLIB_CHECK defined: it then tells Valgrind what it does to stacks.
"""

import contextvars
import gc
import runpy
import sys
import threading
from pathlib import Path

from corolib._switch import GreenletExit, error, getcurrent, greenlet, settrace, stats

main = getcurrent()
variable = contextvars.ContextVar("variable", default=0)


def names(frame):
    return [frame.f_code.co_name, *names(frame.f_back)] if frame else []


def parked_and_evicted():
    def inner(depth):
        if depth:
            return sorted([1], key=lambda _: inner(depth - 1))
        variable.set(getcurrent())
        main.switch()
        assert variable.get() is getcurrent()
        return depth

    children = [greenlet(inner) for _ in range(20)]
    for number, child in enumerate(children):
        child.switch(number % 5)
    frames = [child.gr_frame for child in children]
    for number, child in enumerate(children):
        expected = ["inner", *["<lambda>", "inner"] * (number % 5)]
        assert names(child.gr_frame) == names(frames[number]) == expected
    gc.collect()
    for child in children[::2]:
        child.switch()
    for child in children[1::4]:
        assert isinstance(child.throw(), GreenletExit)
    children.clear()


def ring():
    """From greenlet to greenlet directly: on one lane, that is the scratch stack each time."""
    laps = []

    def run(number):
        while len(laps) < 60:
            laps.append(number)
            members[(number + 1) % len(members)].switch((number + 1) % len(members))
        main.switch()

    members = [greenlet(run) for _ in range(6)]
    members[0].switch(0)
    assert laps == [n % 6 for n in range(60)]


def pinned():
    children = [greenlet(main.switch, pin=True) for _ in range(7)]
    for child in children:
        child.switch()
    for number, child in enumerate(children):
        assert child._stack_saved == 0
        assert child.switch(number) == number


def ends():
    def nested(depth):
        if depth:
            child = greenlet(nested)
            return child.switch(depth - 1) + 1
        return 0

    assert greenlet(nested).switch(10) == 10

    def failing(depth):
        if depth:
            greenlet(failing).switch(depth - 1)
        raise LookupError(depth)

    try:
        greenlet(failing).switch(5)
    except LookupError as raised:
        assert raised.args == (0,)


def tracing():
    seen = []
    settrace(lambda event, pair: seen.append(event))
    parked_and_evicted()
    settrace(None)
    assert "throw" in seen


def threads():
    kept, dropped = [], []
    ready, go = threading.Semaphore(0), threading.Semaphore(0)

    def run():
        sorted([1], key=lambda _: getcurrent().parent.switch())

    def thread():
        children = [greenlet(run) for _ in range(6)]
        for child in children:
            child.switch()
        kept.extend(children[:2])
        kept.append(children[1].gr_frame)
        dropped.extend(children[2:])
        children.clear()
        del child
        ready.release()
        go.acquire()
        getcurrent()
        assert stats()["greenlets"] == 2

    each = threading.Thread(target=thread)
    each.start()
    ready.acquire()
    dropped.clear()
    try:
        kept[0].switch()
    except error:
        go.release()
    each.join()
    assert kept[0].dead
    assert names(kept[0].gr_frame) == ["<lambda>", "run"]
    frame = kept.pop()
    kept.clear()
    assert names(frame) == ["<lambda>", "run"]


def walk_deep(depth):
    return walk_deep(depth - 1) if depth else main.switch("bottom")


def deep():
    children = [greenlet(walk_deep) for _ in range(3)]
    for child in children:
        child.switch(400)
    for child in children:
        child.switch()


for part in (parked_and_evicted, ring, pinned, ends, tracing, threads, deep):
    part()
    gc.collect()
sys.argv[1:] = ["7", "1500", "collect"]
runpy.run_path(str(Path(__file__).with_name("stress.py")))
