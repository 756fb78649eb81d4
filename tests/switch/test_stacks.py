"""Stacks at their limits: recursion without end, frames of a megabyte, more than memory holds."""

import re
import sys
import sysconfig

import pytest
from helpers import EMULATED, run_isolated
from switch.building import ENGINE, HERE, build_extension

GUARD = eval(
    re.search(r"#define STACK_GUARD \(\(size_t\)(\d+ << \d+)\)", (ENGINE / "stack.h").read_text())[1]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks")
    for name in ("stack_client", "capi_client"):
        build_extension(
            folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}", [HERE / f"{name}.c"], ["-O2"]
        )
    return folder


STACKS = {
    "a lane": {"before": 0},
    "the last lane": {"before": 63},
    "a lane of many": {"before": 200},
    "the only lane": {"before": 5, "lanes": 1},
    "a pinned one": {"before": 5, "pin": True},
}


def on_stack(which, folder, body, *args, **kwargs):
    """Run body() on one of the engine's stacks, with parked greenlets on the others."""
    stack = STACKS[which]
    script = f"""
import sys
sys.path.insert(0, {str(folder)!r})
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import stack_client
from corolib._switch import get_lanes, getcurrent, greenlet
main = getcurrent()

def mappings():
    with open("/proc/self/maps") as file:
        for line in file:
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            yield low, high, line.split()[1]

def watch():
    here = stack_client.here()
    low = next(low for low, high, _ in mappings() if low <= here < high)
    assert any(high == low and mode.startswith("---") for _, high, mode in mappings()), "no guard"
    for number, child in enumerate(before + after):
        if child._stack_saved or child.dead:
            stack_client.evicted(number)
    stack_client.watch(low, {GUARD})

{body}

before = [greenlet(stack_client.canary) for _ in range({stack["before"]})]
for number, child in enumerate(before):
    child.switch(number, main)
# One who has gone leaves its lane to the next one, who then has neighbours on both sides.
if before and get_lanes() > 1:
    assert before[len(before) // 2].switch() is True
child = greenlet(body, pin={stack.get("pin", False)})
after = [greenlet(stack_client.canary) for _ in range({0 if stack["before"] else 3})]
for number, other in enumerate(after, len(before)):
    other.switch(number, main)
child.switch(*map(int, sys.argv[1:]))
for other in before + after:
    if not other.dead:
        assert other.switch() is True
"""
    env = {"COROLIB_LANES": str(stack.get("lanes", 64))}
    return run_isolated(script, *args, env=env, **kwargs)


@pytest.mark.parametrize("which", STACKS)
@pytest.mark.parametrize("frame", [64, 4096, 16 << 10, 256 << 10, 1000 << 10])
def test_an_overflow_ends_at_the_guard_however_large_the_frames(which, frame, folder):
    """A frame larger than the guard would step over it, into what lies below."""
    body = """
def body(frame):
    watch()
    stack_client.overflow(frame)
"""
    assert on_stack(which, folder, body, frame).stdout == "guard\n"


THROUGH_C = {
    "a callback from C": """
import ctypes

@ctypes.CFUNCTYPE(None)
def deeper():
    deeper()
    # An exception cannot pass through C: it is reported and the caller goes on.

def body():
    watch()
    sys.unraisablehook = lambda args: found.append(args.exc_type)
    found = []
    deeper()
    # 3.12 may find no room for the hook either, and then says it itself.
    assert all(kind is RecursionError for kind in found), found[:3]
    raise RecursionError
""",
    "json": """
import json
def body():
    watch()
    json.dumps(nested(10**6))
""",
    "repr": """
def body():
    watch()
    repr(nested(10**6))
""",
    "comparison": """
def body():
    watch()
    nested(10**6) == nested(10**6)
""",
    "sorting": """
def deeper(_):
    return sorted([1], key=deeper)
def body():
    watch()
    deeper(1)
""",
}


@pytest.mark.parametrize("which", ["a lane", "the only lane", "a pinned one"])
@pytest.mark.parametrize("how", THROUGH_C)
def test_recursion_through_c_without_a_limit_ends_in_an_error_or_at_the_guard(which, how, folder):
    """Which of the two is the interpreter's choice: 3.12 and later have a limit for C of their own."""
    body = f"""
sys.setrecursionlimit(2**31 - 1000)

def nested(depth):
    made = []
    for _ in range(depth):
        made = [made]
    return made

{THROUGH_C[how]}

inner = body
def body():
    try:
        inner()
    except RecursionError:
        print("RecursionError", flush=True)
        # What is nested so deeply is not freed here: that is somebody else's recursion.
        import os
        os._exit(0)
"""
    assert on_stack(which, folder, body).stdout in ("guard\n", "RecursionError\n")


DEEP = """
import ast, copy, io, json, pickle, re
from corolib._switch import getcurrent, greenlet

def nested(depth, wrap):
    made = []
    for _ in range(depth):
        made = wrap(made)
    return made

def tree(depth):
    place = {"lineno": 1, "col_offset": 0}
    made = ast.Constant(1, **place)
    for _ in range(depth):
        made = ast.UnaryOp(ast.USub(), made, **place)
    return ast.Expression(made)

lists = nested(50_000, lambda inner: [inner])
others = nested(50_000, lambda inner: [inner])
dicts = nested(50_000, lambda inner: {"a": inner})
deep_tree = tree(50_000)
types = str
for _ in range(50_000):
    types = (types,)

class Repr:
    def __repr__(self):
        return repr(self)

class Lookup:
    def __getattr__(self, name):
        return getattr(self, name + "x")

operations = {
    "repr of lists": lambda: repr(lists),
    "repr of dicts": lambda: repr(dicts),
    "repr of itself": lambda: repr(Repr()),
    "comparison": lambda: lists == others,
    "order": lambda: lists < others,
    "instance": lambda: isinstance(1, types),
    "json out": lambda: json.dumps(lists),
    "json in": lambda: json.loads("[" * 100_000),
    "json in, objects": lambda: json.loads('{"a":' * 100_000),
    "pickle": lambda: pickle.dumps(dicts),
    "pickle in Python": lambda: pickle._dumps(lists),
    "copy": lambda: copy.deepcopy(lists),
    "re": lambda: re.compile("(?:" * 50_000),
    "source": lambda: compile("-" * 50_000 + "1", "name", "eval"),
    "tree": lambda: compile(deep_tree, "name", "eval"),
    "literal": lambda: ast.literal_eval("-" * 50_000 + "1"),
    "attributes": lambda: Lookup().x,
    "sort": lambda: (lambda f: f(f))(lambda f: sorted([1], key=lambda _: f(f))),
}
# What the interpreter says depends on the operation and on its version; it must be an exception.
ERRORS = (RecursionError, MemoryError, OverflowError, SyntaxError, re.error, ValueError)

def work(name):
    try:
        operations[name]()
    except ERRORS as error:
        return type(error).__name__
    return "done"

def run(name):
    main.switch("parked")
    return work(name)

main = getcurrent()
native = {name: work(name) for name in operations}
assert "RecursionError" in native.values()
for pin in (False, True):
    for name in operations:
        child = greenlet(run, pin=pin)
        child.switch(name)
        for _ in range(2):  # what it stands on goes to others meanwhile
            greenlet(len).switch("")
        found = child.switch()
        # A stack of 8 MiB is as good as the main one; memory for a parser may be counted otherwise.
        assert found == native[name], (name, found, native[name])
        assert work(name) == native[name], name
"""


@pytest.mark.parametrize("lanes", [1, 64])
def test_deep_recursion_in_the_interpreter_is_an_error_as_on_the_main_stack(lanes):
    run_isolated(DEEP, env={"COROLIB_LANES": str(lanes)}, timeout=80)


def test_frames_of_megabytes_park_and_come_back(folder):
    run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import capi_client
        from corolib._switch import getcurrent, greenlet
        main = getcurrent()
        sizes = [1024, 7 * 1024, 1, 3 * 1024]
        children = [greenlet(capi_client.park) for _ in range(40)]
        for number, child in enumerate(children):
            child.switch(sizes[number % 4], main)
        assert all(child.switch() is True for child in children)
        """,
        env={"COROLIB_LANES": "3"},
    )


TOO_MANY = """
    import gc, resource, sys
    sys.path.insert(0, sys.argv[1])
    import capi_client
    from corolib._switch import getcurrent, greenlet, stats
    main = getcurrent()
    kilobytes, wanted, room = map(int, sys.argv[2:])

    def size():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * 4096

    warm = greenlet(capi_client.park)
    warm.switch(kilobytes, main)
    greenlet(len).switch("")
    resource.setrlimit(resource.RLIMIT_AS, (size() + (room << 20), resource.RLIM_INFINITY))
    children = [warm]
    reserve = bytearray(1 << 20)  # for what Python itself needs to look at the result
    try:
        for _ in range(wanted):
            child = greenlet(capi_client.park)
            child.switch(kilobytes, main)
            children.append(child)
    except MemoryError:
        child = reserve = None
    else:
        raise AssertionError("there was memory for all")
    # Each has its slice in memory but one.
    assert len(children) * (kilobytes << 10) > room << 19, len(children)
    parked = stats()["greenlets"]
    # It goes on, as far as memory allows, and nobody has lost anything.
    for child in children:
        for attempt in range(2):
            try:
                assert child.switch() is True
                break
            except MemoryError:
                # Its own return needs memory for those on its lane; let go of some first.
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert child.dead
    assert stats()["greenlets"] == parked - len(children)
"""


@pytest.mark.parametrize(
    ("wanted", "room"),
    [
        (2000, 100),
        pytest.param(100_000, 2000, marks=[pytest.mark.slow, pytest.mark.hang_after(300)]),
    ],
)
@pytest.mark.heavy
@pytest.mark.skipif(EMULATED, reason="an emulated processor knows no limit of address space")
def test_more_large_stacks_than_memory_holds_are_a_memory_error(folder, wanted, room):
    run_isolated(TOO_MANY, folder, 200, wanted, room, env={"COROLIB_LANES": "4"}, timeout=250)


def test_callbacks_from_a_database_park_and_come_back():
    """Large frames of a library that knows nothing of greenlets, and that gives up the GIL around them."""
    sqlite3 = pytest.importorskip("sqlite3")
    from corolib._switch import getcurrent, greenlet

    main = getcurrent()

    def run(number):
        connection = sqlite3.connect(":memory:")
        connection.create_function("wait", 1, lambda value: main.switch(value) or value)
        connection.create_collation("odd", lambda a, b: main.switch(0) or (a > b) - (a < b))
        connection.execute("create table t (a, b text)")
        connection.executemany("insert into t values (?, ?)", [(number, "x"), (number + 1, "a")])
        rows = connection.execute("select wait(a), b from t order by b collate odd").fetchall()
        connection.close()
        return rows

    children = [greenlet(run) for _ in range(100)]
    results = {}
    for number, child in enumerate(children):
        child.switch(number)
    while len(results) < 100:
        for number, child in enumerate(children):
            if not child.dead:
                got = child.switch()
                if child.dead:
                    results[number] = got
    assert results == {n: [(n + 1, "a"), (n, "x")] for n in range(100)}


if sys.platform == "darwin":
    pytestmark = pytest.mark.skip("reads /proc")
