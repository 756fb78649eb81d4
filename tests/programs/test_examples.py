"""The examples that load a server of others: what they find, what they say of bad arguments, how they end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from helpers import PATIENCE, ROOT, run_isolated
from programs.running import PLAIN_NETWORK, needs

pytestmark = [pytest.mark.slow, pytest.mark.outside]
EXAMPLES = ROOT / "examples"
#: Where no server is.
NOWHERE = 1


def interrupted(begun: Callable[[], object], name: str, *arguments: object) -> tuple[str, str]:
    """What an example writes that gets a Ctrl-C once it has begun."""
    with subprocess.Popen(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env={**os.environ, **PLAIN_NETWORK, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 30 * PATIENCE
            while not begun():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=30 * PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130, (stdout, stderr)
    return stdout, stderr


def test_redis_load(redis_server) -> None:
    where = f"redis://127.0.0.1:{redis_server[0]}/0"
    done = run_isolated(EXAMPLES / "redis_load.py", where, "--clients", 20, "--rounds", 50)
    assert re.match(r"1000 rounds in [\d.]+ s, [\d,]+ commands a second\np50  [\d.]+ ms\np99", done.stdout)
    assert done.stdout.endswith("\n0 errors\n")
    assert done.stderr == ""


def test_redis_load_interrupted(redis_server) -> None:
    import redis

    port = redis_server[0]
    with redis.Redis(port=port) as client:
        stdout, stderr = interrupted(
            lambda: len(list(client.scan_iter("corolib-load:*"))) == 5,
            *("redis_load.py", f"redis://127.0.0.1:{port}/0", "--clients", 5, "--rounds", 10**9),
        )
        left = list(client.scan_iter("corolib-load:*"))
        assert all(client.ttl(key) >= 0 for key in left)
    assert re.match(r"[1-9]\d* rounds in ", stdout)
    assert stdout.endswith("\n0 errors\n")
    assert stderr == ""


def test_redis_load_says_what_is_wrong() -> None:
    needs(modules=("redis",))
    for arguments, status, expected in (
        (["--clients", 0], 2, "--clients and --rounds must be at least 1"),
        (["nonsense:"], 2, "must specify one of the following schemes"),
        ([f"redis://127.0.0.1:{NOWHERE}", "--clients", 2], 1, "Connection refused"),
    ):
        done = run_isolated(EXAMPLES / "redis_load.py", *arguments, check=False)
        assert (done.returncode, expected in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("library", ["psycopg", "psycopg2"])
def test_postgres_load(postgres, library: str) -> None:
    needs(modules=(library,))
    user, port = postgres
    where = f"host=127.0.0.1 port={port} user={user} dbname=postgres"
    options = ("--library", library, "--clients", 20, "--queries", 5, "--seconds", 0.05)
    done = run_isolated(EXAMPLES / "postgres_load.py", where, *options)
    found = re.match(r"100 queries in ([\d.]+) s, [\d,]+ a second\np50  [\d.]+ ms\np99", done.stdout)
    assert found
    assert float(found[1]) < 4  # one after another they take 5 s
    assert done.stdout.endswith("\none after another they sleep 5.0 s; 0 errors\n")
    assert done.stderr == ""


@pytest.mark.parametrize("library", ["psycopg", "psycopg2"])
def test_postgres_load_interrupted(postgres, library: str) -> None:
    needs(modules=("psycopg", library))
    import psycopg

    user, port = postgres
    where = f"host=127.0.0.1 port={port} user={user} dbname=postgres"
    with psycopg.connect(where, autocommit=True) as control:
        ours = f"from pg_stat_activity where application_name = 'load-{library}'"
        question = f"select count(*) {ours} and wait_event = 'PgSleep'"
        where += f" application_name=load-{library}"
        stdout, stderr = interrupted(
            lambda: control.execute(question).fetchone()[0] == 5,
            *("postgres_load.py", where, "--library", library, "--clients", 5, "--seconds", 1000),
        )
        # The server notices that the client is gone when it has slept.
        control.execute(f"select pg_terminate_backend(pid) {ours}")
    assert stdout.startswith("0 queries in ")
    assert stdout.endswith("; 0 errors\n")
    assert stderr == ""


def test_postgres_load_says_what_is_wrong() -> None:
    needs(modules=("psycopg",))
    for arguments, status, expected in (
        ([], 2, "the following arguments are required: CONNINFO"),
        (["x", "--clients", 0], 2, "--clients and --queries must be at least 1"),
        (["nonsense", "--clients", 2], 1, "missing"),
        ([f"host=127.0.0.1 port={NOWHERE} user=x", "--clients", 2], 1, "Connection refused"),
    ):
        done = run_isolated(EXAMPLES / "postgres_load.py", *arguments, check=False)
        assert (done.returncode, expected in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr
