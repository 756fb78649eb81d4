"""An echo server: every connection has a greenlet of its own, all in one thread.

Usage: python examples/echo_server.py [port], then: nc 127.0.0.1 <port>
"""

import sys

import corolib
from corolib import socket


def echo(connection: socket.socket) -> None:
    """Send back what arrives, until the peer says good-bye."""
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def serve(listener: socket.socket) -> None:
    """Give every connection a greenlet; runs until the listener is closed."""
    while True:
        connection, _ = listener.accept()
        corolib.spawn(echo, connection)


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 0
    with socket.create_server(("127.0.0.1", port)) as listener:
        host, port = listener.getsockname()
        print(f"listening on {host}:{port}, Ctrl-C ends", flush=True)
        try:
            serve(listener)
        except KeyboardInterrupt:
            print("good-bye")


if __name__ == "__main__":
    main(sys.argv[1:])
