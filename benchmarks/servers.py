"""The echo servers in Python: `servers.py IMPLEMENTATION [once]` prints its port and serves until killed.

All do the same: accept on 127.0.0.1, switch Nagle's delay off, send back what comes, 64 KiB at most in one
piece, and forget it. With `once` a connection is closed after the first piece.

To forget it is what a protocol does when its callback returns. A loop that keeps the last piece in a variable
while it waits for the next one has as many pieces in memory as there are connections: with 100 of 64 KiB the
kernel copies each into memory that has left the cache meanwhile, which takes 3 us more of a request's 40.
"""

import importlib
import socket
import sys
from types import ModuleType
from typing import Any, cast

from peers import ECHO
from region import count_from_here
from workload import be_alone

CHUNK = 65536
#: Every connection of the largest case may come at once.
BACKLOG = 1024


def announce(implementation: str, port: int) -> None:
    """Tell the starter where to connect."""
    be_alone(implementation)
    count_from_here()
    print(port, flush=True)


def green(package: ModuleType, implementation: str, once: bool) -> None:
    """A StreamServer: a greenlet per connection."""
    server = importlib.import_module(f"{package.__name__}.server")

    def serve(connection: Any, _: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(CHUNK):
            connection.sendall(data)
            del data

    def serve_once(connection: Any, _: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connection.recv(CHUNK))

    served = server.StreamServer(("127.0.0.1", 0), serve_once if once else serve, backlog=BACKLOG)
    served.start()
    announce(implementation, served.server_port)
    served.serve_forever()


def serve(package: ModuleType, implementation: str, once: bool) -> None:
    """A function that does the same; it closes what a handler has returned from."""
    listener = package.listen(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which connections take over

    def handle(connection: Any, _: Any) -> None:
        while data := connection.recv(CHUNK):
            connection.sendall(data)
            del data
            if once:
                break
        connection.close()

    announce(implementation, listener.getsockname()[1])
    package.serve(listener, handle, concurrency=20_000)


def streams(package: ModuleType, implementation: str, once: bool) -> None:
    """A coroutine per connection, with a reader and a writer."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            del data
            if once:
                break
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=BACKLOG)
        announce(implementation, server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        runner.run(serve())


def protocol(package: ModuleType, implementation: str, once: bool) -> None:
    """Two callbacks per connection."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    class Echo(asyncio.Protocol):
        """Writes what it gets."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Keep the transport's methods: the only things that are called later."""
            # Not every loop's transport is a subclass of the class with this method.
            self.write = cast(asyncio.Transport, transport).write
            self.close = transport.close

        def data_received(self, data: bytes) -> None:
            """Send it back."""
            self.write(data)
            if once:
                self.close()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=BACKLOG)
        announce(implementation, server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        runner.run(serve())


STYLES = {"green": green, "serve": serve, "streams": streams, "protocol": protocol}


def main(implementation: str, *words: str) -> None:
    """Serve with the style and the package of the implementation's row."""
    row = ECHO[implementation]
    STYLES[row.style](importlib.import_module(row.source), implementation, "once" in words)


if __name__ == "__main__":
    main(*sys.argv[1:])
