"""Clients of databases."""

import pytest
from helpers import run_isolated
from programs.running import CROWD, needs, run_both

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
