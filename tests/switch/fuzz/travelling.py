"""Operations on what travels with a greenlet and on what watches it: contexts, depths, tracers, frames."""

import contextvars
import gc
import io
import pickle
import sys

from graph import Token
from nodes import CURRENT, SUSPENDED, Listener
from watch import VARIABLE, Context, Listening
from world import World

from corolib._switch import add_switch_hook, getcurrent, gettrace, remove_switch_hook, settrace

MOST_HOOKS = 3
PARK = World.park.__code__

# --- contexts


def variable(w, a, b, c, d):
    me, value = w.me, Token()
    VARIABLE.set(value)
    if me.context is None:
        w.reap()
        me.context = Context(getcurrent().gr_context)
    me.context.value = value


def context(w, a, b, c, d):
    """Give a greenlet, mostly one that is not running, another context."""
    node = w.pick(a)
    if node is None or node.abandoned or node.inside("context"):
        return
    if node.state == CURRENT and node is not w.me:
        try:
            w.real[node.label].gr_context = contextvars.Context()
        except ValueError:
            return
        w.fail("the context of a greenlet that runs in another thread could be set")
    new = None if b % 4 == 0 else w.contexts[b % len(w.contexts)] if b % 4 == 1 else None
    if new is None and b % 4:
        new = Context(contextvars.Context(), Token())
        new.real.run(VARIABLE.set, new.value)
    node.context = new
    w.real[node.label].gr_context = new.real if new is not None else None


# --- tracers


def listen(w, a, b, c, d):
    t = w.t
    listener = Listener(w.new_label())
    listener.real = Listening(w, listener)
    if a % 2:
        before = t.tracer.real if t.tracer is not None else None
        t.tracer = listener
        w.check(settrace(listener.real) is before, "settrace() returned another tracer")
        w.check(gettrace() is listener.real, "gettrace() returns another tracer")
    elif len(t.hooks) < MOST_HOOKS:
        t.hooks.append(listener)
        add_switch_hook(listener.real)


def unlisten(w, a, b, c, d):
    t = w.t
    if a % 2:
        before = t.tracer.real if t.tracer is not None else None
        t.tracer = None
        w.check(settrace(None) is before, "settrace(None) returned another tracer")
    elif t.hooks:
        remove_switch_hook(t.hooks.pop(b % len(t.hooks)).real)


def arm(w, a, b, c, d):
    listeners = w.t.listeners()
    if listeners:
        listeners[a % len(listeners)].mode = ("bomb", "trip")[b % 2]


def may_instrument():
    """Since 3.12 the interpreter instruments the code of all frames that any thread is in, and a debug build
    insists on it. It does not see the frames of parked greenlets; on 3.15 the engine makes up for that."""
    return not (3, 12) <= sys.version_info < (3, 15) or not hasattr(sys, "gettotalrefcount")


def profile(w, a, b, c, d):
    if not may_instrument():
        return
    t = w.t
    t.profiled = not t.profiled
    sys.setprofile(w.profiler if t.profiled else None)


def trace(w, a, b, c, d):
    if not may_instrument():
        return
    t = w.t
    t.traced = not t.traced
    sys.settrace(w.tracer if t.traced else None)


# --- what is counted per thread and must travel


def dive(n):
    try:
        return dive(n + 1)
    except RecursionError:
        return n


def nested(depth):
    nest = []
    for _ in range(depth):
        nest = [nest]
    return nest


# Deeper than any limit on C recursion; never looked at by the collector.
NEST = nested(40_000)
gc.freeze()


# Code that a profiler of any thread has got instrumented calls functions of Python through C. From 3.14 on it
# is the address of the stack that counts, and not all ways to the same place take the same room.
C_TOLERANCE = 3 if sys.version_info < (3, 14) else 200


def dive_in_c():
    """How often functions in C may call each other from here: the memo of a pickler that failed tells."""
    pickler = pickle.Pickler(io.BytesIO())
    try:
        pickler.dump(NEST)
    except RecursionError:
        pass
    return len(pickler.memo.copy())


def probe(w, a, b, c, d):
    """How deep is it from here? In one place the answer is always the same."""
    me = w.me
    if w.t.profiled or w.t.traced:
        return
    w.did["probe"] += 1
    depth = [sys.getrecursionlimit() - dive(0), None]
    if a % 4 == 0 and sys.version_info >= (3, 12):  # before, it is all one counter
        depth[1] = dive_in_c()
    if me.levels:
        before = me.levels[-1].depths
    elif me.kind == "main":
        before = me.depths
    else:
        # All greenlets start equally deep: at the bottom.
        before = w.depths.setdefault(me.kind == "method", [None, None])
    for one, tolerance in enumerate((0, C_TOLERANCE)):
        if None not in (before[one], depth[one]) and abs(before[one] - depth[one]) > tolerance:
            w.fail(f"recursion is {depth} deep here, it was {before}")
        if before[one] is None:
            before[one] = depth[one]


def limit(w, a, b, c, d):
    sys.setrecursionlimit((1000, 1300, 2000)[a % 3])


class Flag:
    def __init__(self, seen):
        self.seen = seen

    def __del__(self):
        self.seen.append(self)


def trash(w, a, b, c, d):
    """A nest that is not deep enough for deallocation to be put off is freed at once."""
    if w.me.inside("finalizer"):
        return
    seen = []
    nest = Flag(seen)
    for _ in range(40):
        nest = (nest,)
    nest = None
    w.check(len(seen) == 1, "a deallocation was put off: its nesting is counted wrong")


# --- frames


def inspect(w, a, b, c, d):
    w.reap()
    node = w.pick(a)
    if node is not None:
        w.inspect(node)


def codes(frame):
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return found


def keep(w, a, b, c, d):
    """Keep the frame of a parked greenlet, for longer than it may stay parked or live."""
    node = w.pick(a, lambda n: n.state == SUSPENDED or n.abandoned)
    if node is not None:
        frame = w.real[node.label].gr_frame
        seen = codes(frame)
        if node.chain is not None:
            w.check(seen[1:] == node.chain, f"{node} stands in {seen}, expected {node.chain}")
        w.frames[b % len(w.frames)] = (frame, node, node.parks, seen)


def walk(w, a, b, c, d):
    kept = w.frames[a % len(w.frames)]
    if kept is None:
        return
    frame, node, parks, seen = kept
    now = codes(frame)
    w.did["walk"] += 1
    if node.parks == parks and (node.state == SUSPENDED or (node.abandoned and not node.freed)):
        w.check(now == seen, f"{node} stands in {now}, it was {seen}")
    w.check(frame.f_lineno is not None, "a frame has no line")
    if b % 4 == 0:
        w.frames[a % len(w.frames)] = None
    elif b % 4 == 1 and frame.f_code is PARK:
        w.check(frame.f_locals["self"] is w, "a frame has other locals")


TRAVELLING = {
    "variable": variable,
    "context": context,
    "listen": listen,
    "unlisten": unlisten,
    "arm": arm,
    "profile": profile,
    "trace": trace,
    "probe": probe,
    "limit": limit,
    "trash": trash,
    "inspect": inspect,
    "keep": keep,
    "walk": walk,
}
