"""The `_thread` module, with greenlets in place of threads.

Identity. The main greenlet of a native thread keeps that thread's own identifier; every other greenlet is
identified by its id(). So locks that were taken before patching still belong to whom they belonged,
`threading`'s table of threads stays right, and a thread that was never a greenlet looks as it always did.

Locks. A waiter parks in the hub of its own thread, so a lock may be used from several native threads. A lock
that is given up while somebody waits is handed to the first who waits and never free in between: nobody is
overtaken, and nobody starves next to a greenlet that takes the lock in a loop. Their hot half is in C
(`_hub/locks.c`). The end of a thread is waited for in Python, and relies on one property of CPython 3.11 to
3.13: the interpreter gives the GIL away (and runs signal handlers and, from 3.12 on, the garbage collector)
at the end of a call, at the start of a Python function and at a jump backwards, and nowhere else. Between a
test of an attribute and the store or call right after it nothing can intervene; where that matters the code
says "no call in between".
"""

import os
import sys
from _thread import TIMEOUT_MAX, error, get_native_id, interrupt_main, stack_size
from collections.abc import Callable
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakSet
from weakref import ref as weakref

from . import _hub
from ._hub import WaitList, shield
from ._native import get_ident as _native_ident
from ._native import monotonic, original
from ._switch import GreenletExit, getcurrent, greenlet
from .hub import get_hub, spawn_raw
from .local import local

__all__ = [
    "TIMEOUT_MAX",
    "LockType",
    "RLock",
    "allocate",
    "allocate_lock",
    "error",
    "exit",
    "exit_thread",
    "get_ident",
    "get_native_id",
    "interrupt_main",
    "stack_size",
    "start_new",
    "start_new_thread",
]


def get_ident(target: greenlet | None = None) -> int:
    """A number that no other living greenlet or thread has: of the current greenlet.

    Or of the one that is given.
    """
    if target is None:
        try:
            target = getcurrent()
        except RuntimeError:
            # The interpreter is being torn down: there are no greenlets any more, but finalisers take locks.
            return _native_ident()
    return id(target) if target.parent is not None else _native_ident()


def exit() -> NoReturn:
    """End the current thread, here: its greenlet; as SystemExit, which is not reported."""
    raise SystemExit


exit_thread = exit
_local = local


# -- locks ---------------------------------------------------------------------------------------------------

#: Locks that were made anew while they were held: how often each may be released once more, by whom it was
#: held (0 for a lock that anybody may release).
_taken_away: "WeakKeyDictionary[LockType | RLock, dict[int, int]]" = WeakKeyDictionary()


def _take_away(lock: "LockType | RLock", owner: int, count: int) -> None:
    owners = _taken_away.setdefault(lock, {})
    owners[owner] = owners.get(owner, 0) + count


def _was_taken_away(lock: "LockType | RLock", owner: int) -> bool:
    """Whether a release() by somebody who does not hold the lock is excused, this once."""
    owners = _taken_away.get(lock)
    if owners is None or owner not in owners:
        return False
    owners[owner] -= 1
    if not owners[owner]:
        del owners[owner]
    return True


def _acquire_in_any_case(lock: "LockType | RLock") -> None:
    """For the end of Condition.wait(), after which the caller releases the lock: it must have it, whatever
    happens to the greenlet meanwhile. A kill or a Timeout comes at its next wait.
    """
    shielded = shield(True)
    try:
        lock.acquire()
    finally:
        shield(shielded)


@_hub.own_methods
class LockType(_hub.Lock):
    """A lock that anybody may release.

    acquire() switches to the hub if the lock is taken, release() never does.
    """

    __slots__ = ("__weakref__",)

    def __init_subclass__(cls) -> None:
        raise TypeError(f"type '{LockType.__module__}.LockType' is not an acceptable base type")

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[int, ...], bool]:
        """For reports (see _waitgraph): anybody may release it."""
        return "acquire", (), False

    def _release_not_owned(self) -> None:
        """release() of a lock that nobody has."""
        if not (_taken_away and _was_taken_away(self, 0)):
            raise RuntimeError("release unlocked lock")

    # -- what threading.Condition needs

    def _is_owned(self) -> bool:
        # Without it the condition would find out by a refused acquire(), which switches.
        return self.locked()

    def _release_save(self) -> None:
        self.release()

    def _acquire_restore(self, state: None) -> None:
        _acquire_in_any_case(self)

    def _at_fork_reinit(self) -> None:
        if self.locked():
            _take_away(self, 0, 1)
        self._renew()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__module__}.{type(self).__qualname__} object at {id(self):#x}>"

    acquire_lock = _hub.Lock.acquire
    release_lock = _hub.Lock.release
    locked_lock = _hub.Lock.locked


allocate_lock = allocate = lock = LockType


@_hub.own_methods
class RLock(_hub.RLock):
    """A lock that its owner may take again: a greenlet, or the main greenlet of a native thread."""

    __slots__ = ("__weakref__",)

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[int, ...], bool]:
        """For reports (see _waitgraph): its owner, who alone can release it."""
        return "acquire", () if self._owner is None else (self._owner,), True

    def _release_not_owned(self) -> None:
        """release() by somebody who does not have it."""
        if not (_taken_away and _was_taken_away(self, get_ident())):
            raise RuntimeError("cannot release un-acquired lock")

    # -- what threading.Condition needs

    def _release_save(self) -> int:
        count = self._recursion_count()
        if count:
            self._count = 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        _acquire_in_any_case(self)
        self._count = count

    def _at_fork_reinit(self) -> None:
        owner, count = self._owner, self._count
        if owner is not None and owner != get_ident():
            _take_away(self, owner, count)
        self._renew()

    def __repr__(self) -> str:
        state = "unlocked" if self._owner is None else "locked"
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{state} {name} object owner={self._owner or 0} count={self._count} at {id(self):#x}>"


# -- threads -------------------------------------------------------------------------------------------------


class _Finish:
    """The end of a thread: something to wait for, any number of times."""

    __slots__ = ("__weakref__", "_waiters", "done", "runner")

    def __init__(self) -> None:
        self.done = False
        self._waiters = WaitList(weakref(self))
        #: What ends with it, if that is a greenlet.
        self.runner: weakref[greenlet] | None = None

    def __repr__(self) -> str:
        return f"<end of {self.runner() if self.runner is not None else 'a thread'!r}>"

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph): the thread's greenlet, and nobody else."""
        runner = self.runner() if self.runner is not None else None
        return "join", () if runner is None else (runner,), runner is not None

    def set(self) -> None:
        self.done = True
        self._waiters.wake_all()

    def wait(self, seconds: float | None) -> bool:
        if self.done or seconds == 0:
            return self.done
        get_hub()
        wait = self._waiters.wait
        if not self.done:  # no call in between
            wait(seconds)
        return self.done


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
) -> int:
    """Call function(*args, **kwargs) in a greenlet of this thread's hub; the identifier of the greenlet.

    It starts with an empty context, as a thread does. Does not switch.
    """
    if not callable(function):
        raise TypeError(f"first arg must be callable, not {type(function).__name__}")
    if not isinstance(args, tuple):
        raise TypeError(f"2nd arg must be a tuple, not {type(args).__name__}")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError(f"optional 3rd arg must be a dictionary, not {type(kwargs).__name__}")
    return get_ident(_start(_bootstrap, function, args, kwargs or {}))


start_new = start_new_thread

#: The greenlets of threads that have not ended. Of the whole process, as `threading`'s own tables are.
_started: WeakSet[greenlet] = WeakSet()


def _start(run: Callable[..., object], *args: Any) -> greenlet:
    runner = spawn_raw(run, *args)
    _started.add(runner)
    return runner


def _bootstrap(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        function(*args, **kwargs)
    except (SystemExit, GreenletExit):
        pass  # ends the thread, not the process
    except KeyboardInterrupt:
        raise  # Ctrl-C, meant for the program: the hub passes it on to the main greenlet
    except BaseException as error:
        _hub.thread_failed(function, error)
    finally:
        me: Any = getcurrent()
        _started.discard(me)
        # Set by _set_sentinel(), up to Python 3.12.
        finish: _Finish | None = getattr(me, "_thread_finish", None)
        if finish is not None:
            finish.set()
        if me is _main_of_child:
            _end_of_child()


def _count() -> int:
    """How many threads there are beside the main one: greenlets, and native ones that _thread has started."""
    return len(_started) + _native_count()


_native_count: Callable[[], int] = original("_thread", "_count")

# -- the child of a fork: only the thread that forked is there -----------------------------------------------

#: The thread that forked, if it was not the main one: the process ends with it.
_main_of_child: greenlet | None = None


def _vanish_others() -> None:
    global _main_of_child
    me = getcurrent()
    others = [each for each in _started if each is not me]
    if me in _started:
        _main_of_child = main = me
        while main.parent is not None:
            main = main.parent
        others.append(main)
    for each in others:
        _hub.vanish(each)
        _started.discard(each)


os.register_at_fork(after_in_child=_vanish_others)


def _end_of_child() -> None:
    """As everywhere, the process ends with status 0 when the thread that forked has ended, and those that it
    started; no function of atexit is called.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is none, or it is closed
    os._exit(0)


# -- the end of a thread, as threading knows it --------------------------------------------------------------

if sys.version_info >= (3, 13):

    class _ThreadHandle:
        """The end of a thread as threading.Thread knows it from Python 3.13 on."""

        __slots__ = ("__weakref__", "_finish", "_started", "ident")

        def __init__(self) -> None:
            self._finish = _Finish()
            self.ident = 0

        def is_done(self) -> bool:
            """Whether the thread has ended."""
            return self._finish.done

        def _set_done(self) -> None:
            if not self.ident:
                raise RuntimeError("thread not started")
            self._finish.set()

        def join(self, timeout: float | None = None) -> None:
            """Wait for the end, at most `timeout` seconds. Switches to the hub."""
            if not self.ident:
                raise RuntimeError("thread not started")
            # Of one that has ended somebody else may have the number by now.
            if self.ident == get_ident() and not self._finish.done:
                raise RuntimeError("Cannot join current thread")
            self._finish.wait(None if timeout is None or timeout < 0 else timeout)

        def __repr__(self) -> str:
            return f"<{type(self).__module__}.{type(self).__qualname__} object: ident={self.ident}>"

    #: Threads that run, and whether each is a daemon: the end of the process waits for those that are not. Of
    #: the whole process, as `threading`'s own tables are.
    _running: dict[_ThreadHandle, bool] = {}

    def _make_thread_handle(ident: int, /) -> _ThreadHandle:
        """A handle for what was not started here: the main thread, a greenlet or thread of somebody else."""
        handle = _ThreadHandle()
        handle.ident = ident
        return handle

    def start_joinable_thread(
        function: Callable[[], object], *, handle: _ThreadHandle | None = None, daemon: bool = True
    ) -> _ThreadHandle:
        """Call function() in a greenlet; `handle` then knows it.

        Unless it is a daemon, the process waits for it.
        """
        if not callable(function):
            raise TypeError(f"thread function must be callable, not {type(function).__name__}")
        if handle is None:
            handle = _ThreadHandle()
        elif not isinstance(handle, _ThreadHandle):
            raise TypeError(f"'handle' must be a _ThreadHandle, not {type(handle).__name__}")
        elif handle.ident:
            raise RuntimeError("thread already started")
        runner = _start(_run_joinable, function, handle)
        handle.ident = get_ident(runner)
        handle._finish.runner = weakref(runner)
        _running[handle] = daemon
        return handle

    def _run_joinable(function: Callable[[], object], handle: _ThreadHandle) -> None:
        try:
            _bootstrap(function, (), {})
        finally:
            _running.pop(handle, None)
            handle._set_done()

    def _shutdown() -> None:
        """Wait for all threads that are no daemons: greenlets first.

        Then what threads there were before patching.
        """
        # One of them may start others.
        while waited_for := [handle for handle, daemon in _running.items() if not daemon]:
            waited_for[0]._finish.wait(None)
        _native_shutdown()

    def _forget_other_threads() -> None:
        """In the child of a fork only the thread that forked is left; it is the main one, not waited for."""
        me = get_ident()
        for handle in list(_running):
            del _running[handle]
            if handle.ident != me:
                handle._set_done()

    os.register_at_fork(after_in_child=_forget_other_threads)

    _native_shutdown = original("_thread", "_shutdown")
    _versioned: tuple[str, ...] = (
        "_ThreadHandle",
        "_make_thread_handle",
        "_shutdown",
        "lock",
        "start_joinable_thread",
    )

else:

    def _seconds(blocking: bool, timeout: float) -> float | None:
        """How long an acquire() may wait, from its arguments; the errors are the standard library's."""
        if timeout == -1:
            return None if blocking else 0.0
        if not blocking:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0:
            raise ValueError("timeout value must be a non-negative number")
        if timeout > TIMEOUT_MAX:
            raise OverflowError("timeout value is too large")
        return timeout

    class _Sentinel:
        """The end of a thread as threading.Thread knows it up to Python 3.12: a lock that is free when it has
        ended.

        Whoever takes it then, and does not give it back, keeps the thread from being known as ended; but
        those who merely wait for the end (ended()) do not take it: if they handed it from one to the next,
        each would find it locked right after having given it up, which threading takes for a mistake.
        """

        __slots__ = ("__weakref__", "_finish", "_ident", "_lock", "_taken")

        def __init__(self, ident: int) -> None:
            self._finish = _Finish()
            self._ident = ident
            self._taken = False
            self._lock = LockType()

        def ended(self, blocking: bool = True, timeout: float = -1) -> bool:
            """Wait for the end: whether it has come, and nobody has taken the lock since."""
            return self._finish.wait(_seconds(blocking, timeout)) and not self._lock.locked()

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if not self._taken:
                self._taken = True  # the thread itself, as the first thing it does
                return True
            seconds = _seconds(blocking, timeout)
            until = None if seconds is None else monotonic() + seconds
            if not self._finish.wait(seconds):
                return False
            return self._lock.acquire(timeout=-1 if until is None else max(0, until - monotonic()))

        def release(self) -> None:
            # The main thread says by this that it has ended.
            if self._ident == get_ident() and not self._finish.done:
                self._finish.set()
            else:
                self._lock.release()

        def locked(self) -> bool:
            return self._taken and (not self._finish.done or self._lock.locked())

        def _at_fork_reinit(self) -> None:
            self._finish = _Finish()
            self._taken = False
            self._lock._at_fork_reinit()

    def _set_sentinel() -> _Sentinel:
        """What ends with the current greenlet, if it was started here, or when the main thread says so."""
        current: Any = getcurrent()
        sentinel = _Sentinel(get_ident(current))
        current._thread_finish = sentinel._finish
        sentinel._finish.runner = weakref(current)
        return sentinel

    _versioned = ("_set_sentinel",)

if sys.version_info >= (3, 14):

    def set_name(name: str, /) -> None:
        """Nothing: what would get the name is the native thread, which belongs to all its greenlets."""

    _versioned += ("set_name",)


__implements__ = (
    "LockType",
    "RLock",
    "_count",
    "_local",
    "allocate",
    "allocate_lock",
    "get_ident",
    "start_new",
    "start_new_thread",
    *_versioned,
)
