"""Clients of the server that lockstep.py measures, in a process of their own: a process has not descriptors
enough for both ends of 15,000 connections.

`lockstep_clients.py PORT REQUEST` (in hexadecimal) reads commands from its standard input, a line each, and
answers each with a line once it is done:

    connect N   N more connections                             -> done
    send        a request on each                              -> done
    receive     an answer on each that has not had one yet     -> the length of the answers; or, if one is
                                                                  still to come, waits
"""

import socket
import sys

from echo import allow_many_files


class Clients:
    """Connections that do the same at the same time."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.connections: list[socket.socket] = []
        #: Lengths of this turn's answers: one number, if all is right.
        self.lengths: set[int] = set()
        #: How many have had theirs.
        self.answered = 0

    def connect(self, count: int) -> str:
        """So many more."""
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", self.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self.connections.append(connection)
        return "done"

    def send(self) -> str:
        """One request each."""
        self.lengths, self.answered = set(), 0
        for connection in self.connections:
            connection.send(self.request)
        return "done"

    def receive(self) -> str:
        """One answer each, as far as they are there."""
        for connection in self.connections[self.answered :]:
            try:
                self.lengths.add(len(connection.recv(4096)))
            except BlockingIOError:
                return "waits"
            self.answered += 1
        return " ".join(map(str, sorted(self.lengths)))

    def obey(self, command: str) -> str:
        """Do what a line says; what to answer."""
        match command.split():
            case ["connect", count]:
                return self.connect(int(count))
            case ["send"]:
                return self.send()
            case ["receive"]:
                return self.receive()
        raise ValueError(f"expected 'connect N', 'send' or 'receive', found {command!r}")


def main() -> None:
    """Obey until the input ends."""
    allow_many_files()
    clients = Clients(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
    for line in sys.stdin:
        print(clients.obey(line), flush=True)


if __name__ == "__main__":
    main()
