"""Who waits for whom: what a deadlock report shows, and `corolib.util.waiting()` gives.

Every wait is a park record of `_hub`; it knows a kind, an object and since when. What is waited for may say
more in one method, called for reports only:

    def _explain_wait(self, waiter): return role, holders, only

`role` is what the waiter wants of it, one word ("acquire", "get", "join"). `holders` are the greenlets (or
their identifiers, as `corolib.thread` counts them) that can be expected to end the wait. `only` is true if
nobody else can: then who waits for a greenlet that cannot move cannot move either.

A wait is *deadlocked* if nothing can end it any more. That is so if

- it has no time limit, no timer or queued call names its greenlet, and nothing outside the process ends it;
- and all its holders, being the only ones that can, are finished or deadlocked; or else, where anybody may
  end it, there is nobody left that could do anything at all: nothing is ready or due in any hub, no other
  thread runs.

Kills do not count: any wait could be ended by one. Nothing here waits, takes a lock or depends on the thread
that asks. Other threads run on meanwhile; so what is found is compared with a second look, and a greenlet
that has moved in between counts as one that can.
"""

import gc
import os.path
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, overload
from weakref import WeakKeyDictionary, WeakSet
from weakref import ref as weakref

from . import _hub
from ._native import original
from ._switch import getcurrent, greenlet

__all__ = [
    "Site",
    "Wait",
    "WaitGraph",
    "live_hubs",
    "noted_holders",
    "safe_repr",
    "signals_may_wake",
    "stack_lines",
    "stack_of",
    "what_it_waits_for",
]

#: Another name of the class, where an attribute has its own.
_Greenlet = greenlet

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

#: Of a stack, so many of the innermost frames are printed, and of the repr of an object so many characters.
STACK_LINES = 8
REPR_LENGTH = 160


class Site(NamedTuple):
    """A line of code: of a stack, or where a greenlet was spawned."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f'File "{self.filename}", line {self.line}, in {self.function}'


def safe_repr(value: object) -> str:
    """repr(value), whatever the object does to prevent it."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} at {id(value):#x}, its repr failed with {type(error).__name__}>"


def _brief(value: object) -> str:
    """One that is a greenlet in short: its repr may have the arguments of its function, all of them."""
    if not isinstance(value, greenlet):
        text = safe_repr(value)
    elif value.parent is None:
        return "a main greenlet"
    else:
        name = getattr(value, "_name", None)
        text = f"<{type(value).__name__}{'' if name is None else f' {name!r}'} at {id(value):#x}>"
    return text if len(text) <= REPR_LENGTH else text[: REPR_LENGTH - 4] + "...>"


def _call_of(waiter: greenlet) -> str:
    """What it runs; '' if that cannot be told."""
    describe = getattr(waiter, "_describe_call", None)
    try:
        text = "" if describe is None else str(describe())
    except Exception as error:
        return f"a call that cannot be shown: {type(error).__name__}"
    return text if len(text) <= REPR_LENGTH else text[: REPR_LENGTH - 4] + "...)"


def stack_of(frame: Any, limit: int | None = None) -> tuple[Site, ...]:
    """Where a frame is, innermost first; without the frames of corolib that it ends in."""
    sites: list[Site] = []
    inner = True
    while frame is not None and (limit is None or len(sites) < limit):
        if not (inner and frame.f_code.co_filename.startswith(_PACKAGE)):
            inner = False
            sites.append(Site(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
        frame = frame.f_back
    return tuple(sites)


class Wait:
    """One greenlet that waits.

    `greenlet`, and `thread`, the identifier of its native thread. `kind` and `target`: what it waits for;
    `role`: what it wants of it. `seconds`: how long already (by the loop's clock: it may have waited up to
    one turn of the loop longer), `left`: until its own time limit, or None. `holders`: the greenlets that can
    be expected to end it; `only`: nobody else can. `external`: something outside will. `deadlocked`: nothing
    can end it any more. `spawner`, `spawned`: who made it, and where (None and () unless
    config.track_greenlet_tree is on). `stack`: where it waits, innermost first.
    """

    __slots__ = (
        "_due",
        "_has_way_out",
        "_lost",
        "_names",
        "_turn",
        "deadlocked",
        "external",
        "greenlet",
        "holders",
        "kind",
        "left",
        "only",
        "role",
        "seconds",
        "spawned",
        "spawner",
        "stack",
        "target",
        "thread",
    )

    greenlet: _Greenlet
    holders: tuple[_Greenlet, ...]

    def __init__(self, hub: _hub.Hub, row: tuple[Any, ...], now: float, names: dict[_Greenlet, str]) -> None:
        waiter, kind, target, since, due, external, self._turn = row
        kind, target = _target(kind, target)
        self.greenlet = waiter
        self.thread: int = hub.thread_ident
        self.kind: str = kind
        self.target: object = target
        self.role = ""
        self.seconds: float = max(now - since, 0.0)
        self.left: float | None = None if due is None else max(due - now, 0.0)
        self.holders = ()
        self.only = False
        self.external: bool = external
        self.deadlocked = False
        self.spawner, self.spawned = _spawned(waiter)
        self.stack: tuple[Site, ...] = ()
        self._due = due is not None
        #: One of its holders is gone for good.
        self._lost = False
        #: Something other than another greenlet will, or may, end it.
        self._has_way_out = False
        self._names = names

    def _ask(self, idents: "_Idents") -> None:
        """Let what is waited for say what it knows."""
        target = self.target
        if isinstance(target, _hub.Greenlet):
            self.role, self.holders, self.only = "join", (target,), True
            return
        explain = getattr(type(target), "_explain_wait", None)
        if explain is None:
            return
        try:
            self.role, holders, only = explain(target, self.greenlet)
            self.only = bool(only)
            found = [idents.find(each) if isinstance(each, int) else each for each in holders]
            self.holders = tuple(each for each in found if isinstance(each, _Greenlet))
            self._lost = None in found
            if self.role == "acquire" and not found and noted_holders:
                noted = (ref() for ref in noted_holders.get(target, ()))
                self.holders = tuple(each for each in noted if each is not None)
            if _RUNNING in found:
                self.only = False
        except Exception as error:  # a report must come out whatever the reported object does
            self.role = f"its _explain_wait() failed with {type(error).__name__}: {error}"

    @property
    def who(self) -> str:
        """The greenlet, as reports name it."""
        return self._name(self.greenlet)

    def _name(self, each: object) -> str:
        found = self._names.get(each) if isinstance(each, _Greenlet) else None
        return found or _brief(each) + (" (ended)" if isinstance(each, _Greenlet) and each.dead else "")

    @property
    def what(self) -> str:
        """What it waits for, as reports name it."""
        text = self.kind if self.target is None else f"{self.kind} {self._name(self.target)}"
        return f"{text} ({self.role})" if self.role else text

    @property
    def brief(self) -> str:
        """The same, without what its repr has to say."""
        return self.kind if self.target is None else f"{self.kind} at {id(self.target):#x}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __str__(self) -> str:
        """In one line: who waits for what, how long already, who could end it."""
        text = f"{self.who} waits for {self.what} for {self.seconds:.3f} s"
        if self.left is not None:
            text += f", {self.left:.3f} s more at most"
        if self._lost:
            text += ", held by one that is not there any more"
        others = [each for each in self.holders if each is not self.target]
        if others:
            names = ", ".join(self._name(each) for each in others[:3])
            text += ", held by " if self.role == "acquire" else ", which is up to "
            text += names + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        return f"{text}: deadlocked" if self.deadlocked else text

    def format(self, limit: int = STACK_LINES) -> str:
        """The line, what the greenlet runs, where it was spawned, and the innermost `limit` lines of its
        stack.
        """
        lines = [str(self)]
        call = _call_of(self.greenlet)
        if call:
            lines.append(f"  runs {call}")
        if self.spawned:
            by = f" by {self._name(self.spawner)}" if self.spawner is not None else ""
            # What started a thread of `threading` is of more interest than how that is done.
            outer = (site for site in self.spawned if not site.filename.endswith("/threading.py"))
            lines.append(f"  spawned{by} at {next(outer, self.spawned[0])}")
        lines += stack_lines(self.stack, limit)
        return "\n".join(lines)


def stack_lines(stack: tuple[Site, ...], limit: int | None = None) -> Iterator[str]:
    """As a traceback has them: the innermost last."""
    import linecache  # only for a report

    if limit is not None and len(stack) > limit:
        yield f"  ({len(stack) - limit} more)"
    for site in reversed(stack[:limit]):
        yield f"  {site}"
        source = linecache.getline(site.filename, site.line).strip()
        if source:
            yield f"    {source}"


def _spawned(waiter: greenlet) -> tuple[greenlet | None, tuple[Site, ...]]:
    spawner = getattr(waiter, "spawning_greenlet", None)
    try:
        return (spawner() if spawner is not None else None), stack_of(getattr(waiter, "spawning_stack", None))
    except Exception:  # attributes of these names that are somebody else's
        return None, ()


#: Lock -> who holds it, if that is being noted; see tools.holders.
noted_holders: "WeakKeyDictionary[Any, list[weakref[greenlet]]]" = WeakKeyDictionary()


def what_it_waits_for(waiter: greenlet) -> str:
    """A kind and the repr of an object; '' if it does not wait."""
    wait = _hub.waiting(waiter)
    if wait is None:
        return ""
    kind, target = _target(*wait[:2])
    return kind if target is None else f"{kind} {safe_repr(target)}"


def _target(kind: str, target: object) -> tuple[str, object]:
    """The primitives name themselves by a weak reference, not to be part of a circle."""
    if isinstance(target, weakref):
        target = target()
        kind = type(target).__name__
    return kind, target


class WaitGraph(Sequence[Wait]):
    """All greenlets that wait in some hubs, longest waiting first; str() of it is the report.

    `cycles`: circles of waits, each for the next, that nothing can open any more. `probable_cycles`: circles
    in which somebody else could release a lock, as anybody may, but probably nobody will: they are found
    where it is noted who took which lock (`corolib.util.note_lock_holders`).
    """

    #: A report shows so many greenlets; with thousands the rest is more of the same.
    REPORT_WAITS = 50
    #: And so many have their stacks looked at.
    STACKS = 10_000

    def __init__(self, hubs: Iterable[_hub.Hub], dry: bool = False) -> None:
        """`dry`: it is known that nothing can end any of these waits (the hub has found out by itself)."""
        hubs = list(hubs)
        now = [(hub, hub.now()) for hub in hubs]
        names = {hub.parent: _name_of_main(hub) for hub in hubs if hub.parent is not None}
        self._waits = [Wait(hub, row, time, names) for hub, time in now for row in _hub.waits(hub)]
        for wait in self._waits[: self.STACKS]:
            wait.stack = stack_of(wait.greenlet.gr_frame)
        idents = _Idents(self._waits)
        for wait in self._waits:
            wait._ask(idents)
        if dry:
            for wait in self._waits:
                wait.deadlocked = not wait._due
                wait._has_way_out = wait._due
        else:
            self._judge(hubs)
        self.cycles = _find_cycles(self.deadlocked)
        in_cycles = {wait.greenlet for cycle in self.cycles for wait in cycle}
        stuck = [wait for wait in self._waits if not wait._has_way_out and wait.greenlet not in in_cycles]
        self.probable_cycles = _find_cycles(stuck)

    def __len__(self) -> int:
        return len(self._waits)

    @overload
    def __getitem__(self, index: int) -> Wait: ...
    @overload
    def __getitem__(self, index: slice) -> list[Wait]: ...
    def __getitem__(self, index: int | slice) -> Wait | list[Wait]:
        return self._waits[index]

    @property
    def deadlocked(self) -> list[Wait]:
        """The waits that nothing can end any more."""
        return [wait for wait in self._waits if wait.deadlocked]

    # -- who is deadlocked -----------------------------------------------------------------------------------

    def _judge(self, hubs: list[_hub.Hub]) -> None:
        named: set[greenlet] = set()
        stirring = _stirring(hubs, named)
        waiting = {wait.greenlet for wait in self._waits}
        #: Greenlet -> those that it, and nobody but it and its like, can free.
        frees: dict[greenlet, list[Wait]] = {}
        #: Those that anybody can free who can do anything.
        free_to_all: list[Wait] = []
        movable: list[Wait] = []
        for wait in self._waits:
            wait.deadlocked = True
            wait._has_way_out = bool(
                wait.external or wait._due or wait.greenlet in named or _waits_for_end(wait)
            )
            if wait._has_way_out:
                movable.append(wait)
            elif not (wait.only and (wait.holders or wait._lost)):
                free_to_all.append(wait)
            else:
                for holder in wait.holders:
                    if holder in waiting:
                        frees.setdefault(holder, []).append(wait)
                    elif _may_move(holder, stirring):
                        movable.append(wait)
        # The second look: who waits now as before has not moved in between, and nor has the one it waits for,
        # if that one is found here too.
        still = {row[0]: row[6] for hub in hubs for row in _hub.waits(hub)}
        movable += (wait for wait in self._waits if still.get(wait.greenlet) != wait._turn)
        if stirring or movable:
            movable += free_to_all
        while movable:
            wait = movable.pop()
            if wait.deadlocked:
                wait.deadlocked = False
                movable += frees.get(wait.greenlet, ())

    # -- the report ------------------------------------------------------------------------------------------

    def lines(self, limit: int | None = None) -> list[str]:
        """An entry for each circle and for each greenlet, `limit` of these at most; those in circles first,
        then those that are deadlocked. Entries are of several lines.
        """
        if limit is None:
            limit = self.REPORT_WAITS
        entries = [_format_cycle(cycle, "a circle") for cycle in self.cycles[:limit]]
        entries += (_format_cycle(cycle, "probably a circle") for cycle in self.probable_cycles[:limit])
        in_cycles = {id(wait) for cycle in (*self.cycles, *self.probable_cycles) for wait in cycle}
        order = sorted(self._waits, key=lambda wait: (id(wait) not in in_cycles, not wait.deadlocked))
        entries += (wait.format() for wait in islice(order, limit))
        if len(order) > limit:
            entries.append(f"... and {len(order) - limit} more")
        return entries

    def format(self, limit: int | None = None) -> str:
        """The report: how many wait, the circles, and `limit` greenlets at most (50 unless given)."""
        dead = len(self.deadlocked)
        count = f"{len(self)} greenlet{'' if len(self) == 1 else 's'} waiting"
        head = f"{count}, {dead} deadlocked" if dead else count
        return "\n".join([head, *(_indent(entry) for entry in self.lines(limit))])

    __str__ = format

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} waits, {len(self.deadlocked)} deadlocked>"


def _find_cycles(waits: list[Wait]) -> tuple[tuple[Wait, ...], ...]:
    """One circle for each group of greenlets that wait for each other.

    Who waits for nobody here is in none, and then who waits only for such, and so on. From each that is
    left there is a way on; it is followed until a greenlet comes again: one of this walk, then it is a
    circle, or of an earlier one, then its circle is known.
    """
    left = {wait.greenlet: wait for wait in waits}
    waiters: dict[greenlet, list[Wait]] = {}
    ways: dict[greenlet, int] = {}
    for wait in left.values():
        for holder in set(wait.holders) & left.keys():
            waiters.setdefault(holder, []).append(wait)
            ways[wait.greenlet] = ways.get(wait.greenlet, 0) + 1
    ends = [each for each in left if not ways.get(each)]
    while ends:
        end = ends.pop()
        del left[end]
        for wait in waiters.get(end, ()):
            ways[wait.greenlet] -= 1
            if not ways[wait.greenlet]:
                ends.append(wait.greenlet)
    seen: dict[greenlet, int] = {}
    cycles = []
    for number, step in enumerate(left.values()):
        walk: list[Wait] = []
        while step.greenlet not in seen:
            seen[step.greenlet] = number
            walk.append(step)
            step = next(left[each] for each in step.holders if each in left)
        if seen[step.greenlet] == number:
            cycles.append(tuple(walk[walk.index(step) :]))
    return tuple(cycles)


def _name_of_main(hub: _hub.Hub) -> str:
    main = getattr(hub, "main_hub", False)
    return "the main greenlet" if main else f"the main greenlet of thread {hub.thread_ident:#x}"


def _indent(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")


def _format_cycle(cycle: tuple[Wait, ...], what: str) -> str:
    head = f"{what} of 1, which waits for itself:" if len(cycle) == 1 else f"{what} of {len(cycle)}:"
    following = (*cycle[1:], cycle[0])
    steps = (
        f"  {wait.who} waits for "
        + (after.who if after.greenlet is wait.target else f"{wait.brief}, held by {after.who}")
        for wait, after in zip(cycle, following, strict=True)
    )
    return "\n".join([head, *steps])


#: In place of the main greenlet of a thread that does not wait: it has no record to be found by.
_RUNNING = object()


class _Idents:
    """Greenlets by the identifiers of `corolib.thread`: of a main greenlet, its thread's; else its id()."""

    def __init__(self, waits: list[Wait]) -> None:
        self._known = {
            id(wait.greenlet) if wait.greenlet.parent is not None else wait.thread: wait.greenlet
            for wait in waits
        }
        self._all = False

    def find(self, ident: int) -> object:
        """The greenlet; _RUNNING if it is a thread that runs; None if nobody has that number any more."""
        if ident not in self._known and not self._all:
            self._all = True
            for each in gc.get_objects():
                if isinstance(each, greenlet) and each.parent is not None:
                    self._known.setdefault(id(each), each)
        if ident not in self._known and ident in _hub.threads()[0]:
            return _RUNNING
        return self._known.get(ident)


def _waits_for_end(wait: Wait) -> bool:
    """Whether it is a hub.join(): that one ends when all others are stuck, and then its greenlet goes on."""
    return wait.kind == "join" and isinstance(wait.target, _hub.Hub)


def _may_move(holder: greenlet, stirring: bool) -> bool:
    """Whether one that does not wait may still do something."""
    standing = _hub.standing(holder)
    if standing == "dead":
        return False
    # What was never started, or was switched away from by hand, needs somebody to do it.
    return stirring or standing not in ("fresh", "suspended")


def _stirring(hubs: list[_hub.Hub], named: set[greenlet]) -> bool:
    """Whether anything is left that might do something; adds to `named` the greenlets that timers and queued
    calls name.
    """
    idents, idle = _hub.threads()
    running = len(idents) - idle
    stirring = False
    current = getcurrent()
    for hub in hubs:
        ready, live, external, polling, targets = _hub.activity(hub)
        stirring = stirring or (getattr(hub, "main_hub", False) and signals_may_wake())
        named.update(targets)
        stirring = stirring or bool(ready or live or external or _watchers(hub))
        # Its thread sleeps, or runs what the loop has called, such as this.
        running -= polling or current is hub
    return stirring or running > 0


def _watchers(hub: Any) -> int:
    """How many of libev's watchers may still call back."""
    try:
        count: int = hub.loop.activecnt
    except (AttributeError, ValueError):
        return 0  # a loop that is being made, or has been destroyed
    except RuntimeError:
        return 1  # its thread starts and stops some at this moment
    return count


#: Handlers of signals that only report.
wakes_nobody: "WeakSet[Any]" = WeakSet()


def signals_may_wake() -> bool:
    """Whether the program handles a signal: the handler may wake somebody."""
    import signal  # only when nobody can go on; loaded long since

    plain = signal.default_int_handler
    handlers = (original("signal", "getsignal")(number) for number in signal.valid_signals())
    return any(callable(each) and each is not plain and each not in wakes_nobody for each in handlers)


def live_hubs(hubs: Iterable[_hub.Hub]) -> list[_hub.Hub]:
    """Of these, the ones whose threads are there: not those of other threads, in the child of a fork."""
    threads = set(_hub.threads()[0])
    return [hub for hub in hubs if not hub.destroyed and hub.thread_ident in threads]
