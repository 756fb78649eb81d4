"""Libraries that import gevent or greenlet, unmodified, on corolib."""

from importlib.metadata import version
from pathlib import Path

import pytest
from compat.standing_in import run_as_gevent
from programs.running import CROWD, find, needs

# On a busy machine, that many processes take their time.
pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]


@pytest.mark.parametrize("patch", [(), ("--patch",)], ids=["plain", "patched"])
def test_sqlalchemy_s_asyncio_engine_with_aiosqlite(patch: tuple[str, ...], tmp_path: Path) -> None:
    needs(modules=("sqlalchemy", "aiosqlite"))
    url = f"sqlite+aiosqlite:///{tmp_path}/numbers.db"
    lines = run_as_gevent("use_sqlalchemy_async.py", url, options=patch).splitlines()
    assert lines == ["True", "OperationalError", "MissingGreenlet", "True"]


@pytest.mark.parametrize("patch", [(), ("--patch",)], ids=["plain", "patched"])
def test_sqlalchemy_s_asyncio_engine_with_asyncpg(patch: tuple[str, ...], postgres: tuple[str, int]) -> None:
    needs(modules=("sqlalchemy", "asyncpg"))
    url = f"postgresql+asyncpg://{postgres[0]}@127.0.0.1:{postgres[1]}/postgres"
    lines = run_as_gevent("use_sqlalchemy_async.py", url, options=patch).splitlines()
    assert lines == ["True", "ProgrammingError", "MissingGreenlet", "True"]


def test_sqlalchemy_with_psycopg(postgres) -> None:
    needs(modules=("sqlalchemy", "psycopg"))
    lines = run_as_gevent("use_sqlalchemy_sync.py", *postgres).splitlines()
    assert lines == ["True 20 20 0", "1 1"]


@pytest.mark.parametrize("patch", [(), ("--patch",)], ids=["plain", "patched"])
def test_greenback(patch: tuple[str, ...]) -> None:
    needs(modules=("greenback",))
    assert run_as_gevent("use_greenback.py", options=patch).splitlines() == [
        "[0, 1, 2, 3, 4]",
        "RuntimeError",
        "told",
    ]


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


def test_kombu(redis_server: tuple[int, Path]) -> None:
    needs(modules=("kombu", "redis"))
    assert run_as_gevent("use_kombu.py", redis_server[0], CROWD).splitlines() == ["gevent", "True"]


def test_playwright(http: str, tmp_path: Path) -> None:
    """Its synchronous calls are greenlets beside an event loop. Nothing is patched."""
    needs(modules=("playwright",), tools=("chromium",), packages="chromium")
    lines = run_as_gevent("use_playwright.py", find("chromium"), http, tmp_path).splitlines()
    told = ["told ['told']", "made by other 2", "timed out", "True", "200", "True"]
    assert lines == ["3", "42", *told]
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_playwright_in_several_greenlets() -> None:
    """Patched: each has an event loop of its own."""
    needs(modules=("playwright",), tools=("chromium",), packages="chromium")
    lines = run_as_gevent("use_playwright_greenlets.py", find("chromium")).splitlines()
    assert lines == ["['0', '1', '2']", "True"]
