"""Programs of nothing but the standard library."""

import pytest
from helpers import run_isolated
from programs.running import CROWD, run_both

pytestmark = [pytest.mark.slow, pytest.mark.outside]


def test_servers() -> None:
    lines = run_both("use_servers.py", CROWD).splitlines()
    assert lines[0] == f"http {3 * CROWD} True False"
    assert f"tcp {CROWD} True" in lines
    assert lines[-1] == "xmlrpc True"


def test_sqlite() -> None:
    assert run_both("use_sqlite.py", CROWD).startswith(f"({5 * CROWD}, {CROWD}, {10 * CROWD})\n")


def test_what_the_guide_says_of_sqlite() -> None:
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import sqlite3, tempfile, threading, corolib
        with tempfile.TemporaryDirectory() as place:
            any_thread = {"isolation_level": None, "check_same_thread": False}
            one = sqlite3.connect(place + "/db", **any_thread)
            two = sqlite3.connect(place + "/db", timeout=0.05, **any_thread)
            one.execute("create table t (n int)")
            go_on, held, record = threading.Event(), threading.Event(), []

            def hold():
                one.execute("begin immediate")
                held.set()
                go_on.wait()  # inside a transaction
                one.execute("commit")

            def disturb():
                try:
                    two.execute("insert into t values (1)")
                except sqlite3.OperationalError as error:
                    record.append(str(error))

            holder, disturber = threading.Thread(target=hold), threading.Thread(target=disturb)
            holder.start()
            held.wait()
            disturber.start()
            disturber.join()
            go_on.set()
            holder.join()
            assert record == ["database is locked"], record
            # In a native thread others run meanwhile.
            shared = sqlite3.connect(place + "/db", check_same_thread=False)
            shared.create_function("meet", 0, threading.get_native_id)
            (thread,) = corolib.get_hub().threadpool.apply(
                lambda connection: connection.execute("select meet()").fetchone(), (shared,)
            )
            assert thread != threading.get_native_id()
            for each in (one, two, shared):
                each.close()
        """
    )


def test_pipelines() -> None:
    lines = run_both("use_pipelines.py", CROWD).splitlines()
    assert f"here {CROWD} 0" in lines
    assert lines[-1] == "served True"
