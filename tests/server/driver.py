"""Drives a reader as the server does, and h11 the same way: what is served of some bytes, and how it ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h11

from corolib.server.http1 import Limits, Refused, make_reader


@dataclass
class Outcome:
    """What became of a connection's bytes."""

    #: "METHOD target body" of each request that was read to its end.
    served: list[str] = field(default_factory=list)
    #: Of the refusal; None without one.
    status: int | None = None
    #: The server would read on.
    open: bool = True


@dataclass
class Request:
    """One that was read to its end."""

    environ: dict[str, Any]
    body: bytes
    #: All its bytes.
    data: bytes


def read_requests(reader: Any, pieces: Iterable[bytes]) -> Iterator[Request]:
    """Feed a reader as the server does: the requests, up to the last one that the connection may have.

    Refused when a request is; the reader is closed at the end.
    """
    environ, body = None, b""
    fed, start = b"", 0
    try:
        for piece in pieces:
            fed += piece
            given: tuple[bytes, ...] = (piece,)
            while True:
                if environ is None:
                    environ = reader.head(*given)
                    if environ is None:
                        break
                else:
                    body += reader.body(*given)
                given = ()
                body += reader.body()
                if not reader.complete:
                    break
                end = len(fed) - reader.buffered
                going = reader.keep_alive
                yield Request(environ, body, fed[start:end])
                environ, body, start = None, b"", end
                if not going:
                    return
    finally:
        reader.close()


def ours(pieces: Iterable[bytes], limits: Limits | None = None) -> Outcome:
    """What our reader makes of bytes that come in pieces."""
    outcome = Outcome()
    reader = make_reader({}, limits or Limits())
    try:
        for request in read_requests(reader, pieces):
            text = f"{request.environ['REQUEST_METHOD']} {request.environ['REQUEST_URI']}"
            body = request.body.decode("latin-1")
            outcome.served.append(f"{text} {body}" if body else text)
            outcome.open = reader.keep_alive
    except Refused as refused:
        outcome.status = refused.args[0]
        outcome.open = False
    return outcome


def of_h11(data: bytes) -> Outcome:
    """What h11 makes of the same bytes, with answers that let the connection go on."""
    outcome = Outcome()
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
    connection.receive_data(data)
    request, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return outcome
            if event is h11.PAUSED:
                if (
                    connection.our_state is h11.MIGHT_SWITCH_PROTOCOL
                    or connection.their_state is h11.MUST_CLOSE
                ):
                    outcome.open = False
                    return outcome
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                text = f"{request.method.decode()} {request.target.decode('latin-1')}"
                outcome.served.append(f"{text} {body.decode('latin-1')}" if body else text)
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    outcome.open = False
                    return outcome
            else:
                return outcome
    except h11.RemoteProtocolError:
        outcome.status = 400
        outcome.open = False
    return outcome


def whole(data: bytes) -> Iterator[bytes]:
    """All at once."""
    yield data


def by_bytes(data: bytes) -> Iterator[bytes]:
    """One by one."""
    for i in range(len(data)):
        yield data[i : i + 1]


def at_line_ends(data: bytes) -> Iterator[bytes]:
    """A piece for each line, and one that ends between CR and LF."""
    for line in data.splitlines(keepends=True) if data else ():
        if line.endswith(b"\r\n"):
            yield line[:-1]
            yield line[-1:]
        else:
            yield line


def at(*places: int):
    """Cut there."""

    def cut(data: bytes) -> Iterator[bytes]:
        edges = [0, *places, len(data)]
        for start, end in pairwise(edges):
            yield data[start:end]

    return cut
