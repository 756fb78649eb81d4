"""What the model is made of: greenlets, threads, levels, exceptions on their way; and comparing values."""

FRESH, SUSPENDED, CURRENT, DEAD = "fresh", "suspended", "current", "dead"


class Thrown(Exception):
    """What the levels called "try" catch."""


class Bomb(BaseException):
    """What only the base of a main greenlet catches."""


class Finish(BaseException):
    """Ends a greenlet from any depth; carries its result."""

    def __init__(self, value=None):
        self.value = value


class Raised:
    """An exception on its way: an instance, or a class whose instance is known when it is first seen."""

    def __init__(self, instance=None, kind=None, tail=None):
        self.instance = instance
        self.kind = kind if instance is None else type(instance)
        self.tail = tail  # the frame that its traceback has to end with

    def matches(self, actual):
        if self.instance is None and type(actual) is self.kind:
            self.instance = actual
        return actual is self.instance

    def __repr__(self):
        return f"<raised {self.kind.__name__} {self.instance!r}>"


def same(expected, actual):
    """Are these the same objects, inside of tuples and dicts too?"""
    if isinstance(expected, Raised):
        return expected.matches(actual)
    if type(expected) is tuple:
        pairs = zip(expected, actual, strict=False) if type(actual) is tuple else ()
        return type(actual) is tuple and len(actual) == len(expected) and all(same(*p) for p in pairs)
    if type(expected) is dict:
        return (
            type(actual) is dict
            and list(expected) == list(actual)
            and all(same(expected[k], actual[k]) for k in expected)
        )
    return actual is expected


class Level:
    """One construct that a greenlet is inside of: the real side has a stack of frames for each."""

    def __init__(self, kind, weight=6, handled=None, **facts):
        self.kind = kind
        self.weight = weight  # Python frames, about
        self.handled = handled  # what sys.exc_info() shows in it, a Raised
        self.depths = [None, None]  # recursion as measured first, see travelling.probe
        self.facts = facts


class Node:
    """A greenlet."""

    def __init__(self, label, kind, parent=None):
        self.label = label
        self.kind = kind
        self.state = FRESH
        self.thread = None
        self.parent = parent
        self.refs = 1
        self.holds = ()  # nodes its operand stacks refer to
        self.slot = None
        self.levels = []
        self.depths = [None, None]
        self.context = None
        self.inner = 0  # waits in C code of the engine, so many times
        self.parks = 0  # how often it has arrived: tells whether it is where it was
        self.chain = None  # what its own stack looked like when it parked, if it looked
        self.abandoned = False  # died with its thread
        self.freed = False
        self.finalized = False

    def __repr__(self):
        return f"<{self.label} {self.kind} {self.state}>"

    def handled(self):
        for level in reversed(self.levels):
            if level.handled is not None:
                return level.handled.instance
        return None

    def weight(self):
        return sum(level.weight for level in self.levels)

    def inside(self, kind):
        return any(level.kind == kind for level in self.levels)


class Listener:
    """The tracer or a switch hook. The next call of it may raise ("bomb") or switch ("trip")."""

    def __init__(self, name):
        self.name = name
        self.mode = None
        self.real = None


class Thread:
    def __init__(self, index, main):
        self.index = index
        self.main = self.current = main
        self.tracer = None
        self.hooks = []
        self.doomed = []  # dropped by other threads
        self.profiled = self.traced = False

    def listeners(self):
        return [*([self.tracer] if self.tracer else []), *self.hooks]


class Expected:
    """Something that must be seen now."""

    def __init__(self, kind, *facts):
        self.kind, self.facts = kind, facts
        self.bomb = None
        self.trip = False

    def __repr__(self):
        return f"{self.kind}{self.facts}"


def thread_of(node):
    while node is not None and node.thread is None:
        node = node.parent
    return node.thread if node is not None else None
