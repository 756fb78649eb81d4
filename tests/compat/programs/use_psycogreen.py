"""psycopg2 made cooperative by psycogreen: python use_psycogreen.py USER PORT CROWD"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching

import gevent  # noqa: E402
import psycopg2  # noqa: E402
from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()
user, port, crowd = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Each session takes a lock in share, and waits until all have it: no session gets out alone.
ALL = "select count(*) from pg_locks where locktype = 'advisory' and objid = 7"


def work(number):
    connection = psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock_shared(7)")
            while True:
                cursor.execute(ALL)
                if cursor.fetchone()[0] == crowd:
                    break
                cursor.execute("select pg_sleep(0.01)")
            done.append(number)
            while len(done) < crowd:
                cursor.execute("select pg_sleep(0.01)")
    finally:
        connection.close()
    return number


done = []
jobs = [gevent.spawn(work, number) for number in range(crowd)]
gevent.joinall(jobs, raise_error=True)
print(sorted(done) == list(range(crowd)))
try:
    connection = psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")
    connection.cursor().execute("select 1/0")
except psycopg2.errors.DivisionByZero as error:
    print(str(error).strip())
