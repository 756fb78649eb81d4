"""Fifty calls at the same time, each of which its server answers after a tenth of a second.

    python use_fifty.py CLIENT ARGUMENTS

Writes how long the quickest of some rounds took, in seconds; on a busy machine one may be unlucky. A client
is a function that gets ready, and returns one that makes call number N.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # after patching
import time  # noqa: E402

import gevent  # noqa: E402

CALLS, ROUNDS, ENOUGH = 50, 15, 0.9


def by_requests(url):
    import requests

    def call(number):
        assert requests.get(f"{url}/slow").text == "slow"

    return call


def by_grequests(url):
    import grequests

    def call(number):
        assert grequests.map([grequests.get(f"{url}/slow")])[0].text == "slow"

    return call


def by_urllib3(url):
    import urllib3

    pool = urllib3.PoolManager(maxsize=CALLS)

    def call(number):
        assert pool.request("GET", f"{url}/slow").data == b"slow"

    return call


def by_urllib_request(url):
    import urllib.request

    def call(number):
        assert urllib.request.urlopen(f"{url}/slow").read() == b"slow"

    return call


def by_http_client(url):
    import http.client

    def call(number):
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request("GET", "/slow")
        assert connection.getresponse().read() == b"slow"
        connection.close()

    return call


def by_geventhttpclient(url):
    from geventhttpclient import HTTPClient

    host, port = url.removeprefix("http://").split(":")
    client = HTTPClient(host, int(port), concurrency=CALLS)

    def call(number):
        assert client.get("/slow").read() == b"slow"

    return call


def by_gunicorn(port):
    """Of its two workers' making: the calls are of http.client."""
    return by_http_client(f"http://127.0.0.1:{port}")


def by_redis(port):
    import redis

    client = redis.Redis(port=int(port))

    def call(number):
        assert client.blpop("nothing", timeout=0.1) is None

    return call


def by_pymysql(port):
    import pymysql

    def connect():
        return pymysql.connect(host="127.0.0.1", port=int(port), user="tester", password="secret")

    return _statements("select sleep(0.1)", connect)


def by_psycopg(user, port):
    import psycopg

    def connect():
        return psycopg.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")

    return _statements("select pg_sleep(0.1)", connect)


def by_psycopg2(user, port):
    import psycopg2

    from corolib.ext.psycopg2 import install

    install()

    def connect():
        return psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")

    return _statements("select pg_sleep(0.1)", connect)


def by_psycogreen(user, port):
    import psycopg2
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

    def connect():
        return psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname="postgres")

    return _statements("select pg_sleep(0.1)", connect)


def _statements(statement, connect):
    connections = [connect() for _ in range(CALLS)]

    def call(number):
        with connections[number].cursor() as cursor:
            cursor.execute(statement)
            assert len(cursor.fetchall()) == 1

    return call


def by_sqlalchemy(user, port):
    from sqlalchemy import create_engine, text

    engine = create_engine(
        f"postgresql+psycopg://{user}@127.0.0.1:{port}/postgres", pool_size=CALLS, max_overflow=0
    )

    def call(number):
        with engine.connect() as connection:
            assert connection.execute(text("select pg_sleep(0.1), 1")).first()[1] == 1

    return call


def by_sqlalchemy_asyncio(user, port):
    """All calls are of one event loop, in a greenlet."""
    import asyncio

    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    url = f"postgresql+asyncpg://{user}@127.0.0.1:{port}/postgres"
    engine = create_async_engine(url, pool_size=CALLS, max_overflow=0)

    async def one():
        async with engine.connect() as connection:
            assert (await connection.execute(text("select pg_sleep(0.1), 1"))).first()[1] == 1

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(CALLS)))

    runner = asyncio.Runner()

    def call(number):
        if number == 0:
            runner.run(all_of_them())

    return call


def by_paramiko(port, user, key):
    import paramiko

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)

    def call(number):
        assert client.exec_command("sleep 0.1; echo slow")[1].read() == b"slow\n"

    return call


def by_smtplib(port, authority):
    import smtplib
    import ssl

    context = ssl.create_default_context(cafile=authority)
    clients = []
    for _ in range(CALLS):
        client = smtplib.SMTP("localhost", int(port))
        client.starttls(context=context)
        client.login("ann", "secret")
        clients.append(client)

    def call(number):
        assert clients[number].sendmail("ann@localhost", "slow@localhost", "text") == {}

    return call


def by_pyzmq(port):
    import zmq.green as zmq

    context = zmq.Context()
    sockets = [context.socket(zmq.REQ) for _ in range(CALLS)]
    for each in sockets:
        each.connect(f"tcp://127.0.0.1:{port}")

    def call(number):
        sockets[number].send(b"%d" % number)
        assert sockets[number].recv() == b"%d" % number

    return call


def by_grpc(port):
    from grpc.experimental.gevent import init_gevent

    init_gevent()
    return _slow_of_grpc(port)


def by_grpc_adapter(port):
    from corolib.ext.grpc import install

    install()
    return _slow_of_grpc(port)


def _slow_of_grpc(port):
    import grpc

    slow = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary("/test/slow")

    def call(number):
        assert slow(b"%d" % number) == b"%d" % number

    return call


def by_websocket_client(port):
    import websocket

    sockets = [websocket.create_connection(f"ws://127.0.0.1:{port}/slow") for _ in range(CALLS)]

    def call(number):
        sockets[number].send(str(number))
        assert sockets[number].recv() == str(number)

    return call


def by_socketio(port):
    import socketio

    client = socketio.Client()
    client.connect(f"http://127.0.0.1:{port}")

    def call(number):
        assert client.call("slow") == "slow"

    return call


def by_huey():
    """Its own consumer, with a greenlet for each task, is the server."""
    from huey import MemoryHuey

    huey = MemoryHuey(immediate=False)
    sleep = huey.task()(lambda: time.sleep(0.1) or "slow")
    consumer = huey.create_consumer(
        workers=CALLS, worker_type="greenlet", periodic=False, initial_delay=0.001, max_delay=0.01
    )
    consumer.start()

    def call(number):
        assert sleep().get(blocking=True, timeout=60) == "slow"

    return call


call = globals()[f"by_{sys.argv[1]}"](*sys.argv[2:])
best = None
for _ in range(ROUNDS):
    began = time.monotonic()
    jobs = [gevent.spawn(call, number) for number in range(CALLS)]
    gevent.joinall(jobs, raise_error=True)
    spent = time.monotonic() - began
    best = spent if best is None else min(best, spent)
    if best < ENOUGH:
        break
print(best)
sys.stdout.flush()
# Some of the clients have threads that nobody ends.
import os  # noqa: E402

os._exit(0)
