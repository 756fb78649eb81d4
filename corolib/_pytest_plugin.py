"""The pytest plugin (entry point `corolib`): nothing but two fixtures until an option asks for more.

    corolib_clock, corolib_seed   a virtual clock, an order from a seed, for the test that asks for them
    --corolib-clock, -seed        the same for all tests
    --corolib-patch               the standard library is patched before anything of the tests is imported
    --corolib-leaks               a test that leaves greenlets or descriptors behind fails
    --corolib-block-limit         so does one that keeps the hub from its loop for longer
    --corolib-hang-after          and one that does not end: with who waits for whom, and all stacks
    --corolib-random-order        the tests in an order from a seed

All but the last and patching can be changed for one test with @pytest.mark.corolib(leaks=False, ...). What is
of corolib is imported when it is needed: to load the plugin must leave everything as it was, since it comes
before patching.
"""

import gc
import os
import random
import sys
import traceback
import warnings
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from ._switch import greenlet
    from .testing import VirtualClock

#: After a hang has been told to the test so many seconds go by before the process is ended.
GRACE: Final = 3.0
#: How often the watching thread looks for a hang, in seconds.
LOOK_EVERY: Final = 0.25
#: So many turns are given to what is ready at the end of a test, before it counts as left behind.
LAST_TURNS: Final = 100

NEW_SEED: Final = "new"

_seed_key = pytest.StashKey[int]()
_failed_key = pytest.StashKey[bool]()
_plugin_key = pytest.StashKey["Plugin"]()


# -- options -------------------------------------------------------------------------------------------------


def _seed(text: str) -> int | str:
    return NEW_SEED if text == NEW_SEED else int(text, 0)


#: Option (and name in an ini file, with _ for -), how its text is read (None: it is a switch), what it does.
_OPTIONS: Final[tuple[tuple[str, Callable[[str], Any] | None, str], ...]] = (
    ("corolib-patch", None, "call corolib.monkey.patch_all() before the tests are imported"),
    ("corolib-leaks", None, "fail tests that leave greenlets or file descriptors behind"),
    ("corolib-clock", None, "run each test under a virtual clock, as with the fixture corolib_clock"),
    (
        "corolib-seed",
        _seed,
        "run each test in an order from this seed; 'new': from another one for each test",
    ),
    ("corolib-block-limit", float, "fail tests that keep the hub from its loop for more seconds"),
    ("corolib-hang-after", float, "after so many seconds of a test: say who waits for whom, fail it"),
    ("corolib-random-order", _seed, "run the tests in an order from this seed; 'new': from a new one"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("corolib")
    for name, read, meaning in _OPTIONS:
        key = name.replace("-", "_")
        if read is None:
            group.addoption("--" + name, action="store_true", default=None, help=meaning)
            parser.addini(key, meaning, type="bool", default=False)
        else:
            group.addoption("--" + name, type=read, default=None, metavar="N", help=meaning)
            parser.addini(key, meaning, default="")


def _option(config: pytest.Config, name: str) -> Any:
    """From the command line, else from the ini file; None if it is in neither."""
    key = "corolib_" + name
    value = getattr(config.known_args_namespace, key, None)
    if value is not None:
        return value
    text = config.getini(key)
    if text == "" or isinstance(text, bool):
        return text or None
    read = next(read for option, read, _ in _OPTIONS if option.replace("-", "_") == key)
    assert read is not None
    try:
        return read(text)
    except ValueError as error:
        raise pytest.UsageError(f"{key}: {error}") from None


# -- the run -------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if _option(early_config, "patch"):
        from . import monkey

        with warnings.catch_warnings():
            # pytest itself has taken names before: they stay as they are, which is what it needs.
            warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
            monkey.patch_all()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "corolib(leaks, clock, seed, block_limit, hang_after): what the options of these names say, for this "
        "test; leaks=False or hang_after=None turns it off",
    )
    plugin = config.stash[_plugin_key] = Plugin(config)
    config.pluginmanager.register(plugin, "corolib-run")


class Plugin:
    """What of the options lasts for a run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = {name: _option(config, name) for name in _PER_TEST}
        self.order = _option(config, "random_order")
        if self.order == NEW_SEED:
            self.order = random.SystemRandom().getrandbits(32)
        self.watch = Watch()

    def asked(self, item: pytest.Item, name: str) -> Any:
        """What holds for this test: its mark's word, else the run's."""
        mark = item.get_closest_marker("corolib")
        if mark is not None and name in mark.kwargs:
            return mark.kwargs[name]
        return self.options[name]

    def pytest_report_header(self) -> str | None:
        words = [f"{name}={value}" for name, value in self.options.items() if value is not None]
        if _option(self.config, "patch"):
            words.insert(0, "patched")
        if self.order is not None:
            words.append(f"random_order={self.order}")
        return "corolib: " + ", ".join(words) if words else None

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        mark = item.get_closest_marker("corolib")
        unknown = set(mark.kwargs).difference(_PER_TEST) if mark is not None else ()
        if unknown or (mark is not None and mark.args):
            raise pytest.UsageError(
                f"{item.nodeid}: the mark 'corolib' takes the keywords {', '.join(_PER_TEST)}, found {mark!r}"
            )
        names: list[str] = getattr(item, "fixturenames", [])
        for option, fixture in (("seed", "corolib_seed"), ("clock", "corolib_clock")):
            wanted = self.asked(item, option)
            if wanted is not None and wanted is not False and fixture not in names:
                names.insert(0, fixture)  # before the others, which may wait as well

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order is not None:
            random.Random(self.order).shuffle(items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        limits = self.asked(item, "hang_after"), self.asked(item, "block_limit")
        if limits == (None, None):
            return (yield)
        self.watch.begin(item.nodeid, *limits)
        try:
            return (yield)
        finally:
            self.watch.end()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        blocked = self.watch.blocked
        if blocked:
            pytest.fail("\n".join(blocked), pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        if report.failed:
            item.stash[_failed_key] = True
            seed = item.stash.get(_seed_key, None)
            if seed is not None:
                report.sections.append(
                    ("corolib", f"order from seed {seed}: --corolib-seed={seed} replays it")
                )
        return report  # type: ignore[no-any-return]  # as hooks are

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        if self.asked(item, "leaks"):
            item.stash[_before_key] = Left()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        before = item.stash.get(_before_key, None)
        if before is not None:
            found = before.compare()
            if found and not item.stash.get(_failed_key, False):  # after a failure that is no news
                pytest.fail("left behind by the test:\n  " + "\n  ".join(found), pytrace=False)
        return result


_PER_TEST: Final = ("leaks", "clock", "seed", "block_limit", "hang_after")


# -- fixtures ------------------------------------------------------------------------------------------------


@pytest.fixture
def corolib_clock() -> "Iterator[VirtualClock]":
    """A corolib.testing.VirtualClock in use: sleeps and time limits of the test take no time."""
    from .testing import VirtualClock

    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def corolib_seed(request: pytest.FixtureRequest) -> Iterator[int]:
    """The seed that decides in which order greenlets run that are ready; a failure of the test names it."""
    from .testing import new_seed, shuffled

    seed = request.config.stash[_plugin_key].asked(request.node, "seed")
    if seed is None or seed == NEW_SEED:
        seed = new_seed()
    request.node.stash[_seed_key] = seed
    with shuffled(seed):
        yield seed


# -- what is left behind -------------------------------------------------------------------------------------


class Left:
    """What there is before a test, to be compared with what there is after it."""

    def __init__(self) -> None:
        from .hub import get_hub

        get_hub()  # which has descriptors of its own
        self.descriptors = _descriptors()
        self.greenlets = {id(each) for each in _unfinished()}

    def compare(self) -> list[str]:
        """A line for each greenlet and descriptor that was not there before. The greenlets are killed."""
        from .greenlet import killall
        from .hub import get_hub, sleep
        from .tools.waits import waiting

        hub = get_hub()
        for _ in range(LAST_TURNS):
            if hub.ready_count == 0:
                break
            sleep(0)
        left = [each for each in _unfinished() if id(each) not in self.greenlets]
        waits = {wait.greenlet: wait for wait in waiting()} if left else {}
        found = [
            "greenlet: " + (waits[each].format().replace("\n", "\n  ") if each in waits else repr(each))
            for each in left
        ]
        killall(left, block=False)
        for _ in range(LAST_TURNS):
            if hub.ready_count == 0:
                break
            sleep(0)
        for number, target in _descriptors().items():
            if self.descriptors.get(number) != target:
                found.append(f"descriptor {number}: {target}")
        return found


_before_key = pytest.StashKey[Left]()


def _descriptors() -> dict[int, str]:
    """Number and what it is of all open descriptors."""
    found = {}
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                try:
                    os.fstat(int(name))
                    found[int(name)] = os.readlink(f"{folder}/{name}") if folder[1] == "p" else "open"
                except OSError:
                    continue  # that of the listing itself
            break
    return found


def _unfinished() -> "list[greenlet]":
    """Greenlets of this thread that have begun or are going to, and are not over; neither main nor a hub."""
    from . import _hub
    from ._switch import getcurrent, greenlet

    me = getcurrent()
    found = []
    for each in gc.get_objects():
        if not isinstance(each, greenlet) or isinstance(each, _hub.Hub) or each is me or each.parent is None:
            continue
        root: greenlet | None = each
        while root is not None and root is not me:
            root = root.parent
        if root is me and (each.gr_frame is not None or (isinstance(each, _hub.Greenlet) and each.started)):
            found.append(each)
    return found


# -- the watching thread -------------------------------------------------------------------------------------


class Watch:
    """A native thread that looks from outside: is it still the same test, does the hub get to its loop.

    Nothing that it uses can be patched. A blocked hub is one that has work or waiters, is not waiting for
    events, and has not looked for any for the whole limit.
    """

    def __init__(self) -> None:
        self.test: str | None = None
        self.blocked: list[str] = []
        self._lock = allocate_lock()
        self._started = False
        self._stderr = -1
        self._turn = 0
        self._hang_at = self._hang_after = self._limit = 0.0
        self._told: BaseException | None = None
        self._main: greenlet | None = None
        self._thread = 0
        self._hub: Any = None

    def begin(self, test: str, hang_after: float | None, limit: float | None) -> None:
        from ._switch import getcurrent

        if not self._started:
            self._started = True
            self._stderr = os.dup(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2)
            self._lock.acquire()
            start_new_thread(self._run, ())
            from ._hub import thread_idle

            thread_idle(1)  # it wakes nobody: a deadlock with only this thread alive is one
        self.blocked = []
        self._turn += 1
        self._main, self._thread = getcurrent(), get_ident()
        self._told = None
        self._hang_after = hang_after or 0.0
        self._hang_at = monotonic() + hang_after if hang_after else float("inf")
        self._limit = limit or float("inf")
        self.test = test

    def end(self) -> None:
        self.test = None
        if self._told is not None and self._main is not None:
            from ._hub import cancel_interrupt

            cancel_interrupt(self._main, self._told)
        self._main = self._hub = None

    def _run(self) -> None:
        looked: tuple[int, int] | None = None
        since = 0.0
        while True:
            self._lock.acquire(True, min(LOOK_EVERY, self._limit / 4))
            test = self.test
            if test is None:
                looked = None
                continue
            now = monotonic()
            if now > self._hang_at:
                self._hang_at = now + GRACE
                self._hang(test)
            state = self._turn, self._busy()
            if state != looked or state[1] < 0:
                looked, since = state, now
            elif now - since > self._limit:
                self._block(now - since)
                looked, since = None, now

    def _busy(self) -> int:
        """How often the hub of the test has looked for events; negative: nobody needs that it does."""
        hub = self._hub
        if hub is None or hub.destroyed or hub.thread_ident != self._thread:
            hub = self._hub = _hub_of(self._thread)
        if hub is None or hub.polling or not (hub.parked_count or hub.ready_count or hub.deadline_count):
            return -1
        count: int = hub.poll_count
        return count

    def _block(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no Python frame)"
        self.blocked.append(
            f"the hub was kept from its loop for more than {self._limit:g} s, the limit, by:\n{stack}"
        )

    def _hang(self, test: str) -> None:
        """Twice at most: tell everything and raise in the test; then end the process."""
        if self._told is not None:
            os.write(self._stderr, f"\ncorolib: {test} does not react; the run ends here\n".encode())
            os._exit(1)
        title = f"{test} did not end within {self._hang_after:g} s"
        report = f"\n\ncorolib: {title}\n{report_hang()}\n"
        os.write(self._stderr, report.encode(errors="backslashreplace"))
        self._told = pytest.fail.Exception(f"{title}; who waited for whom, and all stacks, are on stderr")
        if self._main is not None:
            from ._hub import interrupt

            interrupt(self._main, self._told)


def _hub_of(thread: int) -> Any:
    """The hub of a thread, from another one."""
    from .hub import all_hubs

    return next((each for each in all_hubs() if each.thread_ident == thread), None)


def report_hang() -> str:
    """Who waits for whom, and what every thread and every greenlet is doing."""
    from .tools.tree import format_run_info
    from .tools.waits import waiting

    return "\n".join([str(waiting()), *format_run_info()])
