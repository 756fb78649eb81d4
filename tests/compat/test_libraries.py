"""Libraries that import gevent or greenlet, unmodified, on corolib."""

from importlib.metadata import version

import pytest
from compat.standing_in import run_as_gevent
from programs.running import CROWD, needs

# On a busy machine, that many processes take their time.
pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]


def test_sqlalchemy_s_asyncio_engine(tmp_path) -> None:
    needs(modules=("sqlalchemy", "aiosqlite"))
    lines = run_as_gevent("use_sqlalchemy_async.py", tmp_path).splitlines()
    assert lines == ["True", "OperationalError", "MissingGreenlet", "True"]


def test_sqlalchemy_with_psycopg(postgres) -> None:
    needs(modules=("sqlalchemy", "psycopg"))
    lines = run_as_gevent("use_sqlalchemy_sync.py", *postgres).splitlines()
    assert lines == ["True 20 20 0", "1 1"]


def test_greenback() -> None:
    needs(modules=("greenback",))
    assert run_as_gevent("use_greenback.py").splitlines() == ["[0, 1, 2, 3, 4]", "RuntimeError", "told"]


def test_pyzmq() -> None:
    needs(modules=("zmq",))
    lines = run_as_gevent("use_zmq.py").splitlines()
    assert lines == ["asked", "pushed True", "polled True b'late'", "timed out"]


def test_grequests(http) -> None:
    needs(modules=("grequests",))
    lines = run_as_gevent("use_grequests.py", http, CROWD).splitlines()
    assert lines == [f"{CROWD} {{200}}", f"{[200] * 10}", "ConnectionError"]


def test_psycogreen(postgres) -> None:
    needs(modules=("psycogreen", "psycopg2"))
    assert run_as_gevent("use_psycogreen.py", *postgres, CROWD).splitlines() == ["True", "division by zero"]


def test_apscheduler_and_huey() -> None:
    needs(modules=("apscheduler", "huey"))
    assert int(version("apscheduler").split(".")[0]) == 3
    assert run_as_gevent("use_schedulers.py").splitlines() == ["rung True", "True", "over"]
