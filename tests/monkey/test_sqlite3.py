"""sqlite3 in a patched program: a connection belongs to the thread that made it, as without patching."""

import pytest
from helpers import run_isolated

PATCH = "from corolib import monkey\nmonkey.patch_all()\n"

SCRIPT = """
import inspect, sqlite3, sys, threading
from sqlite3 import dbapi2

def in_thread(function, *args):
    "What it gives, or raises, in another thread."
    found = []
    def body():
        try: found.append(function(*args))
        except BaseException as error: found.append(error)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return found[0]

def refused(function, *args):
    error = in_thread(function, *args)
    assert type(error) is sqlite3.ProgrammingError, (function, error)
    assert "can only be used in that same thread" in str(error)

def check(connection, cursor):
    for uses in (
        connection.cursor, connection.commit, connection.rollback, connection.close,
        lambda: connection.getlimit(0), lambda: connection("select 1"),
        cursor.close, cursor.fetchone, cursor.fetchall,
    ):
        refused(uses)
    refused(connection.execute, "select 1")
    refused(cursor.execute, "select 1")
    refused(connection.create_function, "f", 0, print)

class Own(sqlite3.Connection):
    pass

def main():
    connection = sqlite3.connect(":memory:")
    assert type(connection) is sqlite3.Connection is dbapi2.Connection, type(connection)
    assert repr(connection).startswith("<sqlite3.Connection object at ")
    assert isinstance(connection.cursor(), sqlite3.Cursor) and sqlite3.Cursor is dbapi2.Cursor
    connection.execute("create table numbers (number int)")
    with connection:
        connection.executemany("insert into numbers values (?)", [(1,), (2,)])
    check(connection, connection.execute("select number from numbers"))
    assert [row[0] for row in connection.execute("select number from numbers")] == [1, 2]
    assert in_thread(sqlite3.connect(":memory:").interrupt) is None  # which may be called anywhere
    own = sqlite3.connect(":memory:", factory=Own)
    assert type(own) is Own
    check(own, own.cursor())
    shared = sqlite3.connect(":memory:", check_same_thread=False)
    assert in_thread(lambda: shared.execute("select 3").fetchone()) == (3,)
    # Made in a thread, and used in the main one; and by the thread itself.
    def in_one():
        made = sqlite3.connect(":memory:")
        assert made.execute("select 4").fetchone() == (4,)
        return made
    theirs = in_thread(in_one)
    try: theirs.execute("select 1")
    except sqlite3.ProgrammingError: pass
    else: raise AssertionError("the main thread was not refused")
    print(inspect.signature(sqlite3.Connection.commit), inspect.signature(sqlite3.Cursor.fetchmany))

main()
"""


def test_as_without_patching() -> None:
    """The same script finds the same, whether it is patched, and when."""
    plain = run_isolated(SCRIPT).stdout
    assert plain
    assert run_isolated(PATCH + SCRIPT).stdout == plain
    assert run_isolated("import sqlite3\n" + PATCH + SCRIPT, options=("-W", "ignore")).stdout == plain


@pytest.mark.parametrize("makes", ["main", "greenlet"])
def test_greenlets_that_are_no_threads_may_share_a_connection(makes: str) -> None:
    done = run_isolated(
        PATCH
        + f"""
import corolib, sqlite3, threading
made = (lambda: sqlite3.connect(":memory:"))() if {makes!r} == "main" else corolib.spawn(
    sqlite3.connect, ":memory:").get()
threading.current_thread()
def use():
    threading.current_thread()  # a dummy
    return made.execute("select 5").fetchone()
print(corolib.spawn(use).get(), made.execute("select 6").fetchone())
"""
    )
    assert done.stdout == "(5,) (6,)\n"


def test_a_connection_that_was_not_initialised_says_so() -> None:
    done = run_isolated(
        PATCH
        + """
import sqlite3
for cls in sqlite3.Connection, sqlite3.Cursor:
    try: cls.__new__(cls).close()
    except sqlite3.ProgrammingError as error: print(error)
"""
    )
    assert done.stdout == "Base Connection.__init__ not called.\nBase Cursor.__init__ not called.\n"
