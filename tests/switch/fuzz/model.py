"""The engine, once more, in plain Python: who runs next and with what, who dies, who is freed, in what order.

Nothing here imports the engine. The model does not react to the engine either: an operation is carried out on
the model first, completely, and leaves a list of what must now be seen (`expected`), in order: calls of
switch hooks, arrivals with a value or an exception, exceptions that are caught, finalizers, reports of
exceptions that nobody gets. The real side takes the items off one by one as things happen; if all agree, then
values, states, parents and lifetimes were what they should be at each step.

References to greenlets are counted as the engine and the interpreter hold them: a slot of the world, the
thread that it runs in, each child, the ring of the dropped. The operand stack of a caller of switch() holds
one more, on the target; it is kept apart (`holds`), since what is held that way may not be dropped: a circle
through frames is nothing that a count of references can follow.

Where Python code runs inside C code of the engine (a greenlet that is dropped gets GreenletExit; a hook makes
a round trip of its own), the greenlet that waits in C is `inner`: an arrival there is not seen by Python
and goes back to the caller in this file, which is in the middle of the same recursion.
"""

from collections import deque

from nodes import CURRENT, DEAD, FRESH, SUSPENDED, Bomb, Expected, Node, Raised, Thrown, thread_of


def to_value(cargo):
    """What switch() returns for what was given to the other side's switch()."""
    if cargo[0] != "args":
        return cargo
    _, args, kwargs = cargo
    if kwargs:
        return ("value", (args, kwargs) if args else kwargs)
    return ("value", args[0] if len(args) == 1 else args)


def to_args(cargo):
    return ("args", (cargo[1],), None) if cargo[0] == "value" else cargo


class Model:
    def __init__(self, exit_class, error_class):
        self.exit_class, self.error_class = exit_class, error_class
        self.expected = deque()
        self.switches = self.kills = self.dooms = 0
        self.collecting = False  # inside a finalizer called by the collector
        self.collector = None  # the node that is: nobody is ended in its stack until it has done
        self.returned = None  # what came back to an inner wait

    def expect(self, kind, *facts):
        item = Expected(kind, *facts)
        self.expected.append(item)
        return item

    # --- a switch

    def switch(self, t, target, args, kwargs):
        t.current.holds = (target,)
        self.travel(t, target, ("args", args, kwargs))

    def throw(self, t, target, raised):
        t.current.holds = (target,)
        self.travel(t, target, ("error", raised))

    def travel(self, t, target, cargo, finished=False):
        """Bring the cargo to the nearest live greenlet at or above the target."""
        while True:
            if target.state == CURRENT and target is t.current:
                return self.resume(t, target, self.announce(t, target, target, to_value(cargo)))
            if target.state == SUSPENDED and target.thread is t:
                return self.depart(t, target, to_value(cargo), finished)
            if target.state == FRESH and thread_of(target) is t:
                if cargo[0] != "error":
                    return self.depart(t, target, to_args(cargo), finished)
                target.state = DEAD
                continue
            if target.state == DEAD:
                if cargo[0] == "error" and issubclass(cargo[1].kind, self.exit_class):
                    cargo = ("value", cargo[1])
                if target.parent is not None:
                    target = target.parent
                    continue
            refused = Raised(kind=self.error_class)
            if not finished:
                return self.resume(t, t.current, ("refused", refused))
            cargo = ("error", refused)
            target = target.parent or t.main

    def depart(self, t, target, cargo, finished):
        me, fresh = t.current, target.state == FRESH
        me.state = DEAD if finished else SUSPENDED
        if finished:
            me.thread, me.holds = None, ()
        target.state, target.thread = CURRENT, t
        t.current = target
        target.refs += 1
        self.switches += 1
        cargo = self.announce(t, me, target, cargo)
        self.unrefer(t, me)
        self.reap(t)
        if not fresh:
            return self.resume(t, target, cargo)
        if cargo[0] == "error":
            return self.finish(t, target, cargo)
        if target.kind == "trip":
            return self.finish(t, target, ("value", None))
        target.parks += 1
        self.expect("start", target, cargo[1], cargo[2] or {})

    def resume(self, t, node, cargo):
        if node.inner:
            self.returned = cargo
            return
        node.holds = ()
        node.parks += 1
        node.chain = None
        self.expect("arrive", node, cargo)
        if cargo[0] == "error":
            self.unwind(t, node, cargo[1])

    def announce(self, t, origin, target, cargo):
        """The calls of tracer and hooks; returns what the target gets after them."""
        event = "throw" if cargo[0] == "error" else "switch"
        for listener in t.listeners():
            item = self.expect("hook", listener.name, event, origin.label, target.label)
            mode, listener.mode = listener.mode, None
            if mode == "bomb":
                item.bomb = Bomb(listener.name)
                if listener is t.tracer:
                    t.tracer = None
                else:
                    t.hooks.remove(listener)
                return ("error", Raised(item.bomb))
            if mode == "trip":
                item.trip = True
                self.trip(t)
        return cargo

    def trip(self, t):
        """To a new greenlet that ends at once, and back, out of C code."""
        self.reap(t)
        me = t.current
        node = Node(None, "trip", me)
        me.refs += 1
        me.inner += 1
        self.travel(t, node, ("args", (), None))
        me.inner -= 1
        self.unrefer(t, node)

    # --- ends

    def unwind(self, t, node, raised):
        """An exception is on its way up the levels of the current greenlet."""
        while node.levels:
            level = node.levels[-1]
            if level.kind == "try" and issubclass(raised.kind, Thrown):
                level.kind, level.handled = "handling", raised
                self.expect("caught", node, len(node.levels), raised)
                return
            self.leave(node, by_exception=True)
        if node is t.main:
            self.expect("caught", node, 0, raised)
        else:
            self.finish(t, node, ("error", raised))

    def leave(self, node, by_exception=False):
        level = node.levels.pop()
        if level.kind == "context":
            node.context = level.facts["previous"]
            level.facts["entered"].entered = False
        elif level.kind == "generator":
            level.facts["generator"].state = "finished" if by_exception else "suspended"
        elif level.kind == "collect":
            self.collecting, self.collector = False, None
            self.reap(node.thread)
        return level

    def leave_all(self, node):
        while node.levels:
            self.leave(node, by_exception=True)

    def finish(self, t, node, cargo):
        if cargo[0] == "error" and issubclass(cargo[1].kind, self.exit_class):
            cargo = ("value", cargo[1])
        self.travel(t, node.parent or t.main, cargo, finished=True)

    # --- lifetimes

    def unrefer(self, t, node):
        node.refs -= 1
        if node.refs == 0:
            self.dispose(t, node)

    def dispose(self, t, node):
        """The last reference has gone, in thread t."""
        if node.kind in ("finalized", "tripping") and not node.finalized:
            node.finalized = True
            item = self.expect("finalizer", node.label)
            if node.kind == "tripping":
                item.trip = True
                self.trip(t)
        if node.state == SUSPENDED:
            if node.thread is not t or t.current is self.collector:
                self.dooms += 1
                node.refs = 1
                node.thread.doomed.append(node)
                return
            node.refs = 1
            self.kill(t, node)
            node.refs = 0
        node.freed = True
        parent, node.parent = node.parent, None
        if parent is not None:
            self.unrefer(t, parent)

    def kill(self, t, victim):
        self.kills += 1
        killer, parent = t.current, victim.parent
        victim.parent = killer
        killer.refs += 1
        killer.inner += 1
        self.travel(t, victim, ("error", Raised(kind=self.exit_class)))
        killer.inner -= 1
        if self.returned[0] == "error":
            self.expect("unraisable", self.returned[1])
        victim.parent = parent
        self.unrefer(t, killer)

    def reap(self, t):
        if t.current is self.collector:
            return
        doomed, t.doomed = t.doomed, []
        for node in doomed:
            self.unrefer(t, node)

    def abandon(self, t):
        """A thread is gone; what was parked there is dead."""
        for node in self.nodes_of(t):
            node.state, node.thread = DEAD, None
            if node is self.collector:
                self.collector = None
            node.abandoned = node is not t.main and node is not t.current
            # What its frames refer to is leaked.
            for held in node.holds:
                held.refs += 1
            if node.kind == "method":
                node.refs += 1
            if not node.abandoned:
                node.context = None  # it was the thread's

    def nodes_of(self, t):
        raise NotImplementedError
