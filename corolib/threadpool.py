"""Native threads behind a cooperative face: blocking functions run in them, greenlets wait for the results.

A task goes to a thread through a `_hub.TaskQueue`; its result comes back by AsyncResult.set(), called in that
thread: it makes the waiting greenlet ready in its own hub. Threads are made when there are more unfinished
tasks than threads, and end when nothing has come for a while, or with the pool. They are daemons: a process
does not wait for them to end.

Two counts keep deadlock reports right: a task under way is something that will still wake somebody
(`hub.external_enter`), a thread without a task is not (it waits in TaskQueue.get()).
"""

import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet
from weakref import ref as weakref

from ._config import config
from ._hub import TIMED_OUT, TaskQueue, WaitList, persist, tell
from ._native import RLock, get_ident, sleep, start_new_thread
from ._waiting import Linkable
from .errors import InvalidThreadUseError
from .event import AsyncResult, Event, ExcInfo
from .hub import Hub, get_hub, get_hub_if_exists
from .lock import DummySemaphore, Semaphore
from .pool import Mapper

if TYPE_CHECKING:
    from concurrent.futures import Executor

    ThreadPoolExecutor: type[Executor]

__all__ = ["ThreadPool", "ThreadPoolExecutor", "ThreadResult"]

_T = TypeVar("_T")
_P = ParamSpec("_P")

#: For how many seconds a thread that finds no memory to tell its result waits before it tries again.
PAUSE = 0.001


class ThreadResult(Generic[_T]):
    """A value, or an exception, that a native thread delivers to a hub, once.

    `receiver(self)` is called in the hub, before it `call_when_ready()` if given; an AsyncResult is a
    receiver. For code with threads of its own; a pool's tasks have their AsyncResult. Made in the thread of
    the hub, which reports no deadlock until this has come or is given up by destroy_in_main_thread(). `value`
    and `exc_info` are what has come, `hub` and `receiver` where it goes, `context` is what the receiver is
    called in.
    """

    __slots__ = ("_call_when_ready", "_due", "context", "exc_info", "hub", "receiver", "value")

    def __init__(
        self,
        receiver: "Callable[[ThreadResult[_T]], object] | None",
        hub: Hub,
        call_when_ready: Callable[[], object] | None = None,
    ) -> None:
        self.receiver = receiver
        self.hub = hub
        self._call_when_ready = call_when_ready
        self.value: _T | None = None
        self.exc_info: ExcInfo | tuple[()] = ()
        #: What hub.handle_error() is told failed.
        self.context: object = None
        self._due = True
        hub.external_enter()

    @property
    def exception(self) -> BaseException | None:
        """The exception that has come, or None."""
        return self.exc_info[1] if self.exc_info else None

    def successful(self) -> bool:
        """Whether no exception has come."""
        return not self.exc_info

    def set(self, value: _T) -> None:
        """Deliver a value. Any thread; never switches."""
        self.value = value
        self.hub.run_callback_threadsafe(self._deliver)

    def handle_error(self, context: object, exc_info: ExcInfo) -> None:
        """Deliver an exception, which is reported to hub.handle_error() too. Any thread; never switches."""
        self.context, self.exc_info = context, exc_info
        self.hub.run_callback_threadsafe(self._deliver)

    def destroy_in_main_thread(self) -> None:
        """Nothing is to be delivered any more. In the thread of the hub."""
        if self._due:
            self._due = False
            self.hub.external_leave()

    def _deliver(self) -> None:
        """In the hub."""
        if not self._due:
            return
        self.destroy_in_main_thread()
        try:
            if self._call_when_ready is not None:
                self._call_when_ready()
            if self.exc_info:
                self.hub.handle_error(self.context, *self.exc_info)
        finally:
            if self.receiver is not None:
                self.receiver(self)


class _Task:
    """One call, for one thread, with a copy of the caller's context."""

    __slots__ = ("args", "context", "function", "hub", "kwargs", "pool", "result", "withdrawn")

    def __init__(
        self,
        pool: "ThreadPool",
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.pool = pool
        self.hub = pool.hub
        self.context = copy_context()
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.result: AsyncResult[Any] = AsyncResult()
        self.withdrawn = False

    def run(self) -> None:
        """In the thread: make the call, hand over what came of it. Never raises."""
        if self.withdrawn:
            return
        value, failure = None, None
        try:
            hooked = _use_hooks()
            try:
                value = self.context.run(self.function, *self.args, **self.kwargs)
            finally:
                if hooked:
                    sys.settrace(None)
                    sys.setprofile(None)
        except BaseException as error:  # it is the waiter's, whatever it is
            failure = error
        if self.withdrawn:
            return  # type: ignore[unreachable]  # the function has forked, and this is the child
        ended = told = False
        try:
            while not told:
                try:
                    if not ended:
                        self.end()
                        ended = True
                    # With more to do here, the GIL is better kept.
                    deliver = _do if self.pool.task_queue else tell
                    if failure is None:
                        deliver(self.result.set, value)
                    else:
                        deliver(self.result.set_exception, failure)
                    told = True
                except MemoryError:
                    sleep(PAUSE)  # whoever waits has to be told, sooner or later
        except RuntimeError:
            pass  # the hub has been destroyed: nobody is left to tell
        finally:
            self.hub.external_leave()
            failure = None  # else its traceback, which has this frame, would keep itself alive

    def end(self) -> None:
        """Count it off, give its place back."""
        pool = self.pool
        pool._tasks.discard(self)
        if not pool._tasks and pool._joiners:
            pool._joiners.wake_all(True)
        pool._places.release()

    def withdraw(self) -> None:
        """There is no thread to do it. After external_enter()."""
        self.withdrawn = True
        self.end()
        self.hub.external_leave()

    def lose(self) -> None:
        """In the child of a fork: the thread that has it, or would have had it, is not there."""
        self.withdrawn = True
        self.end()
        try:
            self.result.set_exception(
                RuntimeError(f"the process was forked, without the thread that was to call {self.function!r}")
            )
        except RuntimeError:
            pass  # the hub of those who wait is gone as well


def _do(function: Callable[[_T], None], argument: _T) -> None:
    """What tell() is without its care for the GIL."""
    function(argument)


def _use_hooks() -> bool:
    """Do what threading.settrace() and setprofile() ask for, as in a thread of `threading`; whether they
    do.
    """
    threading = sys.modules.get("threading")
    trace = getattr(threading, "_trace_hook", None)
    profile = getattr(threading, "_profile_hook", None)
    if trace is not None:
        sys.settrace(trace)
    if profile is not None:
        sys.setprofile(profile)
    return trace is not None or profile is not None


def _work(owner: "weakref[ThreadPool]", tasks: "TaskQueue[_Task | None]", patience: float | None) -> None:
    """What a thread of a pool does; it does not keep the pool alive."""
    while True:
        try:
            task = tasks.get(patience)
        except MemoryError:
            sleep(PAUSE)
            continue
        expired = task is TIMED_OUT
        if not expired and task is not None:
            task.run()
            if task.pool.task_queue is not tasks:
                break  # the task has forked, and this is the child
            del task  # with its arguments and result, before the next wait
            continue
        pool = owner()
        if pool is None:
            break
        if expired and not pool._may_leave():
            del pool
            continue
        pool._has_left()
        del pool
        break
    hub = get_hub_if_exists()
    if hub is not None:
        hub.destroy()  # of this thread: a task has waited for something in it


class ThreadPool(Mapper):
    """At most `maxsize` native threads that call functions.

    Belongs to a hub (of the current thread if none is given), whose greenlets may use it. A thread that had
    nothing to do for `idle_task_timeout` seconds ends; -1: never. len() is the number of unfinished tasks, so
    an idle pool is false in a condition. ValueError if `maxsize` is less than 1.
    """

    #: Threads that are to stay, and threads that have not ended yet. Both change under `_guard` only, and so
    #: does what the threads are told by the queue: else one that gives up could be told to end as well, and
    #: the next thread would take that for its own and end before its task.
    _size = _alive = 0
    #: There for compatibility: no greenlet is needed to look after the threads, and no watcher to see a fork.
    manager = fork_watcher = None

    def __init__(self, maxsize: int, hub: Hub | None = None, idle_task_timeout: float = -1) -> None:
        # Reentrant: a finalizer or a handler of a signal may come at any time, and may use the pool.
        self._guard = RLock()
        _check_maxsize(maxsize)
        self.hub = hub if hub is not None else get_hub()
        self.idle_task_timeout = idle_task_timeout
        self._maxsize = maxsize
        self.pid = os.getpid()
        self.task_queue: TaskQueue[_Task | None] = TaskQueue()
        #: Tasks that are not over, and places for them.
        self._tasks: set[_Task] = set()
        self._places: Semaphore | DummySemaphore = Semaphore(self._maxsize)
        self._joiners = WaitList(weakref(self))
        self._leavers = WaitList(weakref(self))
        _pools.add(self)

    def after_fork(self) -> None:
        """In the child of a fork: the threads are not inherited, the pool is empty. Called by itself.

        Greenlets that wait for a task get RuntimeError; those that wait for a place have it.
        """
        if self.pid == os.getpid():
            return
        self.pid = os.getpid()
        self._guard = RLock()
        self.task_queue = TaskQueue()
        self._size = self._alive = 0
        for task in list(self._tasks):
            task.lose()
        self._leavers.wake_all(True)

    def __repr__(self) -> str:
        state = f"tasks={len(self)} size={self._size} maxsize={self._maxsize}"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __len__(self) -> int:
        return len(self._tasks)

    def __del__(self) -> None:
        self.close()

    # -- size ------------------------------------------------------------------------------------------------

    @property
    def maxsize(self) -> int:
        """How many threads there may be. May be set; threads that are too many end after their task."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        _check_maxsize(value)
        if isinstance(self._places, Semaphore):
            self._places.counter += value - self._maxsize
            self._places._serve()
        self._maxsize = value
        self.adjust()

    @property
    def size(self) -> int:
        """How many threads there are. May be set, to at most `maxsize`: threads are started, or told to
        end.
        """
        return self._size

    @size.setter
    def size(self, value: int) -> None:
        if not 0 <= value <= self._maxsize:
            raise ValueError(
                f"size of a thread pool: expected 0 to {self._maxsize} (maxsize), found {value!r}"
            )
        while self._size < value:
            self._start_thread()
        self._dismiss(value)

    def adjust(self) -> None:
        """Start a thread if there are more tasks than threads; end threads if there are more than
        `maxsize`.
        """
        if self._size > self._maxsize:
            self._dismiss(self._maxsize)
        elif self._size < self._maxsize and self._size < len(self._tasks):
            self._start_thread()

    def _start_thread(self) -> None:
        """RuntimeError if the system refuses."""
        patience = self.idle_task_timeout if self.idle_task_timeout >= 0 else None
        with self._guard:
            self._size += 1
            self._alive += 1
        try:
            # With persistence: a new thread has no memory of its own yet, and a task may count on it already.
            start_new_thread(persist, (_work, weakref(self), self.task_queue, patience))
        except BaseException:
            with self._guard:
                self._size -= 1
                self._alive -= 1
            raise

    def _dismiss(self, stay: int) -> None:
        """Tell threads to end, but for so many."""
        with self._guard:
            while self._size > stay:
                self.task_queue.put(None)
                self._size -= 1

    def _may_leave(self) -> bool:
        """In a thread that nothing has come for: count it off, unless something has by now."""
        with self._guard:
            if self.task_queue:
                return False
            self._size -= 1
            return True

    def _has_left(self) -> None:
        """In a thread that ends, and has been counted off."""
        with self._guard:
            self._alive -= 1
            last = not self._alive
        if last and self._leavers:
            self._leavers.wake_all(True)

    # -- tasks -----------------------------------------------------------------------------------------------

    def spawn(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> AsyncResult[_T]:
        """Have a thread call `function(*args, **kwargs)`: what it returns or raises comes in the AsyncResult.

        It is called in a copy of the caller's context.

        Switches if `maxsize` tasks are under way already. InvalidThreadUseError if this is not the thread of
        the pool's hub; RuntimeError or MemoryError if the system gives us not even one thread.
        """
        if get_hub_if_exists() is not self.hub:
            raise InvalidThreadUseError(f"{self!r} belongs to another thread; only that thread can use it")
        self._places.acquire()
        try:
            task = _Task(self, function, args, kwargs)
            self._tasks.add(task)
        except BaseException:
            self._places.release()
            raise
        self.hub.external_enter()
        try:
            with self._guard:
                self.task_queue.put(task)
                needed = self._size < self._maxsize and self._size < len(self._tasks)
        except BaseException:
            task.withdraw()
            raise
        if needed:
            try:
                self._start_thread()
            except (RuntimeError, MemoryError):
                if not self._size:
                    task.withdraw()
                    raise
        return task.result

    def full(self) -> bool:
        """Whether spawn() would have to wait."""
        return self._places.locked()

    def _apply_at_once(self) -> bool:
        return get_hub_if_exists() is not self.hub

    # -- the end ---------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Wait until all tasks are over. The threads stay. Switches unless there are none."""
        get_hub()
        while self._tasks:
            self._joiners.wait()

    def close(self) -> None:
        """Tell the threads to end after what they are doing. Never switches."""
        self._dismiss(0)

    def kill(self) -> None:
        """close(), and wait until they have. Switches unless there are none."""
        self.close()
        hub = get_hub()
        hub.external_enter()  # threads that are about to end are counted as idle
        try:
            while self._alive > 0:
                self._leavers.wait()
        finally:
            hub.external_leave()


def _check_maxsize(maxsize: int) -> None:
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize of a thread pool: expected a whole number, found {maxsize!r}")
    if maxsize < 1:
        raise ValueError(f"maxsize of a thread pool: expected 1 or more, found {maxsize}")


#: All pools there are, to be repaired in the child of a fork.
_pools: "WeakSet[ThreadPool]" = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


os.register_at_fork(after_in_child=_after_fork)

Hub.factories["threadpool"] = lambda hub: hub.threadpool_class(
    hub.threadpool_size, hub, config.threadpool_idle_task_timeout
)


def __getattr__(name: str) -> Any:
    if name != "ThreadPoolExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = _make_executor()
    return made


def _make_executor() -> "type[Executor]":
    # Made when it is first needed: concurrent.futures brings threading and logging with it.
    from concurrent.futures import Executor, Future
    from concurrent.futures.thread import BrokenThreadPool

    class ThreadFuture(Future[_T], Linkable):
        """A future whose waits are cooperative. It cannot be cancelled; its callbacks are called in the
        hub.
        """

        def __init__(self, result: AsyncResult[_T]) -> None:
            super().__init__()
            self._settled = Event()
            self.set_running_or_notify_cancel()
            result.rawlink(self._settle)

        def _settle(self, result: AsyncResult[_T]) -> None:
            if result.exception is None:
                self.set_result(result.get_nowait())
            else:
                self.set_exception(result.exception)
            self._settled.set()
            self._notify()

        def result(self, timeout: float | None = None) -> _T:
            self._settled.wait(timeout)
            return super().result(0)

        def exception(self, timeout: float | None = None) -> BaseException | None:
            self._settled.wait(timeout)
            return super().exception(0)

        def ready(self) -> bool:
            """For wait() and iwait()."""
            return self.done()

    class ThreadPoolExecutor(Executor):
        """concurrent.futures' ThreadPoolExecutor for greenlets: always native threads, waiting is
        cooperative.

        submit() never waits. Belongs to the hub of the thread that made it. `initializer(*initargs)` is
        called once in each thread, before its first task.
        """

        def __init__(
            self,
            max_workers: int | None = None,
            thread_name_prefix: str = "",
            initializer: Callable[..., object] | None = None,
            initargs: tuple[Any, ...] = (),
        ) -> None:
            # The standard library's default.
            self._pool = ThreadPool(max_workers or min(32, (os.cpu_count() or 1) + 4))
            self._pool._places = DummySemaphore()
            self._closed = False
            self._initializer = initializer and partial(initializer, *initargs)
            #: Native threads that the initializer has been called in.
            self._initialized: set[int] = set()
            self._broken = False

        def _initialize_and(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
            """In the thread."""
            me = get_ident()
            if self._initializer is not None and me not in self._initialized:
                if not self._broken:
                    try:
                        self._initializer()
                    except BaseException as error:
                        self._broken = True
                        self._pool.hub.run_callback_threadsafe(
                            self._pool.hub.handle_error,
                            self._initializer,
                            type(error),
                            error,
                            error.__traceback__,
                        )
                if self._broken:
                    raise BrokenThreadPool("the initializer of this executor has failed")
                self._initialized.add(me)
            return fn(*args, **kwargs)

        def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
            """Have `fn(*args, **kwargs)` called, in a copy of the caller's context. Never switches.

            RuntimeError after shutdown(); BrokenThreadPool, which is one, if the initializer has failed.
            """
            if self._broken:
                raise BrokenThreadPool("the initializer of this executor has failed")
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._initializer is not None:
                return ThreadFuture(self._pool.spawn(self._initialize_and, fn, *args, **kwargs))
            return ThreadFuture(self._pool.spawn(fn, *args, **kwargs))

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            """No more tasks; with `wait`, until all are over. `cancel_futures`: nothing can be cancelled
            here.
            """
            self._closed = True
            if wait:
                self._pool.join()
            self._pool.close()

        kill = shutdown

    ThreadPoolExecutor.__qualname__ = "ThreadPoolExecutor"
    return ThreadPoolExecutor
