"""A TCP proxy: what comes to one address goes to another, both ways, until both sides have ended.

    python examples/tcp_proxy.py localhost:5432 [127.0.0.1:7000]

Ctrl-C: nothing is accepted any more, and connections have --grace seconds to end by themselves.
"""

import argparse
import itertools
import sys
from typing import Any

import corolib
from corolib import socket
from corolib.server import StreamServer


class Proxy:
    def __init__(self, target: tuple[str, int], connect_timeout: float) -> None:
        self.target = target
        self.connect_timeout = connect_timeout
        self.numbers = itertools.count(1)

    def relay(self, near: socket.socket, address: Any) -> None:
        """One connection; the server closes the near side."""
        number = next(self.numbers)
        try:
            far = socket.create_connection(self.target, self.connect_timeout)
        except OSError as error:
            print(f"{number}: cannot reach {self.target[0]}:{self.target[1]}: {error}", flush=True)
            return
        with far:
            far.settimeout(None)
            there = corolib.spawn(copy, near, far)
            back = copy(far, near)
            print(f"{number}: {there.get()} bytes there, {back} back", flush=True)


def copy(source: socket.socket, target: socket.socket) -> int:
    """One direction, until its source says that nothing more will come: so the target is told the same, while
    the other direction may go on. How many bytes that were.
    """
    count = 0
    try:
        while data := source.recv(65536):
            target.sendall(data)
            count += len(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One of them is gone, so what the other one says reaches nobody: this ends the other direction.
        source.close()
        target.close()
    return count


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, found {text!r}")
    return host.strip("[]"), int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description="A TCP proxy.")
    parser.add_argument("target", type=address, help="where connections go: HOST:PORT")
    where = "where to listen: HOST:PORT (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", type=address, default=("127.0.0.1", 0), help=where)
    parser.add_argument("--connect-timeout", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--grace", type=float, default=5, metavar="SECONDS")
    options = parser.parse_args()
    if not options.connect_timeout > 0 or not options.grace >= 0:
        parser.error("--connect-timeout must be more than 0, --grace at least 0")
    server = StreamServer(options.listen, Proxy(options.target, options.connect_timeout).relay)
    try:
        server.start()
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror}")
    print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    finally:
        cut = server.drain(options.grace)
        print(f"good-bye, {cut} connections were cut")


if __name__ == "__main__":
    corolib.run(main)
