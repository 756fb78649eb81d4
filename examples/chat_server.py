"""A chat room over TCP: what one says, all others read. The first line is the name.

Usage: python examples/chat_server.py [port], then several times: nc 127.0.0.1 <port>
"""

import sys

import corolib
from corolib import socket
from corolib.queue import Queue

#: So many lines may wait for a slow reader; he must not hold up the room.
BACKLOG = 100


class Room:
    def __init__(self) -> None:
        self.mailboxes: dict[str, Queue[str]] = {}

    def say(self, line: str, but: str) -> None:
        for name, mailbox in self.mailboxes.items():
            if name != but and not mailbox.full():
                mailbox.put_nowait(line)

    def visit(self, connection: socket.socket) -> None:
        """One guest, from the name to the end of the connection. Reading and writing have a greenlet each."""
        with connection, connection.makefile("r", encoding="utf-8", errors="replace") as lines:
            name = lines.readline().strip()
            if not name or name in self.mailboxes:
                connection.sendall(b"your first line must be a name that nobody has yet\n")
                return
            mailbox = self.mailboxes[name] = Queue(BACKLOG)
            writer = corolib.spawn(deliver, mailbox, connection)
            try:
                self.say(f"* {name} came", but=name)
                for line in lines:
                    self.say(f"{name}: {line.strip()}", but=name)
            finally:
                del self.mailboxes[name]
                writer.kill()
                self.say(f"* {name} left", but=name)


def deliver(mailbox: Queue[str], connection: socket.socket) -> None:
    while True:
        connection.sendall(mailbox.get().encode() + b"\n")


def main(arguments: list[str]) -> None:
    with socket.create_server(("127.0.0.1", int(arguments[0]) if arguments else 0)) as listener:
        print("listening on {}:{}".format(*listener.getsockname()), flush=True)
        room = Room()
        while True:
            corolib.spawn(room.visit, listener.accept()[0])


if __name__ == "__main__":
    main(sys.argv[1:])
