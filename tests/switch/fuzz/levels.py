"""Levels: the constructs of the language that a greenlet can be inside of when it switches.

Each calls loop(), which takes the next operations in the middle of that construct, and returns when the
operation "leave" ends that loop. So the stack of a greenlet is a random pile of sort keys, generators,
handlers and finalizers, and the model knows which.

Where the language lets no exception out (a finalizer, a weak reference's callback), it is carried past in a
list: to the model all levels are alike.
"""

import gc
import signal
import weakref

from nodes import Thrown


def recurse(w, level):
    def deeper(n):
        return deeper(n - 1) if n else w.loop()

    deeper(level.facts["depth"])


def sort(w, level):
    sorted([level], key=lambda n: w.loop())


def mapping(w, level):
    list(map(lambda n: w.loop(), [level]))  # noqa: C417 (a comprehension is no C code)


def filtering(w, level):
    list(filter(lambda n: (w.loop(), True)[1], (n for n in [level])))


def nested_generators(w, level):
    def inner():
        yield w.loop()

    def outer():
        yield from inner()

    for _ in outer():
        pass


class Asked:
    def __init__(self, w):
        self.w = w

    def __getattr__(self, name):
        self.w.loop()
        return name


def attribute(w, level):
    assert Asked(w).missing == "missing"


class Guard:
    def __init__(self, w):
        self.w = w

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None and not isinstance(error, GeneratorExit):
            self.w.check(kind is type(error), "__exit__ got another exception")


def guarded(w, level):
    with Guard(w):
        w.loop()


def trying(w, level):
    depth = w.depth()
    try:
        w.loop()
    except Thrown as error:
        w.caught(error, depth)
        w.loop()


def handling(w, level):
    try:
        raise level.handled.instance
    except Thrown:
        w.loop()


def finally_(w, level):
    try:
        raise level.handled.instance
    finally:
        w.loop()


def context(w, level):
    level.facts["entered"].real.run(w.loop)


class Finalized:
    """Runs the loop at its end."""

    def __init__(self, w, carried):
        self.w, self.carried = w, carried

    def __del__(self):
        try:
            self.w.loop()
        except BaseException as error:
            self.carried.append(error)


def past(carried):
    if carried:
        raise carried.pop()


def finalizer(w, level):
    """At the bottom of a nest, as the nesting of deallocations is counted by the interpreter."""
    carried = []
    nest = Finalized(w, carried)
    for _ in range(level.facts["nest"]):
        nest = (nest,)
    nest = None
    past(carried)


def weak(w, level):
    carried = []

    def callback(reference):
        try:
            w.loop()
        except BaseException as error:
            carried.append(error)

    target = Guard(w)
    reference = weakref.ref(target, callback)
    target = None
    assert reference() is None
    past(carried)


def collect(w, level):
    carried = []
    garbage = Finalized(w, carried)
    garbage.me = garbage
    garbage = None
    gc.collect()
    past(carried)


def signalled(w, level):
    signal.raise_signal(signal.SIGUSR1)


def generator(w, level):
    next(level.facts["generator"].real)


LEVELS = {
    "recurse": recurse,
    "sort": sort,
    "mapping": mapping,
    "filtering": filtering,
    "nested": nested_generators,
    "attribute": attribute,
    "guarded": guarded,
    "try": trying,
    "handling": handling,
    "finally": finally_,
    "context": context,
    "finalizer": finalizer,
    "weak": weak,
    "collect": collect,
    "signal": signalled,
}


def shared_generator(w, handled):
    """One that several greenlets take further: a level while it runs, suspended at a yield between."""
    if handled is None:
        while True:
            w.loop()
            yield
    try:
        raise handled.instance
    except Thrown:
        while True:
            w.loop()
            yield
