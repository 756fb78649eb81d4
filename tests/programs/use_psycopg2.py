"""psycopg2 against PostgreSQL: python use_psycopg2.py USER PORT CROWD"""

import sys
import threading
import time
from contextlib import closing

import psycopg2
import psycopg2.errors
import psycopg2.extras
import psycopg2.pool

user, port, crowd = sys.argv[1], sys.argv[2], int(sys.argv[3])


def connect() -> psycopg2.extensions.connection:
    return psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")


def check_statements() -> None:
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table t (id serial primary key, name text, data bytea)")
        rows = [(f"näme {number}", bytes([number % 256]) * 100) for number in range(1000)]
        psycopg2.extras.execute_values(cursor, "insert into t (name, data) values %s", rows)
        cursor.execute("select count(*), sum(length(data)), max(name) from t")
        print(cursor.fetchone())
        connection.commit()
        try:
            with connection:
                cursor.execute("delete from t")
                cursor.execute("select 1/0")
        except psycopg2.errors.DivisionByZero as error:
            print(error.diag.message_primary)
        cursor.execute("select count(*) from t")
        print(cursor.fetchone())
        with connection.cursor("on_the_server") as named:
            named.itersize = 100
            named.execute("select id from t order by id")
            print("server-side", sum(row[0] for row in named))
        cursor.execute("select %s::bytea", (b"\0" * 5_000_000,))
        print("binary", bytes(cursor.fetchone()[0]).count(0))


def check_cancelling() -> None:
    with closing(connect()) as connection, closing(connect()) as other:
        other.autocommit = True
        pid = connection.info.backend_pid

        def cancel() -> None:
            with other.cursor() as cursor:
                event = None
                while event != "PgSleep":
                    time.sleep(0.01)
                    cursor.execute("select wait_event from pg_stat_activity where pid = %s", (pid,))
                    (event,) = cursor.fetchone()
            connection.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        with connection.cursor() as cursor:
            try:
                cursor.execute("select pg_sleep(60)")
            except psycopg2.errors.QueryCanceled as error:
                print(error.diag.message_primary)
            thread.join()
            connection.rollback()
            cursor.execute("select 1")
            print("afterwards", cursor.fetchone())


def check_failures() -> None:
    try:
        psycopg2.connect(host="127.0.0.1", port=1, user="x")
    except psycopg2.OperationalError as error:
        print("refused", "Connection refused" in str(error))


def check_pool() -> None:
    pool = psycopg2.pool.ThreadedConnectionPool(
        1, 10, host="127.0.0.1", port=port, user=user, dbname="postgres"
    )
    seen = []

    def work(number: int) -> None:
        connection = pool.getconn()
        with connection.cursor() as cursor:
            cursor.execute("select %s", (number,))
            seen.append(cursor.fetchone()[0])
        pool.putconn(connection)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.closeall()
    print("pool", sorted(seen))


def check_crowd() -> None:
    """The server has all of them waiting for one lock before it is let go."""
    found = []

    def call(number: int) -> None:
        with closing(connect()) as connection, connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock_shared(8), %s", (number,))
            found.append(cursor.fetchone()[1])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(crowd)]
    with closing(connect()) as control, control.cursor() as cursor:
        control.autocommit = True
        cursor.execute("select pg_advisory_lock(8)")
        for thread in threads:
            thread.start()
        waiting = 0
        while waiting < crowd:
            time.sleep(0.01)
            cursor.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            (waiting,) = cursor.fetchone()
        print("waiting", waiting, len(found))
        cursor.execute("select pg_advisory_unlock(8)")
        for thread in threads:
            thread.join()
    print("served", sorted(found) == list(range(crowd)))


check_statements()
check_cancelling()
check_failures()
check_pool()
check_crowd()
