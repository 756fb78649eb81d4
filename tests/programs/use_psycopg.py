"""psycopg 3 against PostgreSQL: python use_psycopg.py USER PORT CROWD"""

import logging
import sys
import threading
import time

import psycopg
from psycopg_pool import ConnectionPool

user, port, crowd = sys.argv[1], sys.argv[2], int(sys.argv[3])
WHERE = f"host=127.0.0.1 port={port} user={user} dbname=postgres"


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_statements() -> None:
    with psycopg.connect(WHERE) as connection:
        connection.execute("create temp table t (id serial primary key, name text, data bytea)")
        with connection.cursor() as cursor:
            rows = [(f"näme {number}", bytes([number % 256]) * 100) for number in range(1000)]
            cursor.executemany("insert into t (name, data) values (%s, %s)", rows)
            print(cursor.execute("select count(*), sum(length(data)), max(name) from t").fetchone())
        try:
            with connection.transaction():
                connection.execute("delete from t")
                connection.execute("select 1/0")
        except psycopg.errors.DivisionByZero as error:
            print(error.diag.message_primary)
        print(connection.execute("select count(*) from t").fetchone())
        with connection.cursor(name="on_the_server") as cursor:
            cursor.itersize = 100
            cursor.execute("select id from t order by id")
            print("server-side", sum(row[0] for row in cursor))
        with connection.cursor() as cursor:
            with cursor.copy("copy t (name) from stdin") as copy:
                for number in range(20_000):
                    copy.write_row((f"copied {number}" * 10,))
            with cursor.copy("copy t (name) to stdout") as copy:
                print("copied", sum(len(part) for part in copy))
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (number,)) for number in range(100)]
        print("pipeline", sum(cursor.fetchone()[0] for cursor in cursors))
        print("binary", connection.execute("select %b::bytea", (b"\0" * 5_000_000,)).fetchone()[0].count(0))


def check_notifications() -> None:
    with psycopg.connect(WHERE, autocommit=True) as near, psycopg.connect(WHERE, autocommit=True) as far:
        near.execute("listen news")
        found = []

        def listen() -> None:
            for note in near.notifies():
                found.append(note.payload)
                if note.payload == "end":
                    return

        listener = threading.Thread(target=listen)
        listener.start()
        for text in ("one", "two", "end"):
            far.execute("select pg_notify('news', %s)", (text,))
        listener.join()
        print("notified", found)


def check_cancelling() -> None:
    with psycopg.connect(WHERE) as connection, psycopg.connect(WHERE, autocommit=True) as other:
        pid = connection.info.backend_pid

        def cancel() -> None:
            question = "select wait_event from pg_stat_activity where pid = %s"
            while other.execute(question, (pid,)).fetchone()[0] != "PgSleep":
                time.sleep(0.01)
            connection.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            connection.execute("select pg_sleep(60)")
        except psycopg.errors.QueryCanceled as error:
            print(error.diag.message_primary)
        thread.join()
        connection.rollback()
        print("afterwards", connection.execute("select 1").fetchone())
        connection.execute("set statement_timeout = 50")
        try:
            connection.execute("select pg_sleep(60)")
        except psycopg.errors.QueryCanceled as error:
            print(error.diag.message_primary)


def check_failures() -> None:
    try:
        psycopg.connect("host=127.0.0.1 port=1 user=x")
    except psycopg.OperationalError as error:
        print("refused", "Connection refused" in str(error))


def check_pool() -> None:
    """Ten threads take turns with three connections."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    seen = []
    with ConnectionPool(WHERE, min_size=3, max_size=3) as pool:

        def work(number: int) -> None:
            for _ in range(3):
                with pool.connection() as connection:
                    row = connection.execute("select pg_backend_pid(), %s::int", (number,)).fetchone()
                    seen.append(row)

        run([threading.Thread(target=work, args=(number,)) for number in range(10)])
    print("pool", len(seen), len({pid for pid, _ in seen}) <= 3, sum(number for _, number in seen))


def check_crowd() -> None:
    """The server has all of them waiting for one lock before it is let go."""
    found = []
    ready = threading.Barrier(crowd + 1)

    def call(number: int) -> None:
        with psycopg.connect(WHERE, autocommit=True) as connection:
            ready.wait()
            found.append(
                connection.execute("select pg_advisory_lock_shared(7), %s::int", (number,)).fetchone()[1]
            )

    threads = [threading.Thread(target=call, args=(number,)) for number in range(crowd)]
    with psycopg.connect(WHERE, autocommit=True) as control:
        control.execute("select pg_advisory_lock(7)")
        for thread in threads:
            thread.start()
        ready.wait()
        question = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while control.execute(question).fetchone()[0] < crowd:
            time.sleep(0.01)
        print("waiting", control.execute(question).fetchone()[0], len(found))
        control.execute("select pg_advisory_unlock(7)")
        for thread in threads:
            thread.join()
    print("served", sorted(found) == list(range(crowd)))


check_statements()
check_notifications()
check_cancelling()
check_failures()
check_pool()
check_crowd()
