"""The part of patching threads that is not a table: what `threading` and others had made before.

Names are replaced by the table in monkey.py. But objects exist by then: locks in modules and objects, the
main thread's Thread, and threads that already run. A native lock that one greenlet holds while another wants
it stops the thread, and with it every greenlet; so native locks that nobody holds are exchanged for
cooperative ones wherever they are kept.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable
from types import BuiltinMethodType, CellType, ModuleType
from typing import Any

from . import thread
from ._hub import instances, referrers
from ._native import get_ident, original
from .hub import sleep
from .local import local

__all__ = ["held_locks", "live_threads", "patch_locks", "patch_queues", "patch_threads"]

#: How often a greenlet looks whether a native thread that it joins has ended, in seconds. There is nothing
#: that could tell it: the end of a thread started before patching releases a native lock.
POLL = 0.01

_state: Any = threading

#: Where a Thread keeps its handle, from Python 3.13 on.
_HANDLE = "_os_thread_handle" if sys.version_info >= (3, 14) else "_handle"


def live_threads() -> list[threading.Thread]:
    """The native threads, other than the current one, that `threading` knows of.

    Not one that has ended: whichever thread imports `threading` first passes for the main one, ever after.
    """
    mine = get_ident()  # of the native thread, whichever greenlet calls
    return [each for ident, each in _state._active.items() if ident != mine and each.is_alive()]


# -- threads -------------------------------------------------------------------------------------------------


class _PolledLock:
    """The lock that a native thread releases at its end (up to Python 3.12), for greenlets to wait for."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        def ended() -> bool:
            if self._native.acquire(False):
                self._native.release()
                return True
            return False

        return _poll(ended, None if timeout < 0 else timeout) if blocking else ended()

    #: acquire() does not keep it.
    ended = acquire

    def release(self) -> None:
        """Nothing: acquire() has not kept it."""

    def locked(self) -> bool:
        locked: bool = self._native.locked()
        return locked

    def _at_fork_reinit(self) -> None:
        self._native._at_fork_reinit()


class _PolledHandle:
    """The handle of a native thread (from Python 3.13 on), for greenlets to wait for."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self.ident = native.ident
        self.is_done = native.is_done
        self._set_done = native._set_done

    def join(self, timeout: float | None = None) -> None:
        if _poll(self.is_done, None if timeout is None or timeout < 0 else timeout):
            self._native.join()


def _poll(ended: Any, timeout: float | None) -> bool:
    left = timeout
    while not ended():
        if left is not None and left <= 0:
            return False
        pause = POLL if left is None else min(POLL, left)
        sleep(pause)
        left = None if left is None else left - pause
    return True


def _wait_for_tstate_lock(self: Any, block: bool = True, timeout: float = -1) -> None:
    """In place of Thread's own, up to Python 3.12: a join() that is interrupted leaves the thread as it is.

    The standard one takes the thread for ended then.
    """
    sentinel = self._tstate_lock
    if sentinel is not None and sentinel.ended(block, timeout):
        self._stop()


def _delete(self: Any) -> None:
    """In place of Thread's own: a thread that is a greenlet goes on, and ends, in the child of a fork too,
    where `threading` has forgotten it.
    """
    with _state._active_limbo_lock:
        _state._active.pop(thread.get_ident(), None)


def patch_threads() -> None:
    """The main thread and threads that run already: let greenlets wait for their end.

    Called in the main thread.
    """
    _state.Thread._delete = _delete
    main = _state._main_thread
    others = live_threads()
    if sys.version_info >= (3, 13):
        setattr(main, _HANDLE, thread._make_thread_handle(main.ident))
        for each in others:
            setattr(each, _HANDLE, _PolledHandle(getattr(each, _HANDLE)))
        # It would take the entry of a dummy out when the next greenlet of the same native thread makes one.
        # Ours goes with its greenlet (corolib.threading._DummyThread).
        _state._DeleteDummyThreadOnDel = id
        # In the child `threading` wants an entry for the thread that forked, and can itself only make one for
        # the native main thread.
        os.register_at_fork(before=threading.current_thread)
        return
    _state.Thread._wait_for_tstate_lock = _wait_for_tstate_lock
    sentinel = thread._Sentinel(main.ident)
    sentinel.acquire()
    exchanged: list[tuple[Any, Any]] = [(main, sentinel)]
    for other in others:
        native = other._tstate_lock  # type: ignore[attr-defined]  # private
        if native is not None:
            exchanged.append((other, _PolledLock(native)))
    for each, lock in exchanged:
        # What threading._shutdown() waits for.
        if each._tstate_lock in _state._shutdown_locks:
            _state._shutdown_locks.discard(each._tstate_lock)
            _state._shutdown_locks.add(lock)
        each._tstate_lock = lock


# -- locks ---------------------------------------------------------------------------------------------------


class _Exchange:
    """Native locks and their bound methods -> what stands in for them, by identity."""

    def __init__(self) -> None:
        self._new: dict[int, Any] = {}
        self._old: list[Any] = []  # kept, so that the numbers stay theirs

    def add(self, old: Any, new: Any) -> None:
        self._old.append(old)
        self._new[id(old)] = new

    def get(self, old: Any) -> Any:
        return self._new.get(id(old))

    def in_dict(self, names: dict[Any, Any]) -> None:
        for name, value in list(names.items()):
            new = self.get(value)
            if new is not None:
                names[name] = new

    def in_class(self, cls: type) -> None:
        # Through the type, which keeps a cache of its attributes.
        for name, value in list(vars(cls).items()):
            new = self.get(value)
            if new is not None:
                setattr(cls, name, new)

    def in_slots(self, holder: object) -> None:
        for cls in type(holder).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                new = self.get(getattr(holder, name, None))
                if new is not None:
                    setattr(holder, name, new)


def _ours(holder: object) -> bool:
    """corolib's own native locks are native for a reason: they stand between threads.

    Not between greenlets.
    """
    # By its type alone: isinstance() would ask the object, which may be anything.
    kind = type(holder)
    name: object = vars(holder).get("__name__") if issubclass(kind, ModuleType) else kind.__module__
    return isinstance(name, str) and name.partition(".")[0] == "corolib"


def patch_locks() -> None:
    """Exchange native locks for cooperative ones, in modules, classes, objects and closures; and thread-local
    storage, unless there are other native threads, whose part of it would be lost.

    Left as they are: locks that somebody holds, and those in places that cannot be written to (tuples,
    objects in C). An RLock that the main thread holds passes to its main greenlet with the exchange.
    """
    makers: dict[type, Callable[[Any], Any]] = {_native_lock(): _new_lock, _native_rlock(): _new_rlock}
    if not live_threads():
        makers[original("_thread", "_local")] = _new_local
    _exchange(makers)


def patch_queues() -> None:
    """Exchange native SimpleQueues likewise, unless there are other native threads: they may wait for one."""
    if not live_threads():
        _exchange({original("_queue", "SimpleQueue"): _new_queue})


def _native_lock() -> type:
    return type(original("_thread", "allocate_lock")())


def _native_rlock() -> type:
    return type(original("_thread", "RLock")())


def _new_lock(old: Any) -> Any:
    return None if old.locked() else thread.LockType()


def _new_rlock(old: Any) -> Any:
    count = _held(old)
    if count < 0:
        return None
    lock = thread.RLock()
    if count:
        lock.acquire()
        lock._count = count
    return lock


def _new_local(old: Any) -> Any:
    new = local()
    for name, value in vars(old).items():
        setattr(new, name, value)
    return new


def _new_queue(old: Any) -> Any:
    from .queue import SimpleQueue  # late: threads may be patched without queues

    new: Any = SimpleQueue()
    while not old.empty():
        new.put(old.get_nowait())
    return new


def _exchange(makers: dict[type, Callable[[Any], Any]]) -> None:
    """Exchange all objects of exactly these types for what is made of them; None: it stays."""
    # From what is sought outward: a program has few locks, but so many objects that a loop over all of them
    # would take longer than the rest of patching.
    everything = gc.get_objects()  # once: what is made from here on is our own, and holds what it should
    natives = instances(list(makers), everything)
    if not natives:
        return
    holders = referrers(natives, everything)
    class_of_dict, spared = _owners(holders, everything)

    exchange = _Exchange()
    for native in natives:
        if id(native) not in spared:
            new = makers[type(native)](native)
            if new is not None:
                exchange.add(native, new)

    # A condition keeps methods of its lock.
    methods = [
        each
        for each in holders
        if type(each) is BuiltinMethodType and exchange.get(each.__self__) is not None
    ]
    for method in methods:
        replacement = getattr(exchange.get(method.__self__), method.__name__, None)
        if replacement is not None:
            exchange.add(method, replacement)
    if methods:
        holders += referrers(methods, everything)
    _write(exchange, class_of_dict, holders)


def _owners(holders: list[Any], everything: list[Any]) -> tuple[dict[int, type], set[int]]:
    """Of those who hold locks: id() of a dictionary -> the class that it belongs to; and id() of what our own
    objects hold.
    """
    class_of_dict: dict[int, type] = {}
    ours = [each for each in holders if not _is_class(each) and _ours(each)]
    # Most are the globals of modules, which need not be sought.
    imported: list[Any] = list(sys.modules.values())
    modules = {id(vars(each)): each for each in imported if issubclass(type(each), ModuleType)}
    dicts = []
    for names in [each for each in holders if type(each) is dict]:
        module = modules.get(id(names))
        if module is None:
            dicts.append(names)
        elif _ours(module):
            ours.append(names)
    for owner in referrers(dicts, everything):
        if _is_class(owner):
            class_of_dict.update(
                (id(names), owner) for names in gc.get_referents(owner) if type(names) is dict
            )
        elif _ours(owner):
            ours += [names for names in gc.get_referents(owner) if type(names) is dict]
    return class_of_dict, set(map(id, gc.get_referents(*ours)))


def _is_class(holder: object) -> bool:
    return issubclass(type(holder), type)  # isinstance() would ask the object


def held_locks() -> list[Any]:
    """The native locks that patch_locks() would leave as they are, since somebody holds them."""
    ends = {id(getattr(each, "_tstate_lock", None)) for each in _state._active.values()}
    native, rlock = _native_lock(), _native_rlock()
    spared = set(map(id, gc.get_referents(*filter(_ours, gc.get_objects()))))
    return [
        each
        for each in instances([native, rlock])
        if id(each) not in ends
        and id(each) not in spared
        and (_held(each) < 0 if type(each) is rlock else each.locked())
    ]


def _held(lock: Any) -> int:
    """How often the current thread holds an RLock; -1 if another one does."""
    if lock._is_owned():
        state = lock._release_save()
        lock._acquire_restore(state)
        count: int = state[0]
        return count
    if not lock.acquire(False):
        return -1
    lock.release()
    return 0


def _write(exchange: _Exchange, class_of_dict: dict[int, type], holders: Iterable[Any]) -> None:
    for holder in holders:
        if type(holder) is dict:
            cls = class_of_dict.get(id(holder))
            if cls is None:
                exchange.in_dict(holder)
            else:
                exchange.in_class(cls)
        elif type(holder) is CellType:
            new = exchange.get(holder.cell_contents)
            if new is not None:
                holder.cell_contents = new
        elif type(holder) is list:
            holder[:] = [exchange.get(each) or each for each in holder]
        elif not isinstance(holder, (type, ModuleType)):
            names = getattr(holder, "__dict__", None)
            if type(names) is dict:
                exchange.in_dict(names)
            exchange.in_slots(holder)
