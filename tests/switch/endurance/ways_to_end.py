"""Twelve lives of a greenlet, each lived N times: what does one leave behind?

    ways_to_end.py [100_000]

For each way: references (debug builds), blocks of the interpreter's allocator, bytes of malloc and of the
whole process, per life.
"""

import contextvars
import sys
import threading

from measure import blocks, collect, heap, number, references, report, rss, series, slope

from corolib._switch import GreenletExit, add_switch_hook, getcurrent, greenlet, remove_switch_hook, settrace

main = getcurrent()
variable = contextvars.ContextVar("variable", default=0)


def park(value=None):
    return main.switch(value)


def finish():
    child = greenlet(park)
    child.switch(1)
    child.switch(2)


def raises():
    def run():
        raise ValueError(main)

    try:
        greenlet(run).switch()
    except ValueError:
        pass


def throw():
    child = greenlet(park)
    child.switch()
    try:
        child.throw(ValueError, "thrown")
    except ValueError:
        pass


def catch_exit():
    try:
        main.switch()
    except GreenletExit:
        pass
    finally:
        [getcurrent()]


def dropped():
    child = greenlet(catch_exit)
    child.switch()


def unstarted():
    child = greenlet(park)
    child.attribute = [child]
    del child.attribute


class Killer:
    """A thread that drops what it is given."""

    def __init__(self):
        self.given = []
        self.told, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while True:
            self.told.acquire()
            self.given.clear()
            self.done.release()

    def drop(self, children):
        self.given.extend(children)
        children.clear()
        self.told.release()
        self.done.acquire()


killer = None


def by_another_thread():
    children = [greenlet(catch_exit)]
    children[0].switch()
    killer.drop(children)


def new_parent():
    first, second = greenlet(park), greenlet(park)
    second.parent = first
    first.switch()
    second.switch()
    second.parent = main
    second.parent = first
    second.switch()  # the end of it resumes the first, and that is its end too


def context():
    child = greenlet(lambda: (variable.set(variable.get() + 1), main.switch(), variable.get()))
    child.gr_context = contextvars.copy_context()
    child.switch()
    child.gr_context.run(variable.set, 5)
    child.switch()


seen = [None] * 4


def note(event, pair):
    seen[:] = [event, pair, *pair]


def traced():
    settrace(note)
    add_switch_hook(note)
    finish()
    throw()
    remove_switch_hook(note)
    settrace(None)
    seen[:] = [None] * 4


def pinned():
    child = greenlet(park, pin=True)
    child.switch()
    child.switch()


class WithDel(greenlet):
    """Resurrects itself once."""

    saved = None

    def __del__(self):
        if not self.__dict__.get("again"):
            self.again = True
            WithDel.saved = self


def subclass():
    child = WithDel(catch_exit)
    child.switch()
    del child
    WithDel.saved.switch()
    WithDel.saved = None


def deep_run(levels):
    if levels:
        return sorted([levels], key=lambda _: deep_run(levels - 1))
    return main.switch()


def python_run(levels):
    return python_run(levels - 1) if levels else main.switch()


def deep():
    through_c, through_python = greenlet(deep_run), greenlet(python_run)
    through_c.switch(10)
    through_python.switch(200)
    through_c.switch()
    del through_python


WAYS = [
    *(finish, raises, throw, dropped, unstarted, by_another_thread),
    *(new_parent, context, traced, pinned, subclass, deep),
]
STEPS = 10


def live(way, count):
    for _ in range(count):
        way()


def measure(way, lives):
    each = max(1, lives // STEPS)
    rows = [series(STEPS + 1) for _ in range(4)]
    live(way, max(each, 2000))
    for step in range(STEPS + 1):
        collect()
        for row, what in zip(rows, (references, blocks, lambda: heap()[0], rss), strict=True):
            row[step] = what()
        if step < STEPS:
            live(way, each)
    # What grows from step to step; a jump or two of a cache hardly tilts the line.
    names = ("references", "blocks", "heap_bytes", "rss_bytes")
    return {name: round(slope(row) / each, 4) for name, row in zip(names, rows, strict=True)}


lives = number(100_000)
killer = Killer()
found = {}
for way in WAYS:
    # These are some fifty times slower than the others.
    found[way.__name__] = measure(way, lives // 10 if way in (by_another_thread, deep) else lives)
report(lives=lives, debug=hasattr(sys, "gettotalrefcount"), **found)
