"""Clients of databases."""

import re
import uuid
from textwrap import dedent

import pytest
from helpers import ROOT, run_isolated
from programs.running import CROWD, PLAIN_NETWORK, needs, run_both
from snippets import blocks

pytestmark = [pytest.mark.slow, pytest.mark.outside]
#: It waits in C unless it is told how.
PSYCOPG2 = "from corolib.ext import psycopg2; psycopg2.install()"


def test_redis(redis_server) -> None:
    lines = run_both("use_redis.py", *redis_server, CROWD).splitlines()
    assert f"blocked {CROWD}" in lines
    assert lines[-1] == "served True"


def test_psycopg(postgres) -> None:
    needs(modules=("psycopg", "psycopg_pool"))
    lines = run_both("use_psycopg.py", *postgres, CROWD).splitlines()
    assert lines[-2:] == [f"waiting {CROWD} 0", "served True"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_psycopg_waits_in_python_whenever_it_was_imported_unless_told_how(moment) -> None:
    needs(modules=("psycopg",))
    script = """
        import sys
        if sys.argv[1] == "after":
            import psycopg
        from corolib import monkey
        monkey.patch_all()
        import psycopg.waiting
        print(psycopg.waiting.wait.__name__)
        """
    assert run_isolated(script, moment).stdout == "wait_poll\n"
    env = {"PSYCOPG_WAIT_FUNC": "wait_selector"}
    assert run_isolated(script, moment, env=env).stdout == "wait_selector\n"


def test_psycopg2(postgres) -> None:
    needs(modules=("psycopg2",))
    lines = run_both("use_psycopg2.py", *postgres, CROWD, patching=PSYCOPG2).splitlines()
    assert lines[-2:] == [f"waiting {CROWD} 0", "served True"]


def test_pymysql(mariadb, authority) -> None:
    lines = run_both("use_pymysql.py", mariadb, authority[0], CROWD).splitlines()
    assert lines[-2:] == [f"waiting {CROWD} 0", "served True"]


def test_a_wait_of_psycopg2_that_is_cut_off_closes_the_connection_and_no_other(postgres) -> None:
    needs(modules=("psycopg2",))
    run_isolated(
        """
        import sys
        import corolib
        import psycopg2
        from corolib.ext.psycopg2 import install, uninstall, wait_callback

        def connect():
            return psycopg2.connect(host="127.0.0.1", port=sys.argv[2], user=sys.argv[1], dbname="postgres")

        install()
        assert psycopg2.extensions.get_wait_callback() is wait_callback
        cut, kept = connect(), connect()
        try:
            with corolib.Timeout(0.05):
                cut.cursor().execute("select pg_sleep(60)")
        except corolib.Timeout:
            pass
        assert cut.closed
        waiting = corolib.spawn(kept.cursor().execute, "select pg_sleep(60)")
        corolib.sleep(0)
        waiting.kill()
        assert waiting.dead and kept.closed
        with connect() as another:
            another.cursor().execute("select 1")

        class Strange:
            def poll(self):
                return 77

        try:
            wait_callback(Strange())
        except psycopg2.OperationalError as error:
            assert "found 77" in str(error)
        else:
            raise AssertionError("nothing raised")
        uninstall()
        assert psycopg2.extensions.get_wait_callback() is None
        """,
        *postgres,
    )


# -- docs/databases.md ---------------------------------------------------------------------------------------

PAGE = [block.text for block in blocks(ROOT / "docs/databases.md")]


@pytest.mark.parametrize("number", range(len(PAGE)))
def test_the_page_on_databases(number: int, postgres, redis_server) -> None:
    """Its programs write what stands beside each print()."""
    needs(modules=("psycopg", "psycopg_pool", "redis", "sqlalchemy"))
    user, port = postgres
    program = PAGE[number].replace("5432", str(port)).replace("6379", str(redis_server[0]))
    program = program.replace("user=postgres", f"user={user}").replace("//postgres@", f"//{user}@")
    told = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.M)
    assert told
    assert run_isolated(program, env=PLAIN_NETWORK).stdout.splitlines() == told


#: Kills a greenlet as soon as its server is busy with what it wants.
CUT_OFF = """
from corolib import monkey
monkey.patch_all()
import logging
import sys
import corolib

def cut_off(function, busy):
    worker = corolib.spawn(function)
    while not busy():
        corolib.sleep(0.01)
    worker.kill()
    assert isinstance(worker.value, corolib.GreenletExit), worker.exception

def postgres_is_busy():
    import os
    import psycopg
    # What is cut off goes on in the server, so each test asks for its own.
    asking = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and application_name = %s"
    with psycopg.connect(host="127.0.0.1", port=sys.argv[2], user=sys.argv[1]) as connection:
        return connection.execute(asking, [os.environ["PGAPPNAME"]]).fetchone()[0]
"""


def cut_off(program: str, *server: object) -> None:
    run_isolated(CUT_OFF + dedent(program), *server, env={**PLAIN_NETWORK, "PGAPPNAME": uuid.uuid4().hex})


def test_a_query_that_is_cut_off_costs_psycopg_s_pool_a_connection_and_nobody_an_answer(postgres) -> None:
    needs(modules=("psycopg", "psycopg_pool"))
    cut_off(
        """
        import psycopg
        from psycopg_pool import ConnectionPool

        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        where = f"host=127.0.0.1 port={sys.argv[2]} user={sys.argv[1]} dbname=postgres"
        with ConnectionPool(where, min_size=1, max_size=1) as pool:
            with pool.connection() as connection:
                before = connection.info.backend_pid
                connection.execute("create table cut (number int)")

            def query():
                with pool.connection() as connection:
                    connection.execute("insert into cut values (1)")
                    connection.execute("select pg_sleep(10)")

            cut_off(query, postgres_is_busy)
            with pool.connection() as connection:
                assert connection.info.backend_pid != before
                assert connection.execute("select count(*), 7 from cut").fetchone() == (0, 7)
        """,
        *postgres,
    )


def test_a_connection_of_psycopg_whose_query_is_cut_off_is_closed_by_its_block(postgres) -> None:
    needs(modules=("psycopg",))
    cut_off(
        """
        import psycopg

        made = []

        def query():
            with psycopg.connect(host="127.0.0.1", port=sys.argv[2], user=sys.argv[1]) as connection:
                made.append(connection)
                connection.execute("select pg_sleep(10)")

        cut_off(query, postgres_is_busy)
        assert made[0].closed
        """,
        *postgres,
    )


def test_a_query_that_is_cut_off_costs_sqlalchemy_a_connection_and_nobody_an_answer(postgres) -> None:
    needs(modules=("psycopg", "sqlalchemy"))
    cut_off(
        """
        from sqlalchemy import create_engine, text

        url = f"postgresql+psycopg://{sys.argv[1]}@127.0.0.1:{sys.argv[2]}/postgres"
        engine = create_engine(url, pool_size=1, max_overflow=0)

        def ask(what):
            with engine.connect() as connection:
                return connection.execute(text("select " + what)).scalar()

        before = ask("pg_backend_pid()")
        assert ask("pg_backend_pid()") == before
        cut_off(lambda: ask("pg_sleep(10)"), postgres_is_busy)
        assert ask("pg_backend_pid()") != before
        assert ask("7") == 7
        engine.dispose()
        """,
        *postgres,
    )


def test_a_query_that_is_cut_off_closes_the_connection_of_pymysql(mariadb) -> None:
    cut_off(
        """
        import pymysql

        def connect():
            return pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="tester", password="secret")

        def ask(connection, what):
            with connection.cursor() as cursor:
                cursor.execute(what)
                return cursor.fetchall()

        asking = "select * from information_schema.processlist where info = 'select sleep(10)'"
        with connect() as watching:
            connection = connect()
            cut_off(lambda: ask(connection, "select sleep(10)"), lambda: ask(watching, asking))
        assert not connection.open
        """,
        mariadb,
    )


def test_a_command_that_is_cut_off_leaves_no_answer_for_the_next_one_of_redis(redis_server) -> None:
    cut_off(
        """
        import redis

        port = int(sys.argv[1])
        with redis.Redis(port=port) as watching, redis.Redis(port=port, max_connections=1) as client:
            before = client.client_id()
            assert client.client_id() == before
            cut_off(
                lambda: client.blpop("nothing", 60),
                lambda: watching.info("clients")["blocked_clients"],
            )
            client.set("after", "a word")
            assert client.get("after") == b"a word"
            assert client.client_id() != before
        """,
        redis_server[0],
    )
