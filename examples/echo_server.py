"""An echo server: every connection has a greenlet of its own, all in one thread.

    python examples/echo_server.py [127.0.0.1:7000], then: nc 127.0.0.1 7000

Ctrl-C: nothing is accepted any more, and who is connected has some seconds to end.
"""

import argparse
import sys
from typing import Any

import corolib
from corolib import socket
from corolib.server import StreamServer

#: Seconds for the connections that are open at the end.
PATIENCE = 1.0


def echo(connection: socket.socket, address: Any) -> None:
    """Send back what arrives, until the peer says good-bye. The server closes the connection."""
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except ConnectionError:
        pass  # gone without a word


def main() -> None:
    parser = argparse.ArgumentParser(description="An echo server.")
    where = "where to listen: HOST:PORT, unix:PATH (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0", help=where)
    options = parser.parse_args()
    try:
        server = StreamServer(options.listen, echo)
        server.start()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror}")
    print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    finally:
        server.drain(PATIENCE)
        print("good-bye")


if __name__ == "__main__":
    corolib.run(main)
