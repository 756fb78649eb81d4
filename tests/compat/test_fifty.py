"""Fifty calls through each client, each of which takes its server a tenth of a second, end within one second.

One after another they would be five.
"""

from typing import Any

import pytest
from compat.standing_in import AS_GEVENT, HERE, run_as_gevent
from compat.test_gunicorn import WORKERS
from compat.test_gunicorn import served as served_by_gunicorn
from compat.test_web import served
from programs.conftest import scripted
from programs.running import needs

pytestmark = [pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)]

#: Client -> what it needs, and the fixture of its server.
CLIENTS = {
    "requests": (("requests",), "http"),
    "grequests": (("grequests",), "http"),
    "urllib3": (("urllib3",), "http"),
    "urllib_request": ((), "http"),
    "http_client": ((), "http"),
    "geventhttpclient": (("geventhttpclient",), "http"),
    "redis": (("redis",), "redis_server"),
    "pymysql": (("pymysql",), "mariadb"),
    "psycopg": (("psycopg",), "postgres"),
    "psycopg2": (("psycopg2",), "postgres"),
    "psycogreen": (("psycogreen", "psycopg2"), "postgres"),
    "sqlalchemy": (("sqlalchemy", "psycopg"), "postgres"),
    "sqlalchemy_asyncio": (("sqlalchemy", "asyncpg"), "postgres"),
    "paramiko": (("paramiko",), "sshd"),
    "smtplib": (("aiosmtpd",), "smtp"),
    "pyzmq": (("zmq",), None),
    "grpc": (("grpc",), None),
    "grpc_adapter": (("grpc",), None),
    "websocket_client": (("geventwebsocket", "websocket"), None),
    "socketio": (("flask_socketio", "socketio"), None),
    "huey": (("huey",), None),
}


def check(client: str, *arguments: object) -> None:
    assert 0.1 <= float(run_as_gevent("use_fifty.py", client, *arguments)) < 1


@pytest.mark.parametrize("client", [name for name, (_, fixture) in CLIENTS.items() if fixture])
def test_fifty_calls(client: str, request: pytest.FixtureRequest) -> None:
    modules, fixture = CLIENTS[client]
    needs(modules=modules)
    found: Any = request.getfixturevalue(str(fixture))
    arguments = {
        "redis": lambda: (found[0],),
        "smtplib": lambda: (found, request.getfixturevalue("authority")[0]),
    }.get(client, lambda: found if isinstance(found, tuple) else (found,))
    check(client, *arguments())


@pytest.mark.parametrize(
    ("client", "server"),
    [("pyzmq", "zmq_slow.py"), ("grpc", "grpc_server.py"), ("grpc_adapter", "grpc_server.py")],
)
def test_fifty_calls_to_a_server_of_plain_threads(client: str, server: str) -> None:
    needs(modules=CLIENTS[client][0])
    with scripted(HERE / "programs" / server) as (port,):
        check(client, port)


@pytest.mark.parametrize(
    ("client", "server"),
    [("websocket_client", "websocket_server.py"), ("socketio", "socketio_server.py")],
)
def test_fifty_calls_to_a_server_that_knows_gevent(client: str, server: str, tmp_path: Any) -> None:
    needs(modules=CLIENTS[client][0])
    with served(tmp_path, server, *AS_GEVENT) as port:
        check(client, port)


def test_fifty_calls_of_huey() -> None:
    needs(modules=CLIENTS["huey"][0])
    check("huey")


@pytest.mark.parametrize("worker", WORKERS)
def test_fifty_calls_to_gunicorn(worker: str, tmp_path: Any) -> None:
    with served_by_gunicorn(WORKERS[worker], tmp_path) as web:
        check("gunicorn", web.port)
