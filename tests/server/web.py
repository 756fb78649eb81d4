"""A web server in the test's own process, and clients that say exactly what they are told to."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from corolib import socket
from corolib.pywsgi import WSGIServer
from corolib.testing import settle

HERE = ("127.0.0.1", 0)
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#: Bounds what would otherwise hang.
LONG = 60.0


class Log:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The body, behind the method and the target."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']} ".encode("latin-1"), body]


@contextmanager
def serving(application: Any = hello, **arguments: Any) -> Iterator[WSGIServer]:
    """A server that has started, and everything of it is over afterwards."""
    arguments = {"log": None, "error_log": Log(), "listener": HERE} | arguments
    server = WSGIServer(arguments.pop("listener"), application, **arguments)
    server.start()
    try:
        yield server
    finally:
        server.drain(5)
        settle()


def connect(server: WSGIServer) -> Any:
    listener = server.sockets[0]
    client = socket.socket(listener.family)
    client.settimeout(LONG)
    if listener.family != socket.AF_UNIX:
        # Small pieces go at once, and do not wait for acknowledgements: a virtual clock does not either.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(listener.getsockname())
    return client


def read_all(client: Any) -> bytes:
    """To the end of the connection."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    return b"".join(parts)


def read_answer(client: Any, head_only: bool = False) -> tuple[str, dict[str, str], bytes]:
    """The next answer: status line, headers by lower-case name, body. What follows it is left unread."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise EOFError(data)
        data += byte
    line, *fields = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = {}
    for field in fields:
        name, value = field.split(": ", 1)
        assert name.lower() not in headers, f"{name} is there twice"
        headers[name.lower()] = value
    body = b""
    if head_only or re.match(r"HTTP/1.1 (1..|204|304)", line):
        pass
    elif "content-length" in headers:
        body = read_exactly(client, int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while True:
            size = b""
            while not size.endswith(b"\r\n"):
                size += read_exactly(client, 1)
            part = read_exactly(client, int(size, 16))
            assert read_exactly(client, 2) == b"\r\n"
            if not part:
                break
            body += part
    else:
        body = read_all(client)
    return line.removeprefix("HTTP/1.1 "), headers, body


def read_exactly(client: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            raise EOFError(data)
        data += part
    return data


def ask(server: WSGIServer, data: bytes = GET) -> bytes:
    """All that the server says to these bytes and the end of the client's side."""
    client = connect(server)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    answer = read_all(client)
    client.close()
    return answer


def answer_to(server: WSGIServer, data: bytes = GET) -> tuple[str, dict[str, str], bytes]:
    """The first answer."""
    client = connect(server)
    client.sendall(data)
    answer = read_answer(client, data.startswith(b"HEAD "))
    client.close()
    return answer
