"""Operations on the graph: greenlets come, switch, throw, get other parents, are dropped, end.

Each is called with the world and the numbers of the program, decides what they mean now, carries it out on
the model, then on the engine. It returns True if the loop that called it shall return.
"""

from functools import partial

from nodes import FRESH, SUSPENDED, Finish, Node, Raised, Thrown, thread_of

from corolib._switch import GreenletExit, greenlet


class Token:
    """What travels: equal to nothing but itself."""


class Plain(greenlet):
    pass


class Slotted(greenlet):
    __slots__ = ("label", "other")


class WithFinalizer(greenlet):
    def __init__(self, w, *args):
        super().__init__(*args)
        self.w = w

    def __del__(self):
        w, label = self.w, self.label
        del self
        w.finalizer(label)


class Method(greenlet):
    """run() is a method: the bound method on its own stack keeps it alive until its end."""

    def __init__(self, w, label, *args):
        super().__init__(None, *args)
        self.w, self.label = w, label

    def run(self, /, *args, **kwargs):
        w, label = self.w, self.label
        del self
        return w.agent(label, *args, **kwargs)


KINDS = ("raw", "raw", "raw", "plain", "slotted", "finalized", "tripping", "method", "pinned")


def make(w, kind, label, parents):
    run = partial(w.agent, label)
    if kind == "plain":
        return Plain(run, *parents)
    if kind == "slotted":
        return Slotted(run, *parents)
    if kind in ("finalized", "tripping"):
        return WithFinalizer(w, run, *parents)
    if kind == "method":
        return Method(w, label, *parents)
    if kind == "pinned":
        return greenlet(run, *parents, pin=True)
    return greenlet(run, *parents)


def create(w, a, b, c, d):
    if None not in w.slots:
        return
    slot = a % len(w.slots)
    while w.slots[slot] is not None:
        slot = (slot + 1) % len(w.slots)
    parent = w.me
    explicit = c % 4 == 0 and w.pick(d, None if c % 16 == 0 else w.here)
    if explicit:
        parent = explicit
    w.model.reap(w.t)
    node = Node(w.new_label(), KINDS[b % len(KINDS)], parent)
    parent.refs += 1
    node.slot = slot
    w.slots[slot] = node
    if explicit:
        real = make(w, node.kind, node.label, (w.real[parent.label],))
    else:
        real = make(w, node.kind, node.label, ())
    real.label = node.label
    w.add(node, real)
    del real


def values(number):
    kind = number % 7
    args = tuple(Token() for _ in range((0, 1, 1, 1, 3, 0, 2)[kind]))
    if kind == 2:
        args = ((Token(), Token()),)  # one argument that is a tuple
    if kind == 3:
        args = (None,)
    kwargs = {"one": Token(), "two": Token()} if kind >= 5 else {}
    return args, kwargs


def target(w, a, b):
    """Mostly one of this thread that is suspended or fresh, at times any."""
    if b % 16 == 0:
        return w.pick(a)
    return w.pick(a, lambda n: w.here(n) and n.state in (FRESH, SUSPENDED)) or w.pick(a, w.here)


def switch(w, a, b, c, d):
    node = target(w, a, b)
    if node is None:
        return
    args, kwargs = values(c)
    me, chain = w.me, w.chain() if d % 8 == 0 else None
    w.model.switch(w.t, node, args, kwargs)
    me.chain = chain if me.state == SUSPENDED else None
    w.park(node.label, args, kwargs)


def home(w, a, b, c, d):
    if w.me is not w.t.main:
        args, kwargs = values(c)
        node = w.t.main
        w.model.switch(w.t, node, args, kwargs)
        w.park(node.label, args, kwargs)


def throw(w, a, b, c, d):
    node = target(w, a, b)
    if node is None:
        return
    kind = c % 6
    if kind == 0:
        args, raised = (), Raised(kind=GreenletExit)
    elif kind == 1:
        args, raised = (Thrown,), Raised(kind=Thrown)
    elif kind == 2:
        args, raised = (Thrown, d), Raised(kind=Thrown)
    elif kind == 3:
        instance = GreenletExit(d)
        args, raised = (instance,), Raised(instance)
    elif kind == 4:
        instance = Thrown(d)
        args, raised = (instance,), Raised(instance)
    else:
        instance = Thrown(d)
        traceback = make_traceback()
        args, raised = (Thrown, instance, traceback), Raised(instance, tail=traceback.tb_frame)
    w.model.throw(w.t, node, raised)
    w.park_thrown(node.label, args)


def make_traceback():
    try:
        raise Thrown
    except Thrown as error:
        return error.__traceback__


def parent(w, a, b, c, d):
    node, new = w.pick(a, None if c % 8 == 0 else w.here), w.pick(b, None if d % 8 == 0 else w.here)
    if c % 16 == 1:
        new = w.t.main
    if node is None or new is None:
        return
    up, error = new, None
    while up is not None and up is not node:
        up = up.parent
    if up is node:
        error = "cyclic parent chain"
    elif node.thread is not None and thread_of(new) is not node.thread:
        error = "parent cannot be on a different thread"
    if error is None:
        new.refs += 1
        old, node.parent = node.parent, new
        if old is not None:
            w.model.unrefer(w.t, old)
    try:
        w.real[node.label].parent = w.real[new.label]
    except ValueError as raised:
        w.check(str(raised) == error, f"set parent: {raised!r}, expected {error}")
    else:
        w.check(error is None, f"set parent of {node} to {new}: nothing raised, expected {error}")


def drop(w, a, b, c, d):
    """By its own thread or by another one, which has to leave the end of a suspended one to the owner."""
    held = w.held()
    wanted = (
        None,
        lambda n: n.thread is w.t and n.state == SUSPENDED,
        lambda n: n.thread not in (None, w.t) and n.state == SUSPENDED,
        w.here,
    )[b % 4]
    node = w.pick(a, lambda n: (wanted is None or wanted(n)) and w.droppable(n, held))
    if node is not None:
        _drop(w, node.slot)


def _drop(w, slot):
    node, w.slots[slot] = w.slots[slot], None
    node.slot = None
    w.model.unrefer(w.t, node)
    del w.real[node.label]


def _take(w, node):
    node.slot = w.slots.index(None)
    node.refs += 1
    w.slots[node.slot] = node
    w.real[node.label] = w.weak[node.label]()


def kill(w, a, b, c, d):
    node = w.pick(a, lambda n: n.thread is w.t and n.state == SUSPENDED)
    if node is not None:
        _kill(w, node.slot)


def _kill(w, slot):
    node = w.slots[slot]
    w.model.throw(w.t, node, Raised(kind=GreenletExit))
    w.park_thrown(node.label, ())


def finish(w, a, b, c, d):
    if w.me is w.t.main:
        return
    w.model.leave_all(w.me)
    result = (None, Token(), (Token(),), ())[a % 4]
    w.model.finish(w.t, w.me, ("value", result))
    raise Finish(result)


def fail(w, a, b, c, d):
    instance = (Thrown, Thrown, GreenletExit)[a % 3](b)
    w.model.unwind(w.t, w.me, Raised(instance))
    raise instance


def _raise(w):
    instance = GreenletExit()
    w.model.unwind(w.t, w.me, Raised(instance))
    raise instance


def reraise(w, a, b, c, d):
    handled = w.me.handled()
    if handled is None:
        try:
            raise
        except RuntimeError:
            return
    w.model.unwind(w.t, w.me, Raised(handled))
    raise


GRAPH = {
    "create": create,
    "switch": switch,
    "home": home,
    "_home": lambda w: home(w, 0, 0, 0, 0),
    "throw": throw,
    "parent": parent,
    "drop": drop,
    "_drop": _drop,
    "_take": _take,
    "kill": kill,
    "_kill": _kill,
    "finish": finish,
    "fail": fail,
    "_raise": _raise,
    "reraise": reraise,
}
