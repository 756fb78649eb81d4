"""sqlite3 from threads: python use_sqlite.py CROWD"""

import os
import sqlite3
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

crowd = int(sys.argv[1])


def check_own_connections(path: str) -> None:
    """Each with its own, all writing to one file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t (thread int, number int)")

    def work(thread: int) -> None:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            for number in range(5):
                with connection:
                    connection.execute("insert into t values (?, ?)", (thread, number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(sqlite3.connect(path)) as connection:
        print(connection.execute("select count(*), count(distinct thread), sum(number) from t").fetchone())


def check_shared_connection() -> None:
    """One for all, with a lock around it."""
    lock = threading.Lock()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.execute("create table t (number int)")
        connection.create_function("twice", 1, lambda number: number * 2)

        def work(number: int) -> int:
            with lock:
                connection.execute("insert into t values (twice(?))", (number,))
                return connection.execute("select max(number) from t").fetchone()[0]

        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(work, range(crowd)))
        print(max(found), connection.execute("select sum(number) from t").fetchone())


def check_backup(path: str) -> None:
    steps = []
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(":memory:")) as target:
        source.backup(target, pages=1, progress=lambda *numbers: steps.append(numbers), sleep=0.001)
        print(len(steps) > 1, target.execute("select count(*) from t").fetchone())


with tempfile.TemporaryDirectory() as place:
    check_own_connections(os.path.join(place, "db"))
    check_shared_connection()
    check_backup(os.path.join(place, "db"))
