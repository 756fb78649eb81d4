"""The real side: greenlets of the engine, the threads they run in, and the comparison with the model.

Whoever runs takes the next operation, in whatever stack it is: there is no driver that calls greenlets, the
program is carried through the graph by the switches themselves. Of several threads one has the turn, the
others wait for a lock inside their current greenlet, so that a seed gives the same run each time.

What happens is reported here (`started`, `arrived`, `caught`, `hooked`, ...) and must be the next item
of model.expected. The first difference ends the process with status 3 and a report: after that nothing
that is seen means anything.

No frame keeps a greenlet in a local variable, not even one that is about to return, since tracebacks and
frame objects keep frames alive with all their callers; they keep labels, and look greenlets up in `real`,
which has exactly those that the program can name.
"""

import contextvars
import os
import sys
import traceback
import weakref
from collections import Counter

from burst import Burst
from model import Model
from nodes import DEAD, SUSPENDED, Bomb, Finish, Level, Node, same, thread_of
from turns import Turns
from watch import Context, Watcher

from corolib._switch import GreenletExit, error, getcurrent, greenlet, stats

SLOTS = 200


class Everything(Model):
    """The model, and all its nodes."""

    def __init__(self):
        super().__init__(GreenletExit, error)
        self.nodes = []  # every one that is not freed

    def nodes_of(self, t):
        return [node for node in self.nodes if node.thread is t]


class World(Turns, Watcher):
    def __init__(self, program, operations):
        self.program, self.operations = program, operations
        self.position = 0
        self.model = Everything()
        self.slots = [None] * SLOTS
        self.real = {}
        self.weak = {}
        self.labels = 0
        self.turns_setup()
        self.pending = None  # the model's part of an operation that may fail for want of memory
        self.pending_for = None
        self.child_left = None  # in the child of a fork: operations until its end
        self.did = Counter()
        self.bursting = self.cautious = False
        self.counted = 0
        self.contexts = [Context(contextvars.Context()) for _ in range(8)]
        self.generators = [None] * 8
        self.frames = [None] * 16
        self.depths = {}
        self.watch_setup()
        sys.unraisablehook = self.unraisable

    # --- short names

    @property
    def me(self):
        return self.threads[self.turn].current

    def depth(self):
        return len(self.me.levels)

    # --- life of the world

    def run(self):
        self.join(0)
        self.base()
        self.check(not self.model.expected, "something is still expected at the end")
        self.check_all()
        counts = stats()
        self.check(counts["chunks"] == counts["greenlets"], f"first chunks have been lost: {counts}")

    def add(self, node, real):
        self.model.nodes.append(node)
        self.real[node.label] = real
        self.weak[node.label] = weakref.ref(real)

    def new_label(self):
        self.labels += 1
        return self.labels

    def base(self):
        while True:
            try:
                self.loop()
            except Finish:
                return
            except BaseException as raised:
                self.caught(raised, 0)

    def agent(self, label, /, *args, **kwargs):
        """What a greenlet runs."""
        self.started(label, args, kwargs)
        try:
            self.loop()
        except Finish as finish:
            return finish.value

    def loop(self):
        label, depth = self.me.label, self.depth()
        while True:
            self.settle(label, depth)
            name, *numbers = self.next()
            if self.operations[name](self, *numbers):
                return

    def next(self):
        if self.child_left is not None:
            self.child_left -= 1
            if self.child_left < 0:
                self.check_all()
                os._exit(0)
        if self.position < len(self.program):
            self.position += 1
            return self.program[self.position - 1]
        if self.child_left is not None:
            os._exit(0)
        self.position += 1
        self.check(self.position < len(self.program) + 20_000, "the world does not come to its end")
        return self.closing()

    def closing(self):
        """Operations that take the world apart: everybody home, everybody dead, the threads ended."""
        t, me = self.t, self.me
        for listener in t.listeners():
            listener.mode = None
        if me is not t.main:
            return ("_home",)
        if me.levels:
            return ("_raise",)
        if t.index % 2 and not any(node.inside("collect") for node in self.model.nodes_of(t)):
            return ("_exit",)  # with all that is parked there
        for node in self.slots:
            if node is not None and node.thread is t and node.state == SUSPENDED:
                return ("_kill", node.slot)
        held = self.held()
        for node in self.slots:
            if node is not None and self.droppable(node, held):
                return ("_drop", node.slot)
        for node in self.model.nodes_of(t):
            if node.slot is None and node is not t.main and node not in t.doomed and None in self.slots:
                return ("_take", node)  # only a child refers to it, and that cannot be dropped
        if t.doomed and (not self.turn or any(node.inside("collect") for node in t.doomed)):
            return ("inspect", 0, 0, 0, 0)
        if self.turn:
            return ("_exit",)
        for other in self.threads[1:]:
            if other is not None:
                return ("_turn", other.index)
        return ("_stop",)

    # --- reports of what happens

    def fail(self, message, seen=None):
        """The end of the process, in whatever thread, greenlet or finalizer this is."""
        sys.settrace(None)
        sys.setprofile(None)
        step = f"step {self.position} of {len(self.program)}"
        operation = self.program[self.position - 1] if 0 < self.position <= len(self.program) else "closing"
        child = " in a forked child" if self.child_left is not None else ""
        lines = [
            f"MISMATCH{child} at {step} {operation}: {message}\n",
            f"  thread {self.turn}, current by the model {self.me}\n",
            f"  inside of {[level.kind for level in self.me.levels]}\n",
            f"  still expected: {list(self.model.expected)[:6]}\n",
            *traceback.format_stack(sys._getframe(1)),
            *(traceback.format_exception(seen) if isinstance(seen, BaseException) else ()),
        ]
        os.write(2, "".join(lines).encode(errors="backslashreplace"))
        os._exit(3)

    def check(self, holds, message):
        if not holds:
            self.fail(message)

    def running(self):
        """The label of the greenlet that really runs; None if this is not the time to ask.

        While greenlets that other threads have dropped wait for their end, any call of the engine would end
        them; it shall be the next switch that does, with whatever is in flight. (The model is ahead: it has
        ended them already.)
        """
        return None if self.cautious else getattr(getcurrent(), "label", None)

    def observe(self, kind, label, seen=None):
        if self.pending is not None:
            pending, self.pending = self.pending, None
            pending()
        if not self.model.expected:
            self.fail(f"saw {kind} {label} {seen!r}, nothing was expected", seen)
        item = self.model.expected.popleft()
        subject = item.facts[0]
        if item.kind != kind or label not in (None, subject.label if isinstance(subject, Node) else subject):
            self.fail(f"saw {kind} {label} {seen!r}, expected {item}", seen)
        self.did[kind] += 1
        return item

    def started(self, label, args, kwargs):
        item = self.observe("start", label, (args, kwargs))
        self.check(self.running() in (None, label), "started in another greenlet")
        if not (same(item.facts[1], args) and same(item.facts[2], kwargs)):
            self.fail(f"started with {args} {kwargs}, expected {item}")

    def arrived(self, got):
        item = self.observe("arrive", self.running(), got)
        kind, expected, *_ = item.facts[1]
        if kind != "value" or not same(expected, got):
            self.fail(f"arrived with {got!r}, expected {item}")

    def arrived_with(self, raised):
        """True if the exception ends here: the switch was refused, nothing has moved."""
        label = self.running()
        if self.pending is not None and isinstance(raised, MemoryError) and label == self.pending_for:
            self.pending = None
            self.me.holds = ()
            self.did["no memory"] += 1
            return True
        item = self.observe("arrive", label, raised)
        kind, expected = item.facts[1][:2]
        if kind not in ("error", "refused") or not expected.matches(raised):
            self.fail(f"arrived with the exception {raised!r}, expected {item}", raised)
        if expected.tail is not None:
            place = raised.__traceback__
            while place.tb_next is not None:
                place = place.tb_next
            self.check(place.tb_frame is expected.tail, "the traceback that was thrown is lost")
            expected.tail = None
        self.did[kind] += 1
        return kind == "refused"

    def caught(self, raised, depth):
        item = self.observe("caught", self.running(), raised)
        if item.facts[1] != depth or not item.facts[2].matches(raised):
            self.fail(f"caught {raised!r} in level {depth}, expected {item}")

    def finalizer(self, label):
        if self.observe("finalizer", label).trip:
            self.trip()

    def unraisable(self, report):
        item = self.observe("unraisable", None, (report.exc_value, report.err_msg, report.object))
        if not item.facts[0].matches(report.exc_value):
            self.fail(f"unraisable {report.exc_value!r}, expected {item}")

    def trip(self):
        try:
            greenlet(nothing).switch()
        except Bomb:
            pass

    def reap(self):
        self.model.reap(self.t)
        getcurrent()

    # --- what every switch of the program goes through

    def park(self, label, args, kwargs):
        try:
            if kwargs:
                got = self.real[label].switch(*args, **kwargs)
            elif len(args) == 1:
                got = self.real[label].switch(args[0])
            elif not args:
                got = self.real[label].switch()
            else:
                got = self.real[label].switch(*args)
            while type(got) is Burst:
                got = got.play()
        except BaseException as raised:
            if not self.arrived_with(raised):
                raise
        else:
            self.arrived(got)

    def park_thrown(self, label, args):
        try:
            got = self.real[label].throw(*args)
            while type(got) is Burst:
                got = got.play()
        except BaseException as raised:
            if not self.arrived_with(raised):
                raise
        else:
            self.arrived(got)

    # --- choices

    def held(self):
        return {held.label for node in self.model.nodes for held in node.holds}

    def droppable(self, node, held):
        """Nothing but a slot, the thread and children refer to it: see model.py on `holds`."""
        if node.kind == "method" and (node.state != DEAD or node.abandoned):
            return False  # its run() is a bound method, which lies on its own stack
        return node.label not in held

    def pick(self, number, fits=None):
        """A node in a slot: the first one that fits, from a random place on."""
        start = number % SLOTS
        for i in range(SLOTS):
            node = self.slots[(start + i) % SLOTS]
            if node is not None and (fits is None or fits(node)):
                return node
        return None

    def here(self, node):
        return thread_of(node) is self.t

    def push(self, kind, **facts):
        level = Level(kind, **facts)
        self.did["in " + kind] += 1
        self.me.levels.append(level)
        return level


def nothing():
    pass
