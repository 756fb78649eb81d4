"""What lies on the evaluation stacks of a greenlet that died with its thread is dropped, whatever it did.

The stack of a frame that is in a call of a C function (a switch is one) is known to the evaluation loop
alone before CPython 3.14; there its height is worked out from the code (corolib/_switch/height.h). A height
that is too low leaves a token alive, one that is too high ends the process or drops what is not the frame's.
"""

import random

import pytest
from helpers import run_isolated

# What a variable of C code refers to as well (the namespace of a class, the arguments of an __init__) is not
# here: that is lost with the C stack.

# What surrounds the place where it parks, @; T() makes a token that lies on the stack meanwhile.
EXPRESSIONS = [
    "(T(), @, T())",
    "[T(), T(), @]",
    "{T(): T(), T(): @}",
    "{T(), @}",
    "call(T(), @, T())",
    "call(T(), key=@, other=T())",
    "call(T(), *[T()], @)",
    "call(**{'key': T()}, other=@)",
    "T().method(T(), @)",
    "T().method(key=@)",
    "T()[@]",
    "T() < @",
    "T() < T() < @",
    "T() + @",
    "(@ or T())",
    "(T() and @)",
    "(T() if @ else T())",
    "(@ if T() else T())",
    "(not @)",
    "'%s %s' % (T(), @)",
    "[T(), *[T(), @]]",
    "{**{'a': T()}, 'b': @}",
    "[@ for x in [T()]]",
    "{T(): @ for x in [T()] for y in [T()]}",
    "(lambda x, y=T(): (x, @))(T())",
    "len([T(), @])",
    "print(T(), @)",
    "T(@)",
    "slice(T(), T(), @)",
    "T()[T():@]",
]
STATEMENTS = [
    "for a in [T(), T()]:\n    @",
    "for a in [T()]:\n    pass\nelse:\n    @",
    "while T():\n    @\n    break",
    "with manager(T()) as a, manager(T()):\n    @",
    "try:\n    raise Error(T())\nexcept Error as error:\n    clean()\n    @",
    "try:\n    raise Error(T())\nexcept (Error, OSError) as e:\n    clean()\n    for a in [T()]:\n        @",
    "try:\n    T()\nfinally:\n    @",
    "try:\n    raise Error(T())\nfinally:\n    clean()\n    @",
    "try:\n    try:\n        raise Error(T())\n    finally:\n        clean()\n        @\nexcept:\n    T()",
    "match [T(), T()]:\n    case [T() as a, *_]:\n        @",
    "match {'k': T()}:\n    case {'k': a, **rest} if a:\n        @",
    "def inner(a):\n    b = T()\n    @\ninner(T())",
    "class B:\n    def __init__(self):\n        @\nB()",
    "if T():\n    @\nelse:\n    T()",
    "for a in [T()]:\n    if a:\n        with manager(T()):\n            @\n            continue\n    T()",
    "global somewhere\na, b = T(), [T()]\n@",
    "a = T()\ndel a\n@",
]
PARKINGS = [
    "main.switch()",
    "main.switch(T())",
    "main.switch(T(), key=T())",
    "switch()",
    "switch(T())",
    "main.throw(Back)",
]

SCRIPT = """
    import gc, sys, threading
    from contextlib import contextmanager
    from corolib._switch import getcurrent, greenlet

    alive = 0

    class T:
        def __new__(cls, *args):
            global alive
            alive += 1
            return super().__new__(cls)

        def __init__(self, *args): pass

        def __del__(self):
            global alive
            alive -= 1

        def method(self, *args, **kwargs): pass
        def __getitem__(self, key): pass
        def __lt__(self, other): return True
        def __add__(self, other): pass
        def __format__(self, how): return ""

    class Error(Exception): pass
    class Back(Exception): pass

    def call(*args, **kwargs): pass

    def clean():
        # Somebody who holds a frame may look into it at any time: nothing of it is dropped then.
        sys.exc_info()[1].__traceback__ = None

    class manager:
        def __init__(self, value): self.value = value
        def __enter__(self): return self.value
        def __exit__(self, *exc): return False

    def attempt(source):
        space = {"T": T, "Error": Error, "Back": Back, "call": call, "clean": clean, "manager": manager}
        exec(source, space)
        kept = []

        def thread():
            child = greenlet(space["run"])
            try:
                child.switch(getcurrent(), getcurrent().switch, T())
            except Back:
                pass
            kept.append(child)

        runner = threading.Thread(target=thread)
        runner.start()
        runner.join()
        parked = bool(kept[0].gr_frame)
        before = alive
        kept.clear()
        gc.collect()
        return parked, before, alive

    for source in eval(sys.argv[1]):
        before = alive
        parked, during, left = attempt(source)
        if not parked or during <= before or left != before:
            print("parked", parked, "before", before, "during", during, "left", left)
            print(source)
            break
    print("done")
"""


def place(outer: str, inner: str) -> str:
    """Put statements where the @ of the outer ones is, as deep as it stands there."""
    line = next(part for part in outer.split("\n") if "@" in part)
    return outer.replace("@", inner.replace("\n", "\n" + " " * (len(line) - len(line.lstrip()))))


def program(chance: random.Random) -> str:
    lines = "def run(main, switch, a):\n    @"
    for _ in range(chance.randint(0, 3)):
        lines = place(lines, chance.choice(STATEMENTS))
    lines = place(lines, chance.choice(["@", "a = @", "return @"]))
    for _ in range(chance.randint(0, 4)):
        lines = lines.replace("@", f"({chance.choice(EXPRESSIONS)})")
    return lines.replace("@", chance.choice(PARKINGS))


@pytest.mark.parametrize(
    "seed", [1, 2, 3, pytest.param(range(10, 110), marks=[pytest.mark.slow, pytest.mark.hang_after(600)])]
)
def test_tokens_on_the_stacks_of_a_dead_thread_are_dropped(seed):
    for each in [seed] if isinstance(seed, int) else seed:
        chance = random.Random(each)
        done = run_isolated(SCRIPT, repr([program(chance) for _ in range(150)]))
        assert done.stdout == "done\n", f"seed {each}: {done.stdout}"
