"""SQLAlchemy with psycopg 3: 200 greenlets share a pool of 20 connections.

python use_sqlalchemy_sync.py USER PORT
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching

import gevent  # noqa: E402
import gevent.event  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402

GREENLETS, CONNECTIONS = 200, 20
user, port = sys.argv[1:]
engine = create_engine(
    f"postgresql+psycopg://{user}@127.0.0.1:{port}/postgres",
    pool_size=CONNECTIONS,
    max_overflow=0,
    pool_timeout=60,
)
inside, most = 0, 0
full = gevent.event.Event()


def work(number):
    global inside, most
    with engine.connect() as connection:
        inside += 1
        most = max(most, inside)
        if inside == CONNECTIONS:
            full.set()
        # So many are in here at the same time, or nobody gets any further.
        assert full.wait(60)
        answer = connection.execute(text("select :n, pg_sleep(0.01)"), {"n": number}).first()
        inside -= 1
    return answer[0]


jobs = [gevent.spawn(work, number) for number in range(GREENLETS)]
gevent.joinall(jobs, raise_error=True)
print(
    sum(job.value for job in jobs) == sum(range(GREENLETS)),
    most,
    engine.pool.checkedin(),
    engine.pool.checkedout(),
)
with engine.connect() as connection:
    print(connection.execute(text("select 1")).scalar(), engine.pool.checkedout())
engine.dispose()
