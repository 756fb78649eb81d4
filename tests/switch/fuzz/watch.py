"""What is looked at between operations: the current greenlet each time, all of them now and then.

The probes here are for what a switch may lose without anybody arriving at the wrong place: the exception
being handled, the context, the flag that makes the interpreter call a profiler, attributes and lifetimes of
the others.
"""

import contextvars
import gc
import sys

from nodes import CURRENT, DEAD, FRESH, SUSPENDED

from corolib._switch import stats

EVERY = 50  # steps between two looks at everything

VARIABLE = contextvars.ContextVar("variable")


class Context:
    """A contextvars.Context and what the model knows of it."""

    def __init__(self, real, value=None, entered=False):
        self.real, self.value, self.entered = real, value, entered


def marker():
    """What the profiler and the trace function of a thread must see."""
    return None


class Listening:
    """A tracer or switch hook."""

    def __init__(self, w, listener):
        self.w, self.listener = w, listener

    def __call__(self, event, pair):
        w = self.w
        if w.bursting:
            w.counted += 1
            return
        origin, target = (getattr(one, "label", None) for one in pair)
        del pair
        item = w.observe("hook", self.listener.name, (event, origin, target))
        if item.facts[1:] != (event, origin, target):
            w.fail(f"hook {self.listener.name} was called with {event, origin, target}, expected {item}")
        if item.bomb is not None:
            w.did["bomb"] += 1
            raise item.bomb
        if item.trip:
            w.did["trip"] += 1
            w.trip()


class Watcher:
    def watch_setup(self):
        self.profile_marks = []
        self.trace_marks = []

    def profiler(self, frame, event, arg):
        if frame.f_code is marker.__code__:
            self.profile_marks.append(event)

    def tracer(self, frame, event, arg):
        if frame.f_code is marker.__code__:
            self.trace_marks.append(event)
            return self.tracer
        return None

    def settle(self, label, depth):
        """Between two operations of the current greenlet, in the loop that is `depth` levels deep."""
        t = self.t
        me = t.current
        self.cautious = bool(t.doomed)
        if not t.doomed:
            gc.enable()
        if self.model.expected:
            self.fail("something expected has not happened")
        if me.label != label or self.running() not in (None, label):
            self.fail(f"greenlet {label} goes on, but it is not the current one")
        if len(me.levels) != depth:
            self.fail(f"the loop of level {depth} goes on")
        if sys.exc_info()[1] is not me.handled():
            self.fail(f"handles {sys.exc_info()[1]!r}, expected {me.handled()!r}")
        value = VARIABLE.get(None)
        if value is not (me.context.value if me.context is not None else None):
            self.fail(f"the context variable is {value!r} in {me.context}")
        if t.profiled or t.traced or self.position % 8 == 0:
            self.check_marks(t)
        if self.position % EVERY == 0:
            self.check_all()

    @staticmethod
    def chain():
        """The stack of the operation that is about to park, without the frame it will park in."""
        frame, found = sys._getframe(1), []
        while frame is not None:
            found.append(frame.f_code)
            frame = frame.f_back
        return found

    def check_marks(self, t):
        marker()
        seen = [*self.profile_marks], [*self.trace_marks]
        self.profile_marks.clear()
        self.trace_marks.clear()
        expected = (["call", "return"] if t.profiled else [], ["call", "line", "return"] if t.traced else [])
        if seen != expected:
            self.fail(f"profiler and tracer have seen {seen}, expected {expected}")

    def check_all(self):
        nodes = [node for node in self.model.nodes if not node.freed]
        for node in self.model.nodes:
            if node.freed:
                if self.weak.pop(node.label)() is not None:
                    self.fail(f"{node} should have been freed")
        self.model.nodes[:] = nodes
        for node in nodes:
            self.inspect(node)
        t = self.t
        counts = stats()
        doomed = len(t.doomed)
        started = sum(node.thread is t and node is not t.main for node in nodes) - doomed
        if counts["greenlets"] != started or counts["greenlets_doomed"] != doomed:
            self.fail(f"{started} greenlets are started and {doomed} doomed, the engine says {counts}")

    def inspect(self, node):
        """The attributes of any greenlet, of any thread."""
        if self.weak[node.label]() is None:
            self.fail(f"{node} has been freed")
        seen = self.look(node.label)
        parked = node.state == SUSPENDED or (node.state == CURRENT and node.thread is not self.t)
        frame = None if node.state in (FRESH, CURRENT) else node.state == SUSPENDED or (node.abandoned)
        expected = {
            "dead": node.state == DEAD,
            "alive": node.state in (SUSPENDED, CURRENT),
            "parent": node.parent.label if node.parent is not None else None,
            "frame": bool(frame),
        }
        for name, value in expected.items():
            if seen[name] != value:
                self.fail(f"{node}.{name} is {seen[name]!r}, expected {value!r}")
        if seen["running"] is not None:
            self.check(not parked or node.state == CURRENT, f"{node} runs")
        if not node.abandoned and node.kind != "main" and "context" in seen:
            context = node.context.real if node.context is not None else None
            if seen["context"] is not context:
                self.fail(f"{node}.gr_context is {seen['context']}, expected {context}")

    def look(self, label):
        one = self.weak[label]()
        parent = one.parent
        seen = {
            "dead": one.dead,
            "alive": bool(one),
            "parent": getattr(parent, "label", None),
            "frame": one.gr_frame is not None,
            "running": True if " current " in repr(one) else None,
        }
        try:
            seen["context"] = one.gr_context
        except ValueError:
            pass  # it runs in another thread
        return seen
