"""What tests of concurrent code need: time that passes by itself, an order that can be replayed, and a way to
say when something is to happen.

    VirtualClock   sleeps and time limits take no time
    shuffled       greenlets that are ready run in an order that a seed decides
    settle         let everything run that can run without the time going on
    Sequencer      named points of several greenlets, reached in a given order

The pytest plugin offers them as fixtures (docs/testing.md). All is about the hub of the current thread.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from ._switch import greenlet
from .event import Event
from .hub import Hub, get_hub, getcurrent, idle, sleep

__all__ = ["Sequencer", "SequencerBroken", "VirtualClock", "new_seed", "settle", "shuffled"]

#: A seed has so many bits: the state of the generator in the ready queue.
SEED_BITS: Final = 64

# The functions that follow a virtual clock, by name; bound now, before anything can replace them.
_REAL: Final[dict[str, Callable[[], Any]]] = {
    name: getattr(time, name) for name in ("monotonic", "monotonic_ns", "time", "time_ns")
}
#: Modules that go on with the machine's clock: our own ground, and what measures the tests.
_UNTOUCHED: Final = (
    "_pytest",
    "pytest",
    "pluggy",
    "xdist",
    "corolib._native",
    "corolib.testing",
    "corolib._pytest_plugin",
)


# By name of a module: the module, and which attribute of it is which function. Looked up once for each
# module, since there are hundreds of them.
_held: dict[str, tuple[ModuleType, list[tuple[str, str]]]] = {}


def _holders() -> Iterator[tuple[ModuleType, str, str]]:
    """Module, attribute and name of the function, wherever one of the functions is held by a module."""
    names = {id(real): name for name, real in _REAL.items()}
    for module_name, module in list(sys.modules.items()):
        known = _held.get(module_name)
        if known is None or known[0] is not module:
            # Whatever stands in sys.modules.
            items = (
                [] if module_name.startswith(_UNTOUCHED) else list(getattr(module, "__dict__", {}).items())
            )
            found = [(attribute, names[id(value)]) for attribute, value in items if id(value) in names]
            known = _held[module_name] = module, found
        for attribute, name in known[1]:
            yield module, attribute, name


class VirtualClock:
    """A clock that stands still while anything can run, and jumps to the next deadline when nothing can.

        with VirtualClock() as clock:
            sleep(3600)                  # returns at once
            assert clock.elapsed == 3600

    It is the clock of the current thread's hub: of sleep(), Timeout, every time limit of a wait, loop.timer
    and hub.loop.now(). It starts at 0. `patch_time`: time.monotonic(), time.time() and their `_ns` follow it
    in the whole process, also where a module has taken them with `from time import ...`; time.time() begins
    with the real time of day. datetime and time.perf_counter() stay real.

    The world outside still works. Before a jump the hub looks at all descriptors; if somebody waits for one
    (or for a child process, a signal, another native thread) it waits `patience` seconds of real time for
    that, None for as long as it takes; and while a job runs in a thread pool of the hub, time stands still.

    Greenlets whose time limit is on its way when the clock is entered or left keep what is left of it.
    ValueError for a negative `patience`; RuntimeError if it is entered while the hub has a virtual clock.
    Never switches.
    """

    def __init__(self, patience: float | None = 0.01, patch_time: bool = True) -> None:
        if patience is not None and not patience >= 0:
            raise ValueError(f"patience: expected 0 or more seconds or None, found {patience!r}")
        self.patience = patience
        self.patch_time = patch_time
        self._hub: Hub | None = None
        self._elapsed = 0.0
        #: time.time() when it was entered.
        self._epoch = 0.0
        self._patched: list[tuple[ModuleType, str, Callable[[], Any]]] = []

    def __repr__(self) -> str:
        state = "running" if self._hub is not None else "stopped"
        return f"<{type(self).__name__} {state} elapsed={self.elapsed:g}>"

    @property
    def elapsed(self) -> float:
        """Seconds of virtual time since the start; after the end: all of them."""
        return self._elapsed if self._hub is None else self._hub.now()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and all run that is due in them. Switches."""
        if self._hub is None:
            raise RuntimeError("the virtual clock is not in use; enter it with `with`")
        sleep(seconds)
        settle()

    def start(self) -> None:
        """Begin; the same as entering it. RuntimeError if the hub has a virtual clock already."""
        hub = get_hub()
        if getattr(hub, "_virtual_clock", None) is not None:
            raise RuntimeError("the hub has a virtual clock already")
        self._epoch = _REAL["time"]()
        hub.stop_clock(0.0, self.patience)
        hub._virtual_clock = self  # type: ignore[attr-defined]  # a greenlet has a __dict__
        self._hub = hub
        if self.patch_time:
            self._patch()

    def stop(self) -> None:
        """End: the machine's clock takes over from what is shown. Nothing if it is not in use."""
        hub, self._hub = self._hub, None
        if hub is None:
            return
        self._unpatch()
        self._elapsed = hub.now()
        hub._virtual_clock = None  # type: ignore[attr-defined]  # as above
        hub.run_clock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # -- the time module -------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """What time.monotonic() returns meanwhile."""
        return self.elapsed

    def time(self) -> float:
        """What time.time() returns meanwhile."""
        return self._epoch + self.elapsed

    def monotonic_ns(self) -> int:
        """What time.monotonic_ns() shows: nanoseconds."""
        return round(self.elapsed * 1e9)

    def time_ns(self) -> int:
        """What time.time_ns() shows: nanoseconds."""
        return round(self._epoch * 1e9) + self.monotonic_ns()

    def _patch(self) -> None:
        """Replace the functions wherever a module has them."""
        ours = {name: getattr(self, name) for name in _REAL}  # one object each, wherever it is found
        for module, attribute, name in _holders():
            real = _REAL[name]
            if vars(module).get(attribute) is real:
                self._patched.append((module, attribute, real))
                setattr(module, attribute, ours[name])

    def _unpatch(self) -> None:
        while self._patched:
            module, attribute, value = self._patched.pop()
            setattr(module, attribute, value)


def new_seed() -> int:
    """A seed nobody has chosen, for shuffled()."""
    return random.SystemRandom().getrandbits(SEED_BITS)


@contextmanager
def shuffled(seed: int | None = None) -> Iterator[int]:
    """Let greenlets that are ready run in an order decided by `seed` (None: a new one), not first come first.

        with shuffled() as seed:
            ...

    Only what nobody has promised changes: a callback still comes after what was ready before it, sleep(0)
    still lets everybody run who is ready, equal deadlines fire in order, and locks and queues serve first who
    came first. So what fails under a seed is a bug. The exception that leaves the block names the seed in a
    note; the same seed gives the same order again, provided that what happens does not depend on real time or
    other threads (so it goes well with VirtualClock). It is the hub's, for all its greenlets; within another
    shuffled() the inner seed counts, and the outer order does not come back. Never switches.
    """
    if seed is None:
        seed = new_seed()
    hub = get_hub()
    hub.shuffle(seed)
    try:
        yield seed
    except BaseException as error:
        error.add_note(f"corolib.testing: the order came from seed {seed}; shuffled({seed}) replays it")
        raise
    finally:
        if not hub.destroyed:
            hub.shuffle(None)


def settle() -> None:
    """Wait until nothing can run any more without the time going on or the world outside doing something.

    Everything that is ready runs, and what that makes ready, and so on; descriptors that are ready count.
    Virtual time does not move. Of two greenlets that settle, one finds the hub at rest first and goes on.
    Switches.
    """
    idle()


class SequencerBroken(Exception):
    """A greenlet has failed at its point of a Sequencer, so those behind it will never have their turn."""


class Sequencer:
    """Points that greenlets pass in a given order, whatever order they run in.

        order = Sequencer("write", "read", "close")

        with order("read"):      # in one greenlet: waits until "write" is over
            data = pipe.read()
        ...
        with order("write"):     # in another
            pipe.write(b"x")

    ValueError for names that are not given, or given twice. `reach(name)` is a point without a block. Each
    point is passed once. An exception in a block breaks the sequence: SequencerBroken in all who wait for
    their turn, or come later.
    """

    def __init__(self, *names: str) -> None:
        if not names or len(set(names)) != len(names):
            raise ValueError(f"expected names, each once, found {names!r}")
        self._turns = {name: Event() for name in names}
        self._order = names
        self._passed = 0
        self._at: dict[str, greenlet] = {}
        self._broken: str | None = None
        self._turns[names[0]].set()

    def __repr__(self) -> str:
        left = ", ".join(self._order[self._passed :])
        return f"<{type(self).__name__} {'broken, ' if self._broken else ''}to come: {left or 'nothing'}>"

    @property
    def passed(self) -> tuple[str, ...]:
        """The points that are over, in order."""
        return self._order[: self._passed]

    def reach(self, name: str) -> None:
        """Wait for the turn of this point, and pass it. Switches unless it is its turn already.

        ValueError for a name that is not one of ours, RuntimeError if somebody has come to this point before.
        """
        with self(name):
            pass

    def __call__(self, name: str) -> "_Point":
        """The point as a context manager: entered when its turn has come, over when the block ends."""
        return _Point(self, name)

    def _enter(self, name: str) -> None:
        turn = self._turns.get(name)
        if turn is None:
            raise ValueError(f"point: expected one of {', '.join(self._order)}, found {name!r}")
        if name in self._at:
            raise RuntimeError(f"{name!r} is a point that {self._at[name]!r} has come to before")
        self._at[name] = getcurrent()
        if self._broken is None:
            try:
                turn.wait()
            except BaseException:
                self._break(name)
                raise
        if self._broken is not None:
            raise SequencerBroken(f"{name!r} never has its turn: {self._broken!r} has failed")

    def _leave(self, name: str) -> None:
        self._passed += 1
        if self._passed < len(self._order):
            self._turns[self._order[self._passed]].set()

    def _break(self, name: str) -> None:
        if self._broken is None:
            self._broken = name
            for turn in self._turns.values():
                turn.set()


class _Point:
    """One point of a Sequencer, to be entered."""

    __slots__ = ("_name", "_sequencer")

    def __init__(self, sequencer: Sequencer, name: str) -> None:
        self._sequencer = sequencer
        self._name = name

    def __enter__(self) -> None:
        self._sequencer._enter(self._name)

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if value is None:
            self._sequencer._leave(self._name)
        else:
            self._sequencer._break(self._name)
