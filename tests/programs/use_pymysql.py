"""PyMySQL against MariaDB: python use_pymysql.py PORT CA-FILE CROWD"""

import sys
import threading
import time
import uuid
from contextlib import closing

import pymysql

port, authority, crowd = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
# Both runs talk to the same server.
LOCK = uuid.uuid4().hex


def connect(**options: object) -> pymysql.Connection:
    return pymysql.connect(
        host="localhost",
        port=port,
        user="tester",
        password="secret",
        database="tests",
        autocommit=True,
        **options,
    )


def check_statements(connection: pymysql.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "create temporary table t (id int auto_increment primary key, name varchar(200), data blob)"
        )
        rows = [(f"näme {number}", bytes([number % 256]) * 100) for number in range(1000)]
        print(cursor.executemany("insert into t (name, data) values (%s, %s)", rows))
        cursor.execute("select count(*), sum(length(data)), max(name) from t")
        print(cursor.fetchone())
        connection.begin()
        cursor.execute("delete from t")
        connection.rollback()
        cursor.execute("select count(*) from t")
        print(cursor.fetchone())
        try:
            cursor.execute("select * from nowhere")
        except pymysql.err.ProgrammingError as error:
            print(error.args)
        cursor.execute("select repeat('x', 5000000)")
        print("big", len(cursor.fetchone()[0]))
    with connection.cursor(pymysql.cursors.SSDictCursor) as cursor:
        cursor.execute("select id from t order by id")
        print("unbuffered", sum(row["id"] for row in cursor))
        cursor.execute("drop table t")


def check_failures() -> None:
    try:
        pymysql.connect(host="127.0.0.1", port=port, user="tester", password="wrong")
    except pymysql.OperationalError as error:
        print(error.args[0])
    try:
        pymysql.connect(host="127.0.0.1", port=1)
    except pymysql.OperationalError as error:
        print("refused", "Connection refused" in str(error))
    with closing(connect(read_timeout=0.05)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("select sleep(60)")
        except pymysql.OperationalError as error:
            print(error.args)


def check_crowd() -> None:
    """The server has all of them waiting for one lock before it is let go."""
    found = []

    def call(number: int) -> None:
        with closing(connect()) as connection, connection.cursor() as cursor:
            cursor.execute("select get_lock(%s, 30), %s", (LOCK, number))
            found.append(cursor.fetchone()[1])
            cursor.execute("select release_lock(%s)", (LOCK,))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(crowd)]
    with closing(connect()) as control, control.cursor() as cursor:
        cursor.execute("select get_lock(%s, 0)", (LOCK,))
        for thread in threads:
            thread.start()
        waiting = 0
        while waiting < crowd:
            time.sleep(0.02)
            cursor.execute("select count(*) from information_schema.processlist where state = 'User lock'")
            (waiting,) = cursor.fetchone()
        print("waiting", waiting, len(found))
        cursor.execute("select release_lock(%s)", (LOCK,))
        for thread in threads:
            thread.join()
    print("served", sorted(found) == list(range(crowd)))


with closing(connect()) as plain:
    check_statements(plain)
with closing(connect(ssl={"ca": authority})) as secure:
    with secure.cursor() as looking:
        looking.execute("show status like 'Ssl_version'")
        print(looking.fetchone())
    check_statements(secure)
check_failures()
check_crowd()
