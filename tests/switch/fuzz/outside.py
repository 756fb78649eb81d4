"""Operations on what is around the graph: the collector, threads, processes, memory."""

import gc
import os

from graph import target, values
from inside import quiet
from nodes import FRESH, SUSPENDED, Finish, thread_of

from corolib._switch import _engine, getcurrent, greenlet

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:
    set_nomemory = None

FORCE = getattr(_engine, "_force", None)

# --- collector


def threshold(w, a, b, c, d):
    gc.set_threshold((700, 1, 5)[a % 3], 10, 10)


def collect(w, a, b, c, d):
    if not w.model.collecting:
        w.model.reap(w.t)
    gc.collect(a % 3)


# --- threads and processes


def turn(w, a, b, c, d):
    others = [t for t in w.threads if t is not None and t.index != w.turn]
    if others:
        w.give_turn(others[a % len(others)].index)


def _turn(w, index):
    w.give_turn(index)


def start(w, a, b, c, d):
    index = 1 + a % (len(w.threads) - 1)
    if w.threads[index] is None and w.child_left is None:
        w.start_thread(index)


def may_end(w, t):
    return (
        t.index > 0
        and t.current is t.main
        and w.child_left is None
        and not any(n.inside("collect") for n in w.model.nodes_of(t))
    )


def exit_(w, a, b, c, d):
    """The end of a thread, whatever is parked there."""
    if w.turn == 0:
        others = [t for t in w.threads if t is not None and may_end(w, t)]
        if others:
            w.dismissed = others[a % len(others)].index
            w.give_turn(w.dismissed)
    elif may_end(w, w.t):
        w.thread_ends()
        raise Finish


def _exit(w):
    exit_(w, 0, 0, 0, 0)


def fork(w, a, b, c, d):
    """The child goes on with the program for a while, then checks everything."""
    if w.child_left is not None:
        return
    w.pending = lambda: w.in_child(a % 60)
    w.did["fork"] += 1
    child = os.fork()
    pending, w.pending = w.pending, None
    if child == 0:
        if pending is not None:
            pending()
        return
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    w.check(status == 0, f"the child of a fork ended with {status}")


# --- memory


def memory(w, a, b, c, d):
    """The n-th allocation of the engine fails: MemoryError and nothing changed, or all as if nothing was."""
    t, me = w.t, w.me
    if FORCE is None:
        watched = t.listeners() or t.profiled or t.traced
        if set_nomemory is not None and a % 4 == 0 and not t.doomed and not watched:
            round_trip_without_memory(b % 12)
        return
    node = (b % 2 and w.pick(a, lambda n: n.state == FRESH and w.here(n))) or target(w, a, 1)
    if node is None or node.state not in (FRESH, SUSPENDED) or thread_of(node) is not t or t.doomed:
        return
    if not quiet(w):
        return
    args, kwargs = values(c)
    w.pending = lambda: (FORCE(fail_alloc=0), w.model.switch(t, node, args, kwargs))
    w.pending_for = me.label
    FORCE(fail_alloc=1 + c % 4)
    w.park(node.label, args, kwargs)
    FORCE(fail_alloc=0)


def round_trip_without_memory(n):
    """The interpreter's own allocators fail, in a greenlet of no account."""
    main = getcurrent()
    child = greenlet(main.switch)
    gc.disable()  # its callbacks would have no memory either
    got = None
    try:
        set_nomemory(n, n + 1)
        got = child.switch(main)
    except MemoryError:
        pass
    finally:
        remove_mem_hooks()
        gc.enable()
    if child:
        child.switch()
    return got


def force(w, a, b, c, d):
    """Rare paths at every switch, in a checking build."""
    if FORCE is not None:
        FORCE(evict=a % 2, scratch=b % 2, collect=c % 8 == 0)


def _stop(w):
    w.child_left = None
    raise Finish


OUTSIDE = {
    "threshold": threshold,
    "collect": collect,
    "turn": turn,
    "_turn": _turn,
    "start": start,
    "exit": exit_,
    "_exit": _exit,
    "fork": fork,
    "memory": memory,
    "force": force,
    "_stop": _stop,
}
