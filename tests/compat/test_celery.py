"""Celery's worker over Redis: its own gevent pool on corolib, and ours."""

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compat.standing_in import AS_GEVENT, HERE, SOON, environ, running, wait_until
from programs.running import needs

#: Tasks in the long test; the everyday part of CI has fewer, being about the same.
TASKS = int(os.environ.get("COROLIB_CELERY_TASKS", "200"))
OURS = {"CELERY_CUSTOM_WORKER_POOL": "corolib.ext.celery:TaskPool"}
POOLS = {
    "its own, on corolib": ((*AS_GEVENT, "-m", "celery"), ("-P", "gevent"), {}),
    "ours": (("-m", "corolib", "-m", "celery"), ("-P", "custom"), OURS),
}

pytestmark = [pytest.mark.slow, pytest.mark.outside]


@pytest.fixture(scope="module")
def tasks(redis_server: tuple[int, Path]) -> Iterator[Any]:
    """The module of the tasks, as a client has it."""
    needs(modules=("celery",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_URL", f"redis://127.0.0.1:{redis_server[0]}/3")
        patch.syspath_prepend(HERE / "programs")
        # It would take the real one into the process of the tests.
        patch.setitem(sys.modules, "greenlet", None)
        yield importlib.import_module("celery_tasks")
        sys.modules.pop("celery_tasks")


@pytest.fixture(params=POOLS)
def worker(request: pytest.FixtureRequest, tasks: Any, tmp_path: Path) -> Iterator[Any]:
    program, pool, more = POOLS[request.param]
    command = (*program, "-A", "celery_tasks", "worker", *pool, "-c", "100", "-l", "INFO", "--without-mingle")
    env = environ(CELERY_URL=tasks.app.conf.broker_url, C_FORCE_ROOT="1", **more)
    log = tmp_path / "log"
    with running(log, *command, cwd=HERE / "programs", env=env) as process:
        process.log, process.ours = log, request.param == "ours"
        wait_until("a worker", lambda: "ready." in log.read_text())
        yield process


@pytest.mark.hang_after(400)
def test_tasks_limits_revocation_and_a_warm_end(worker: Any, tasks: Any, tmp_path: Path) -> None:
    from celery import group
    from celery.exceptions import TaskRevokedError, TimeLimitExceeded

    # As many at the same time as the pool has room for, or none of them ends.
    together = group(tasks.sleeper.s(100) for _ in range(100))().get(timeout=SOON)
    assert together == [100] * 100
    assert group(tasks.nap.s(number) for number in range(TASKS))().get(timeout=5 * SOON) == list(range(TASKS))
    with pytest.raises(ValueError, match="told"):
        tasks.fails.delay().get(timeout=SOON)
    with pytest.raises(TimeLimitExceeded):
        tasks.too_long.delay().get(timeout=SOON)
    if worker.ours:  # Celery's own pool has no soft limits
        assert tasks.warned.delay().get(timeout=SOON) == "warned"
        assert "Soft time limit (0.2s) exceeded" in worker.log.read_text()
    note = tmp_path / "endless"
    endless = tasks.endless.delay(str(note))
    wait_until("the task", note.exists)
    endless.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        endless.get(timeout=SOON)
    wait_until("the end of the task", lambda: note.read_text() == "begun ended ")
    last = tmp_path / "last"
    slow = tasks.slow.delay(str(last))
    wait_until("the last task", last.exists)
    worker.send_signal(signal.SIGTERM)
    assert slow.get(timeout=SOON) == "done"
    assert worker.wait(60) == 0
    assert last.read_text() == "begun done "
    log = worker.log.read_text()
    assert "Warm shutdown" in log
    assert "Traceback" not in log.replace(_traceback_of_the_failing_task(log), "")


def _traceback_of_the_failing_task(log: str) -> str:
    begin = log.index("Traceback")
    return log[begin : log.index("ValueError: told", begin)]
