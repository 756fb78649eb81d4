"""What looks at a program from outside, or stops it: gdb, py-spy, pdb, unwinders, faulthandler."""

import ctypes
import faulthandler
import io
import json
import os
import pdb
import re
import subprocess
import sys
import sysconfig
import tempfile
import threading
import traceback
from pathlib import Path

import needed
import pytest
from helpers import ROOT
from switch.building import ENGINE, FLOOR_1, HERE, WARNINGS, build_extension, compiler, machine_switch, run

from corolib._switch import getcurrent, greenlet

NESTED = """
import sys
from corolib._switch import getcurrent, greenlet
{prepare}

def level_5():
    {act}
    return 5

def level_4():
    return sorted([1], key=lambda _: greenlet(level_5).switch())[0]

def level_3():
    return greenlet(level_4).switch()

def level_2():
    return next(map(lambda _: greenlet(level_3).switch(), [1]))

def level_1():
    # One more who is parked and whose slice lies elsewhere meanwhile.
    parked = greenlet(getcurrent().switch)
    parked.switch()
    return greenlet(level_2).switch()

def outside():
    print(greenlet(level_1).switch())

outside()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("debuggers")
    build_extension(
        folder / f"stack_client{sysconfig.get_config_var('EXT_SUFFIX')}", [HERE / "stack_client.c"], ["-O2"]
    )
    return folder


def environment(lanes):
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COROLIB_LANES": lanes}


def gdb(folder, commands, lanes):
    """The output of gdb when it stops at the landmark of the extension, in the fifth greenlet."""
    path = folder / "nested.py"
    path.write_text(
        NESTED.format(
            prepare=f"sys.path.insert(0, {str(folder)!r})\nimport stack_client",
            act="stack_client.landmark()",
        )
    )
    command = [needed.program("gdb"), "-nx", "-batch"]
    for line in (
        "set debuginfod enabled off",
        "set breakpoint pending on",
        "set pagination off",
        "break stack_landmark",
        "run",
        *commands,
        "kill",
    ):
        command += ["-ex", line]
    command += ["--args", sys.executable, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(lanes), timeout=80)
    if "ptrace" in done.stderr and "not permitted" in done.stderr.lower():
        needed.cannot("gdb may not trace processes here")
    assert "hit Breakpoint 1" in done.stdout or "Breakpoint 1," in done.stdout, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("lanes", ["1", "64"])
def test_a_backtrace_of_gdb_ends_at_the_entry_of_the_greenlet(folder, lanes):
    output = gdb(folder, ["bt -frame-arguments none"], lanes)
    frames = re.findall(r"^#(\d+) +(?:0x[0-9a-f]+ in )?(\S+)", output, re.MULTILINE)
    assert [int(number) for number, _ in frames] == list(range(len(frames)))
    names = [name for _, name in frames]
    assert names[0] == "stack_landmark"
    assert names[-1] == "outermost"
    # It ends by itself, not because gdb gives up on it.
    assert "Backtrace stopped" not in output
    # There is one evaluation loop in it: that of level_5, not that of the greenlets around.
    assert "landmark" in names
    assert sum("_PyEval_EvalFrameDefault" in name for name in names) == 1
    assert len(names) < 40


def test_the_python_backtrace_of_gdb_shows_the_running_greenlet(folder):
    """With the commands that CPython has for gdb, if they came with it."""
    base = Path(os.path.realpath(sys.executable))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    helpers = [
        path for path in (base.with_name(f"python{version}-gdb.py"), Path(f"{base}-gdb.py")) if path.exists()
    ]
    if not helpers:
        pytest.skip("this CPython came without its commands for gdb")
    output = gdb(folder, [f"source {helpers[0]}", "py-bt"], "64")
    functions = re.findall(r'File "[^"]*nested\.py", line \d+, in (\w+)', output)
    if not functions:
        # They read debugging information of the interpreter, which is often not there.
        assert re.search(r"Unable to (read|locate)|optimized out|not supported|No symbol|Error", output), (
            output
        )
        pytest.skip("the interpreter has no debugging information")
    assert functions == ["level_5"]


@pytest.mark.parametrize("flags", [["-O1"], ["-O2"], ["-O3", "-flto"]], ids=" ".join)
def test_a_walk_along_frame_pointers_ends_on_the_greenlet_s_stack(flags, tmp_path):
    program = tmp_path / "frame_pointer_test"
    run(
        *(*compiler(), "-std=gnu11", "-g", *WARNINGS, *flags),
        *("-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline"),
        *(f"-I{ENGINE}", f"-I{HERE / 'c'}", HERE / "c" / "frame_pointer_test.c", *FLOOR_1, machine_switch()),
        *("-o", program, "-lpthread"),
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def unwind():
    """How many frames the unwinder of the C library finds from here to the outermost."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "backtrace"):
        pytest.skip("a C library without backtrace()")
    frames = (ctypes.c_void_p * 1000)()
    return libc.backtrace(frames, 1000)


def test_an_unwinder_in_the_process_finds_the_end():
    main = getcurrent()

    def deep(levels):
        return sorted([0], key=lambda _: deep(levels - 1))[0] if levels else counts.append(unwind()) or 0

    def run(levels):
        deep(levels)
        main.switch()
        deep(levels)

    counts = []
    greenlet(deep).switch(0)
    shallow = counts.pop()
    assert shallow < 60
    deep(0)
    assert counts.pop() > shallow  # pytest's own frames
    children = [greenlet(run) for _ in range(200)]
    for child in children:
        child.switch(3)
    for child in children:
        child.switch()
    assert len(counts) == 400
    # Before and after being moved away; how many exactly differs while the interpreter warms up.
    assert all(shallow < count < 100 for count in counts), counts


def spied(folder, lanes, *options):
    """Names of the functions that py-spy shows of a program that stands in the fifth greenlet."""
    spy = needed.program("py-spy")
    path = folder / "spied.py"
    path.write_text(
        NESTED.format(
            prepare=f"sys.path.insert(0, {str(folder)!r})\nimport stack_client",
            act="print('ready', flush=True); sys.stdin.read()",
        )
    )
    target = subprocess.Popen(
        [sys.executable, str(path)],
        env=environment(lanes),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert target.stdout.readline() == "ready\n"
        done = subprocess.run(
            [spy, "dump", "--pid", str(target.pid), *options], capture_output=True, text=True, timeout=60
        )
    finally:
        target.communicate()
    assert target.returncode == 0
    if "Permission" in done.stderr or "Operation not permitted" in done.stderr:
        needed.cannot("py-spy may not trace processes here")
    if "Failed to find a python version" in done.stderr or "Unsupported version" in done.stderr:
        pytest.skip("this py-spy does not know this Python")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("lanes", ["1", "64"])
def test_py_spy_shows_the_running_greenlet(folder, lanes):
    output = spied(folder, lanes, "--json")
    [thread] = json.loads(output)
    assert [frame["name"] for frame in thread["frames"]] == ["level_5"]


@pytest.mark.slow
@pytest.mark.parametrize("lanes", ["1", "64"])
def test_py_spy_shows_the_native_stack_of_the_running_greenlet(folder, lanes):
    output = spied(folder, lanes, "--native", "--json")
    [thread] = json.loads(output)
    names = [frame["name"] for frame in thread["frames"]]
    assert "level_5" in names
    assert not {"level_1", "level_2", "level_3", "level_4", "outside"} & set(names)
    assert len(names) < 40


def test_the_debugger_of_the_standard_library_in_a_greenlet():
    """where, next over a switch, up: all within the greenlet, and the one switched to is not stopped in."""
    main = getcurrent()
    written = io.StringIO()
    commands = "where\nnext\nnext\np local\nup\nnext\ncontinue\n"
    debugger = pdb.Pdb(stdin=io.StringIO(commands), stdout=written, nosigint=True, readrc=False)
    debugger.use_rawinput = False

    def inner():
        local = "before"
        debugger.set_trace()
        local += main.switch("out")
        local += " more"
        return local

    def run():
        return inner()

    def elsewhere():
        return 1 + 1

    old = sys.gettrace()
    try:
        child = greenlet(run)
        assert child.switch() == "out"
        elsewhere()
        assert child.switch(" in") == "before in more"
    finally:
        sys.settrace(old)
    output = written.getvalue()
    where, _, rest = output.partition("local += main.switch")
    assert "inner()" in where  # the caller, in the answer to "where"
    assert "'before in" in rest
    assert "elsewhere" not in output
    assert "test_the_debugger" not in where.replace(__file__, "")


def test_a_debugger_may_set_trace_functions_on_frames_that_are_parked():
    """As the debuggers of editors do when a breakpoint is set in a running program.

    3.12 and later have to rewrite the code of a function before it can be traced. They do so when it is
    called and, at sys.settrace(), for those being executed, which parked ones are not: a function that
    stands parked can be traced if it has been called anywhere since.
    """
    main = getcurrent()
    lines = []

    def local(frame, event, arg):
        lines.append((frame.f_code.co_name, event, frame.f_lineno - frame.f_code.co_firstlineno))
        return local

    def inner():
        main.switch()
        a = 1
        return a

    def run():
        inner()
        return "end"

    child, other = greenlet(run), greenlet(run)
    child.switch()
    old = sys.gettrace()
    frame = child.gr_frame
    while frame is not None:
        frame.f_trace = local
        frame = frame.f_back
    sys.settrace(lambda frame, event, arg: None)
    try:
        if sys.version_info >= (3, 12):
            other.switch()
        assert child.switch() == "end"
    finally:
        sys.settrace(old)
    assert lines == [
        ("inner", "line", 2),
        ("inner", "line", 3),
        ("inner", "return", 3),
        ("run", "line", 2),
        ("run", "return", 2),
    ]


def test_printed_stacks_begin_at_the_greenlet():
    def level_2():
        file = io.StringIO()
        traceback.print_stack(file=file)
        return file.getvalue()

    def level_1():
        return greenlet(level_2).switch()

    printed = greenlet(level_1).switch()
    assert re.findall(r", in (\w+)", printed) == ["level_2"]


def test_the_frames_of_other_threads_are_those_of_their_running_greenlets():
    ready, end = threading.Event(), threading.Event()

    def level_2():
        ready.set()
        end.wait(30)

    def level_1():
        for _ in range(100):  # parked and evicted ones beside it
            parked.append(greenlet(getcurrent().switch))
            parked[-1].switch()
        greenlet(level_2).switch()

    def body():
        greenlet(level_1).switch()
        parked.clear()

    parked = []
    thread = threading.Thread(target=body)
    thread.start()
    assert ready.wait(30)
    frame = sys._current_frames()[thread.ident]
    found = [entry.name for entry in traceback.extract_stack(frame)]
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        dumped = file.read().split("\n\n")
    end.set()
    thread.join()
    assert found[0] == "level_2"
    assert "body" not in found and "level_1" not in found
    [its] = [part for part in dumped if "level_2" in part]
    assert "level_1" not in its and "in body" not in its
