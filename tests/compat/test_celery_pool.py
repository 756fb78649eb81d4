"""corolib.ext.celery: the pool by itself, as Celery's worker calls it."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import Recorder
from programs.running import needs

from corolib import sleep
from corolib.event import Event
from corolib.testing import settle


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    needs(modules=("celery",))
    monkeypatch.setitem(sys.modules, "greenlet", None)  # celery would take the real one into this process
    from corolib.ext.celery import TaskPool

    pool = TaskPool(2)
    pool.start()
    yield pool
    pool.terminate()


def apply(pool: Any, note: Recorder, target: Any, *args: object, **options: Any) -> Any:
    return pool.apply_async(
        target,
        args,
        accept_callback=lambda pid, when: note(("accepted", type(pid), type(when))),
        callback=lambda value: note(("done", value)),
        timeout_callback=lambda soft, seconds: note(("over time", "soft" if soft else "hard", seconds)),
        **options,
    )


ACCEPTED = ("accepted", int, float)


def test_a_task_is_accepted_and_done(pool: Any) -> None:
    note = Recorder()
    apply(pool, note, lambda a, b: a + b, 1, 2).join()
    note.check([ACCEPTED, ("done", 3)])
    settle()
    pool.spawn_n(note, "a greenlet of the worker's own")
    settle()
    assert note.items[2:] == ["a greenlet of the worker's own"]
    assert pool.info == {"implementation": "corolib.ext.celery:TaskPool", "max-concurrency": 2, "running": 0}


def test_a_full_pool_makes_the_worker_wait(pool: Any) -> None:
    note = Recorder()
    go = Event()
    jobs = [apply(pool, note, go.wait) for _ in range(2)]
    settle()
    assert pool.info["running"] == 2
    import corolib

    third = corolib.spawn(apply, pool, note, lambda: "third")
    settle()
    note.check([ACCEPTED, ACCEPTED])
    pool.grow()
    third.get().join()
    note.check([ACCEPTED, ACCEPTED, ACCEPTED, ("done", "third")])
    pool.shrink(2)
    assert pool.num_processes == 1
    late = corolib.spawn(apply, pool, note, lambda: "late")
    settle()
    go.set()
    for job in [*jobs, late.get()]:
        job.join()
    assert note.items[4:] == [("done", True), ("done", True), ACCEPTED, ("done", "late")]


@pytest.mark.corolib(clock=True)
def test_the_soft_limit_can_be_caught_and_the_hard_one_cannot(pool: Any) -> None:
    from celery.exceptions import SoftTimeLimitExceeded

    note = Recorder()

    def stubborn() -> str:
        try:
            sleep(10)
        except SoftTimeLimitExceeded:
            return "caught"
        return "late"

    def deaf() -> None:
        while True:
            try:
                sleep(10)
            except Exception as error:
                note(type(error).__name__)

    apply(pool, note, stubborn, soft_timeout=0.001).join()
    note.check([ACCEPTED, ("over time", "soft", 0.001), ("done", "caught")])
    note.items.clear()
    apply(pool, note, deaf, timeout=0.02, soft_timeout=0.001).join()
    note.check([ACCEPTED, ("over time", "soft", 0.001), "SoftTimeLimitExceeded", ("over time", "hard", 0.02)])


def test_limits_of_the_worker_are_for_tasks_without_their_own() -> None:
    needs(modules=("celery",))
    from corolib.ext.celery import TaskPool

    pool = TaskPool(2, timeout=0.001)
    pool.start()
    note = Recorder()
    apply(pool, note, sleep, 10).join()
    note.check([ACCEPTED, ("over time", "hard", 0.001)])
    note.items.clear()
    apply(pool, note, lambda: sleep(0.005), timeout=10).join()
    note.check([ACCEPTED, ("done", None)])


def test_a_timeout_of_the_task_s_own_is_not_the_worker_s(pool: Any) -> None:
    from corolib import Timeout

    note = Recorder()

    def own() -> str:
        with Timeout(0.001, False):
            sleep(10)
        return "went on"

    apply(pool, note, own, timeout=10).join()
    note.check([ACCEPTED, ("done", "went on")])


def test_a_revoked_task_is_killed_and_reports_nothing(pool: Any) -> None:
    note = Recorder()
    pids = []

    def task() -> None:
        try:
            sleep(10)
        finally:
            note("cleaned up")

    job = pool.apply_async(
        task,
        (),
        accept_callback=lambda pid, when: pids.append(pid),
        callback=lambda value: note(("done", value)),
    )
    settle()
    pool.terminate_job(pids[0] + 1, 15)
    settle()
    note.check([])
    pool.terminate_job(pids[0], 15)
    job.join()
    note.check(["cleaned up"])


def test_a_warm_stop_waits_and_a_cold_one_kills(pool: Any) -> None:
    note = Recorder()
    apply(pool, note, sleep, 0.005)
    settle()
    pool.stop()
    note.check([ACCEPTED, ("done", None)])
    apply(pool, note, sleep, 10)
    settle()
    pool.terminate()
    note.check([ACCEPTED, ("done", None), ACCEPTED])


def test_importing_the_adapters_imports_nothing_of_theirs() -> None:
    from helpers import run_isolated

    run_isolated(
        "import sys, corolib.ext.celery\n"
        "assert not {'celery', 'billiard', 'kombu'} & set(sys.modules)\n"
        "assert not hasattr(corolib.ext.celery, 'nonsense')"
    )
