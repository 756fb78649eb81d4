"""The web servers that are measured: `web_servers.py IMPLEMENTATION` prints its port and serves until killed.

All say the same to every request, keep connections, and write no log.
"""

import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from region import count_from_here
from workload import be_alone

BODY = b"Hello world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "12")]
#: Every connection of the largest case may come at once.
BACKLOG = 1024
#: More connections than any case has, and fewer than the usual limit of descriptors.
MOST = 19_000


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application of all of them."""
    start_response("200 OK", HEADERS)
    return [BODY]


def announce(implementation: str, port: int) -> None:
    """Tell the starter where to connect."""
    be_alone(implementation)
    count_from_here()
    print(port, flush=True)


def free_port() -> int:
    """A port that nobody uses, for servers that do not say which one they have taken."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def corolib() -> None:
    """With its deadlines and limits as they are, but for the number of connections: by default idle ones make
    room when three quarters of the descriptors are taken.
    """
    from corolib.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", 0), application, backlog=BACKLOG, log=None, max_connections=MOST)
    server.start()
    announce("corolib", server.server_port)
    server.serve_forever()


def gevent() -> None:
    """With TCP_NODELAY, which its listener hands on: without it every answer waits 40 ms."""
    from gevent import monkey

    monkey.patch_all()
    from gevent.pywsgi import WSGIServer

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    announce("gevent", listener.getsockname()[1])
    WSGIServer(listener, application, log=None).serve_forever()


def bjoern() -> None:
    """HTTP in C, on libev."""
    import bjoern as server  # not for the others

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    announce("bjoern", listener.getsockname()[1])
    server.server_run(listener, application)


def granian() -> None:
    """HTTP in Rust, one worker with one thread for Python."""
    from granian.constants import Interfaces
    from granian.server import Server

    port = free_port()
    server = Server(
        "web_servers:application",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        backlog=BACKLOG,
        blocking_threads=1,
        log_enabled=False,
    )
    announce("granian", port)
    server.serve()


def eventlet() -> None:
    """With TCP_NODELAY, as above; it patches nothing, which its server does not need."""
    import eventlet as package
    from eventlet import wsgi

    listener = package.listen(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    announce("eventlet", listener.getsockname()[1])
    wsgi.server(listener, application, max_size=20_000, log_output=False)


async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
    """The same answer, for a server that does not run WSGI itself."""
    fields = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def uvicorn() -> None:
    """On uvloop, with the parser in C."""
    import uvicorn as server

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    config = server.Config(
        asgi_application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="critical",
        access_log=False,
        backlog=BACKLOG,
    )
    announce("uvicorn", listener.getsockname()[1])
    server.Server(config).run(sockets=[listener])


#: By the source of a row.
SERVERS = {each.__name__: each for each in (corolib, gevent, eventlet, bjoern, granian, uvicorn)}

if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
