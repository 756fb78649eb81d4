"""For every test: a hang ends the run with all stacks, the hub is fresh, no greenlet is left waiting."""

import _thread
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import leakcheck
import pytest
from helpers import PATIENCE

# Before they are imported: their assertions are to say what they have found.
pytest.register_assert_rewrite("programs.running", "scenarios", "seeds", "switchpoints")

# Seconds, and more than run_isolated() takes to give a script up: that fails one test, this ends the run.
# A test that needs more says so with @pytest.mark.hang_after(seconds).
HANG_AFTER = 90.0
GRACE = 15.0  # after that many more the guard has not managed to write: nobody gives up the GIL


class HangGuard:
    """A native thread that ends the process when a test takes too long.

    Failing only the test is not possible: what hangs is the main thread, or a hub that nobody can leave. If
    Python itself hangs, faulthandler's timer, which needs no GIL, does the same with less to say.
    """

    def __init__(self, stderr: int) -> None:
        self.stderr = stderr  # a copy from before pytest captures the descriptor
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.test: str | None = None
        self.until = 0.0
        self.seconds = 0.0
        self.pid = os.getpid()
        self.started = False

    def watch(self, test: str, seconds: float) -> None:
        if not self.started:
            self.started = True
            _thread.start_new_thread(self.run, ())
            _not_a_waker()
        self.seconds = seconds
        self.until = time.monotonic() + seconds
        self.test = test
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=self.stderr)

    def relax(self) -> None:
        self.test = None
        faulthandler.cancel_dump_traceback_later()

    def run(self, acquire=_thread.LockType.acquire, monotonic=time.monotonic) -> None:
        # Bound before any test can patch them. Looks once a second instead of being told: a test costs it
        # nothing.
        while True:
            acquire(self.lock, True, 1.0)
            test = self.test
            if test is not None and monotonic() > self.until:
                os.write(self.stderr, self.report(test).encode(errors="backslashreplace"))
                os._exit(1)

    def report(self, test: str) -> str:
        lines = [
            f"\n\nhang guard: {test} did not end within {self.seconds:g} s. All stacks, then the run ends.\n"
        ]
        for ident, frame in sys._current_frames().items():
            if ident != _thread.get_ident():
                lines += [f"\nthread {ident:#x}:\n", *traceback.format_stack(frame)]
        for greenlet, wait in _suspended():
            lines += [f"\n{greenlet!r}{wait}:\n", *traceback.format_stack(greenlet.gr_frame)]
        return "".join(lines)


def _suspended():
    """All greenlets with a frame to show, and what each waits for."""
    switch = sys.modules.get("corolib._switch")
    hub = sys.modules.get("corolib._hub")
    for greenlet in gc.get_objects() if switch else ():
        if isinstance(greenlet, switch.greenlet) and greenlet.gr_frame is not None:
            wait = hub.waiting(greenlet) if hub else None
            yield greenlet, f" waits: {wait[0]} {wait[1]!r}" if wait else ""


def _not_a_waker() -> None:
    """Tell the hub that the guard's thread wakes nobody, nor does the handler that survives signals: a
    deadlock with only those is one.
    """
    try:
        from corolib._hub._core import thread_idle
        from corolib._waitgraph import wakes_nobody
    except ImportError:  # the engine and the loop can be tested before the hub is built
        return
    thread_idle(1)
    wakes_nobody.add(_survive)


def _survive(number: int, frame: object) -> None:
    """A handler in place of ignoring a signal, which the programs that tests start would inherit."""


def _pass_no_ignoring_on() -> None:
    """What nohup, or a shell that starts this in the background, has had us ignore, programs that tests start
    would ignore as well; and some are about Ctrl-C, or what a signal does if nobody handles it.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # those Python itself ignores
        if signal.getsignal(number) is signal.SIG_IGN:
            with suppress(OSError):  # valgrind keeps one for itself
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _survive)


guard_key = pytest.StashKey[HangGuard]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    leakcheck.add_option(parser)
    # Our own plugin, where corolib is built in place and not installed; under the name of its entry point.
    if not pluginmanager.has_plugin("corolib") and not pluginmanager.is_blocked("corolib"):
        try:
            from corolib import _pytest_plugin
        except ImportError:  # the engine is tested alone, too
            return
        pluginmanager.register(_pytest_plugin, "corolib")


def pytest_configure(config: pytest.Config) -> None:
    _pass_no_ignoring_on()
    config.stash[guard_key] = HangGuard(os.dup(sys.__stderr__.fileno()))
    if config.option.leaks is not None:
        config.pluginmanager.register(leakcheck.Plugin(*config.option.leaks, between=end_hub), "leakcheck")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("hang_after")
    guard = item.config.stash[guard_key]
    runs = sum(item.config.option.leaks or (1,))
    guard.watch(item.nodeid, (mark.args[0] if mark else HANG_AFTER) * runs * PATIENCE)
    try:
        return (yield)
    finally:
        guard.relax()


def end_hub() -> list[str]:
    """Take the hub of this thread away, if there is one; says what still waited there."""
    hub_module = sys.modules.get("corolib._hub")
    hub = hub_module.get_hub_if_exists() if hub_module else None
    if hub is None:
        return []
    left = [f"{greenlet!r} waits: {hub_module.waiting(greenlet)}" for greenlet in hub.parked()]
    hub.destroy()
    hub_module.set_hub(None)
    return left


def _handlers() -> dict[int, object]:
    """The functions of Python that signals call in this process."""
    found = ((number, signal.getsignal(number)) for number in signal.valid_signals())
    return {int(number): handler for number, handler in found if not isinstance(handler, signal.Handlers)}


@pytest.fixture(autouse=True)
def same_handlers(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test leaves the handlers of signals as it found them. With one that it forgot, hubs of later tests
    wait for the signal where they should report a deadlock: for ever.
    """
    before = _handlers()
    yield
    after = _handlers()
    changed = [number for number in {*before, *after} if before.get(number) is not after.get(number)]
    for number in changed:
        signal.signal(number, before.get(number) or signal.SIG_DFL)
    if changed and request.node.stash.get(passed_key, False):
        pytest.fail(f"handlers of signals left changed: before {before}, after {after}", pytrace=False)


passed_key = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[passed_key] = report.passed
    return report


@pytest.fixture
def started() -> Iterator[Callable[[Any], Any]]:
    """Starts a server of corolib and gives it back; it is stopped after the test, and what it serves ends."""
    servers: list[Any] = []

    def start(server: Any) -> Any:
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
    if servers:
        from corolib.testing import settle  # not for the tests that look at what an import brings

        settle()


@pytest.fixture(autouse=True)
def fresh_hub(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test finds no hub and leaves none. A greenlet that still waits at its end is a mistake of the test,
    or ours.
    """
    yield
    left = end_hub()
    # After a failure that is no news.
    if left and request.node.stash.get(passed_key, False):
        pytest.fail("greenlets left waiting:\n  " + "\n  ".join(left), pytrace=False)
