"""An echo server: every connection has a greenlet of its own, all in one thread.

Usage: python examples/echo_server.py [port], then: nc 127.0.0.1 <port>
"""

import sys
from typing import Any

from corolib import socket
from corolib.server import StreamServer


def echo(connection: socket.socket, address: Any) -> None:
    """Send back what arrives, until the peer says good-bye. The server closes the connection."""
    while data := connection.recv(65536):
        connection.sendall(data)


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 0
    with StreamServer(("127.0.0.1", port), echo) as server:
        server.start()
        print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("good-bye")


if __name__ == "__main__":
    main(sys.argv[1:])
