"""Kill, Timeout and wake racing for who waits for a native thread: no job and no place is lost.

How many switches there are depends on the threads here, so each scenario is tried up to some more.
"""

from collections.abc import Iterator

import pytest
from switchpoints import WAYS, Run, by_limits, play

from corolib import Timeout, get_hub
from corolib.testing import VirtualClock
from corolib.threadpool import ThreadPool


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    pool = ThreadPool(2)
    yield pool
    pool.kill()


def thread_scenarios(threads: ThreadPool) -> list:
    def apply(run: Run) -> Iterator[None]:
        got: list[int] = []
        run.subject(lambda: [got.append(threads.apply(abs, (-number,))) for number in range(4)])
        run.spawn(lambda: [threads.apply(abs, (-number,)) for number in range(4)])
        yield
        assert got == list(range(len(got)))
        assert not run.done or len(got) == 4
        assert len(threads) == 0

    def more_jobs_than_places(run: Run) -> Iterator[None]:
        got: list[object] = []

        def subject() -> None:
            jobs = [threads.spawn(abs, -number) for number in range(6)]
            got.extend(job.get() for job in jobs)

        run.subject(subject)
        run.spawn(lambda: [threads.spawn(abs, -number).get() for number in range(4)])
        yield
        assert got == list(range(len(got)))
        assert not run.done or len(got) == 6
        assert len(threads) == 0

    def mapped(run: Run) -> Iterator[None]:
        got: list[object] = []
        run.subject(lambda: got.extend(threads.map(abs, range(-5, 0))))
        yield
        assert got == ([5, 4, 3, 2, 1] if run.done else [])
        assert len(threads) == 0

    def joined(run: Run) -> Iterator[None]:
        def subject() -> None:
            for _ in range(3):
                threads.spawn(abs, 1)
            threads.join()

        run.subject(subject)
        run.spawn(lambda: threads.spawn(abs, 2).get())
        yield
        assert len(threads) == 0

    return [apply, more_jobs_than_places, mapped, joined]


@pytest.mark.parametrize("number", range(4))
def test_no_job_and_no_place_of_a_thread_pool_is_lost(threads: ThreadPool, number: int) -> None:
    scenario = thread_scenarios(threads)[number]
    with VirtualClock(patience=0.1, patch_time=False):
        for seed in (None, 1):
            _, total = play(scenario, None, 0, seed)
            for way in WAYS:
                if way is by_limits:
                    continue  # nothing here has one
                for at in range(1, total + 3):
                    play(scenario, way, at, seed)
        # All places are there, and all threads work.
        with Timeout(1000):
            assert threads.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        assert get_hub().join()
