"""Celery's workers with a greenlet for each task.

    export CELERY_CUSTOM_WORKER_POOL=corolib.ext.celery:TaskPool
    python -m corolib celery -A project worker --pool custom --concurrency 1000

`python -m corolib` patches before Celery is imported; without it tasks run, but one that waits holds up all
others. Time limits work both ways: the soft one raises SoftTimeLimitExceeded in the task at its next wait,
the hard one ends the task whatever it catches. `revoke(terminate=True)` kills the task's greenlet. A warm
shutdown lets the tasks that run finish, a cold one kills them.

A task that never waits, and computes, is stopped by none of these: processes (Celery's prefork) are for that.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._switch import GreenletExit, getcurrent, greenlet
from ..greenlet import Greenlet
from ..hub import spawn_raw
from ..pool import Pool
from ..timeout import Timeout

if TYPE_CHECKING:
    TaskPool: Any

#: `TaskPool` is made when it is asked for: its base class is Celery's.
__all__: tuple[str, ...] = ()


class _Job(Greenlet[None]):
    """The greenlet of one task. Celery holds it and calls terminate()."""

    #: Whether the worker has ended it and told so: nobody waits for a result.
    told = False

    def terminate(self, signal: object = None) -> None:
        """Kill it; the task sees GreenletExit at its next wait."""
        self.told = True
        self.kill(block=False)


class _SoftLimit(Timeout):
    """Raises SoftTimeLimitExceeded in the task, and tells the worker when it does."""

    def __init__(
        self, seconds: float | None, error: type[BaseException], tell: Callable[..., object]
    ) -> None:
        super().__init__(seconds, error(seconds) if seconds is not None else None)
        self._tell = tell

    def _on_expiration(self, prev_greenlet: greenlet, ex: BaseException) -> None:
        self._tell(True, self.seconds)
        super()._on_expiration(prev_greenlet, ex)


def _run(
    apply_target: Callable[..., object],
    soft_error: type[BaseException],
    target: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    callback: Callable[..., object] | None,
    accept_callback: Callable[..., object] | None,
    timeout_callback: Callable[..., object] | None,
    timeout: float | None,
    soft_timeout: float | None,
) -> None:
    """One task, from its acceptance to its result; in its greenlet."""
    me = getcurrent()
    tell = timeout_callback or (lambda soft, seconds: None)
    try:
        with Timeout(timeout) as hard, _SoftLimit(soft_timeout, soft_error, tell):
            apply_target(
                target,
                args,
                kwargs,
                callback,
                accept_callback,
                pid=id(me),
                propagate=(Timeout, GreenletExit),
                monotonic=time.monotonic,
            )
    except Timeout as expired:
        if expired is not hard:
            raise
        tell(False, timeout)
    except GreenletExit:
        if not getattr(me, "told", False):
            raise


class _TaskPool:
    """What is ours of the pool; see the head of this module."""

    signal_safe = False
    is_green = True
    # A task may wait for another one: it holds up nobody.
    task_join_will_block = False
    # The worker listens for commands (inspect, revoke) in a greenlet of its own.
    spawn_n = staticmethod(spawn_raw)

    limit: int
    options: Mapping[str, Any]
    _pool: Pool | None = None

    def on_start(self) -> None:
        self._pool = Pool(self.limit, greenlet_class=_Job)

    def on_stop(self) -> None:
        if self._pool is not None:
            self._pool.join()

    def on_terminate(self) -> None:
        if self._pool is not None:
            for job in list(self._pool):
                job.told = True  # type: ignore[attr-defined]  # a _Job
            self._pool.kill()

    def on_apply(
        self,
        target: Callable[..., object],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        callback: Callable[..., object] | None = None,
        accept_callback: Callable[..., object] | None = None,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        timeout_callback: Callable[..., object] | None = None,
        **_: object,
    ) -> Greenlet[None]:
        """Start a task; waits while the pool is full."""
        from billiard.exceptions import SoftTimeLimitExceeded
        from celery.concurrency.base import apply_target

        if self._pool is None:
            raise RuntimeError("the pool has not been started")
        # The worker's own limits are for tasks that have none.
        hard = self.options.get("timeout") if timeout is None else timeout
        soft = self.options.get("soft_timeout") if soft_timeout is None else soft_timeout
        job: Greenlet[None] = self._pool.spawn(
            _run,
            apply_target,
            SoftTimeLimitExceeded,
            target,
            args,
            kwargs or {},
            callback,
            accept_callback,
            timeout_callback,
            hard,
            soft,
        )
        return job

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Kill the task whose acceptance told this number."""
        for job in list(self._pool or ()):
            if id(job) == pid:
                job.terminate(signal)  # type: ignore[attr-defined]  # a _Job

    def restart(self) -> None:
        """Nothing: a greenlet does not outlive its task."""

    def grow(self, n: int = 1) -> None:
        """Let n more tasks run at the same time; those that wait for a place come first."""
        self._resize(n)
        if self._pool is not None:
            for _ in range(n):
                self._pool._semaphore.release()

    def shrink(self, n: int = 1) -> None:
        """Let n fewer; those that run finish."""
        self._resize(-n)
        if self._pool is not None:
            self._pool._semaphore.counter -= n  # type: ignore[union-attr]  # a pool with a size

    def _resize(self, by: int) -> None:
        self.limit += by
        if self._pool is not None:
            self._pool.size = self.limit

    def _get_info(self) -> dict[str, object]:
        return {
            "implementation": f"{__name__}:TaskPool",
            "max-concurrency": self.limit,
            "running": len(self._pool or ()),
        }

    @property
    def num_processes(self) -> int:
        """What Celery calls processes: tasks at the same time."""
        return self.limit


def __getattr__(name: str) -> Any:
    if name != "TaskPool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from celery.concurrency.base import BasePool

    made = type("TaskPool", (_TaskPool, BasePool), {"__doc__": _TaskPool.__doc__, "__module__": __name__})
    globals()["TaskPool"] = made
    return made
