"""A reference-leak runner: `pytest --leaks` runs each test several times and compares what is left.

    pytest tests/switch --leaks           three runs to warm up, three that count
    pytest tests/switch --leaks=2:5

What is run again is the test's function, with the same fixture values, and not the protocol around it:
between two measurements there is then nothing but the test, whereas pytest itself keeps a report, captured
output and cache entries for each pass through the protocol. The price is that values of fixtures are used
again: what the usual ones hold is put back between runs (`put_back`), and a test that depends on more fails
in its second run, which says so.

A leak is what grows in *every* run that counts, as in CPython's regrtest: caches fill up, dicts and free
lists are resized now and then, so 3, 0, 0 is none and 1, 1, 1 is one. What has no cache anywhere
(descriptors, greenlets, chunks) may not have grown at all over the runs. Who is suspected of the former gets
up to twice as many runs more, in which the growth has to go on.

What C code has from malloc is judged if malloc keeps no caches of its own, which count as in use:

    GLIBC_TUNABLES=glibc.malloc.tcache_count=0 pytest tests/switch --leaks

Not judged are, each with its reason in the summary:
- tests that start processes: what matters happens there. Seen by what they do (audit events), not by a list;
- tests marked with @pytest.mark.leaky(condition, reason=...): the leak is known, or what they show.
"""

import argparse
import ctypes
import gc
import linecache
import operator
import os
import re
import shutil
import sys
import typing
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import pytest

ROUNDS = 3
SKIP = "leaks: works in processes of its own"
PROCESSES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}


def runs(text: str) -> tuple[int, int]:
    try:
        warm, measured = map(int, text.split(":"))
    except ValueError:
        warm = measured = 0
    if warm < 1 or measured < 2:
        raise argparse.ArgumentTypeError(
            f"the form is WARM:MEASURED, at least 1:2, such as 3:3, not {text!r} (before a path: --leaks=3:3)"
        )
    return warm, measured


def add_option(parser: pytest.Parser) -> None:
    parser.getgroup("leaks").addoption(
        "--leaks",
        nargs="?",
        const=runs("3:3"),
        type=runs,
        metavar="WARM:MEASURED",
        help="run each test WARM + MEASURED times (3:3), fail those that leave something behind each time",
    )


# --- what is measured


def references() -> int:
    """Debug builds only."""
    # Strings that are interned for good are no leak of who first needed them: 3.12 and later, as in regrtest.
    return sys.gettotalrefcount() - 2 * _immortal_strings()


def blocks() -> int:
    # A thread keeps some dead greenlets for the next ones: a bounded cache, a block each.
    engine = sys.modules.get("corolib._switch")
    idle = engine.stats()["objects_idle"] if engine else 0
    return sys.getallocatedblocks() - _immortal_strings() - idle


def _immortal_strings() -> int:
    if sys.version_info >= (3, 13):
        return sys.getunicodeinternedsize(_only_immortal=True)
    return sys.getunicodeinternedsize() if sys.version_info >= (3, 12) else 0


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def maps() -> int:
    with open("/proc/self/maps", "rb") as file:
        return file.read().count(b"\n")


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def heap_bytes() -> int:
    """What C code has from malloc (glibc): saved slices, lanes' descriptions, objects above 512 bytes."""
    info = _mallinfo()
    return info.uordblks + info.hblkhd


def greenlets() -> int:
    """All that the collector knows, parked or not."""
    kind = sys.modules["corolib._switch"].greenlet
    return sum(issubclass(type(each), kind) for each in gc.get_objects())


def _engine(name: str) -> Callable[[], int]:
    def measure() -> int:
        return sys.modules["corolib._switch"].stats()[name]

    measure.__name__ = name
    return measure


def every_run(deltas: "array[int]") -> bool:
    return all(delta >= 1 for delta in deltas)


def every_run_48(deltas: "array[int]") -> bool:
    # A leaked slice is 600 bytes, a lane's description 64. Less is rounding.
    return all(delta >= 48 for delta in deltas)


def over_the_runs(deltas: "array[int]") -> bool:
    return sum(deltas) >= 1


class Row(NamedTuple):
    name: str
    measure: Callable[[], int]
    leaks: Callable[["array[int]"], bool]

    @property
    def sure(self) -> bool:
        """A suspicion is enough: more runs would tell nothing new."""
        return self.leaks is over_the_runs


ROWS = [
    Row("blocks", blocks, every_run),
    Row("descriptors", descriptors, over_the_runs),
    # The tolerant rule: the kernel's entry of a thread that has been joined lives a moment longer; malloc
    # makes an arena for a thread when it likes.
    Row("maps", maps, every_run),
    Row("threads", threads, every_run),
]
if hasattr(sys, "gettotalrefcount"):
    ROWS.insert(0, Row("references", references, every_run))

_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo is not None and "glibc.malloc.tcache_count=0" in os.environ.get("GLIBC_TUNABLES", ""):
    _mallinfo.restype = _Mallinfo
    ROWS.append(Row("heap bytes", heap_bytes, every_run_48))

ENGINE_ROWS = [
    Row("greenlets", greenlets, over_the_runs),
    Row("started greenlets", _engine("greenlets"), over_the_runs),
    Row("doomed greenlets", _engine("greenlets_doomed"), over_the_runs),
    Row("chunks", _engine("chunks"), over_the_runs),
    Row("slices", _engine("slices"), over_the_runs),
    Row("pinned lanes", _engine("lanes_pinned"), over_the_runs),
    # A thread makes lanes as it needs them, up to its limit, and keeps them.
    Row("lanes", _engine("lanes"), every_run),
]


def settle() -> None:
    """Empty the caches that fill up test by test, then collect what is dropped."""
    re.purge()  # the patterns of pytest.raises(match=...)
    linecache.clearcache()  # the sources of tracebacks that were written
    for clear in typing._cleanups:  # type: ignore[attr-defined]
        clear()
    # Caches of attribute look-ups hold references to names and, from 3.13 on, code that was made faster.
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
    # A finalizer may drop what only the next round finds.
    for _ in range(3):
        gc.collect()


def put_back(funcargs: Mapping[str, object]) -> None:
    """What a run leaves in the values of pytest's own fixtures looks like a leak, or disturbs the next."""
    for value in funcargs.values():
        if isinstance(value, pytest.MonkeyPatch):
            value.undo()
        elif isinstance(value, pytest.CaptureFixture):
            value.readouterr()
    if "tmp_path" in funcargs:
        for path in cast(Path, funcargs["tmp_path"]).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


#: What a thread may have from the beginning.
LANES = 64


class Plugin:
    def __init__(self, warm: int, measured: int, between: Callable[[], None]) -> None:
        self.warm = warm
        self.measured = measured
        self.between = between
        self.running = False
        self.process: str | None = None
        self.owner = os.getpid()
        self.judged = 0
        # More are made when it pays, and kept: growth that is none.
        from corolib._switch import set_lanes  # when it is asked for: importing this is no reason to

        set_lanes(LANES)
        self.not_judged: dict[str, list[str]] = {}
        sys.addaudithook(self.audit)

    def audit(self, event: str, args: tuple[object, ...]) -> None:
        # Stop at once: the first process would only cost time. The exception is no Exception, so it passes
        # through the test; should it get lost in a thread, the note remains.
        if event in PROCESSES and self.running and os.getpid() == self.owner:
            self.process = event
            pytest.skip(SKIP)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        if self.running:
            return None  # our own call below: the usual way
        mark = pyfuncitem.get_closest_marker("leaky")
        if mark is not None and mark.args[0]:
            self.not_judged.setdefault(f"leaky: {mark.kwargs['reason']}", []).append(pyfuncitem.nodeid)
            return None
        self.running = True
        self.process = None
        try:
            self.run(pyfuncitem)
        finally:
            self.running = False
            if self.process is not None:
                self.not_judged.setdefault(f"starts processes ({self.process})", []).append(pyfuncitem.nodeid)
        return True

    def run(self, item: pytest.Function) -> None:
        rows = ROWS + (ENGINE_ROWS if "corolib._switch" in sys.modules else [])
        # Arrays of machine words, made beforehand: keeping a result makes no object.
        taken = [array("q", [0] * (self.measured + 1)) for _ in rows]
        for turn in range(1, self.warm):
            self.run_once(item, turn)
        turn, suspected = self.warm, dict.fromkeys(rows, "")
        for _ in range(ROUNDS):
            for number in range(self.measured + 1):
                # The last run of a round is where the next one starts from.
                if number or turn == self.warm:
                    self.run_once(item, turn)
                    turn += 1
                    for values, row in zip(taken, rows, strict=True):
                        values[number] = row.measure()
            found = {}
            for values, row in zip(taken, rows, strict=True):
                deltas = array("q", map(operator.sub, values[1:], values))
                if row in suspected and row.leaks(deltas):
                    found[row] = f"{suspected[row]}, {', '.join(map(str, deltas))}"
                values[0] = values[-1]
            suspected = found
            if not suspected or any(row.sure for row in suspected):
                break
        self.judged += 1
        if suspected:
            grown = "; ".join(row.name + ": " + deltas[2:] for row, deltas in suspected.items())
            pytest.fail("leaks, growth in each run: " + grown, pytrace=False)

    def run_once(self, item: pytest.Function, turn: int) -> None:
        if turn > 1:
            put_back(item.funcargs)
        try:
            item.ihook.pytest_pyfunc_call(pyfuncitem=item)
        except Exception as error:
            if turn > 1:
                error.add_note(f"leaks: this is run {turn} of the same test; the first one passed")
            raise
        self.between()
        if self.process is not None:
            pytest.skip(SKIP)
        settle()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("leaks")
        terminalreporter.line(f"{self.judged} tests ran {self.warm}+{self.measured} times and were judged")
        for reason, tests in sorted(self.not_judged.items()):
            terminalreporter.line(f"{len(tests)} were not: {reason}")
