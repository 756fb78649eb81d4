"""A chat room over TCP: what one says, all others read. The first line is the name.

    python examples/chat_server.py [127.0.0.1:7000], then several times: nc 127.0.0.1 7000

Ctrl-C: everybody gets the lines that are still on their way, and is told that the room closes.
"""

import argparse
import sys
from typing import Any

import corolib
from corolib import socket
from corolib.queue import Queue, ShutDown
from corolib.server import StreamServer

#: So many lines may wait for a slow reader, who must not hold up the room.
BACKLOG = 100
#: Seconds in which a guest has to take the last lines.
PATIENCE = 1.0


class Room:
    def __init__(self) -> None:
        self.mailboxes: dict[str, Queue[str]] = {}

    def say(self, line: str, but: str = "") -> None:
        for name, mailbox in self.mailboxes.items():
            if name != but and not mailbox.full():
                mailbox.put_nowait(line)

    def visit(self, connection: socket.socket, address: Any) -> None:
        """One guest, from the name to the end of the connection. Reading and writing have a greenlet each."""
        with connection.makefile("r", encoding="utf-8", errors="replace") as lines:
            name = lines.readline().strip()
            if not name or name in self.mailboxes:
                connection.sendall(b"your first line must be a name that nobody has yet\n")
                return
            mailbox = self.mailboxes[name] = Queue(BACKLOG)
            mailbox.put_nowait(f"* here are {', '.join(self.mailboxes)}")
            writer = corolib.spawn(deliver, mailbox, connection)
            try:
                self.say(f"* {name} came", but=name)
                for line in lines:
                    self.say(f"{name}: {line.strip()}", but=name)
            except ConnectionError:
                pass  # gone without a word
            finally:
                del self.mailboxes[name]
                self.say(f"* {name} left", but=name)
                mailbox.shutdown()
                writer.join(PATIENCE)
                writer.kill()

    def close(self) -> None:
        """Once their last lines are delivered, all guests go."""
        self.say("* the room closes")
        for mailbox in self.mailboxes.values():
            mailbox.shutdown()


def deliver(mailbox: Queue[str], connection: socket.socket) -> None:
    """Send what comes; after the last line there is nothing more to read on this connection, either."""
    try:
        while True:
            connection.sendall(mailbox.get().encode() + b"\n")
    except ShutDown:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the reader will notice


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat room over TCP.")
    where = "where to listen: HOST:PORT, unix:PATH (default: any free port of 127.0.0.1)"
    parser.add_argument("listen", nargs="?", default="127.0.0.1:0", help=where)
    options = parser.parse_args()
    room = Room()
    try:
        server = StreamServer(options.listen, room.visit)
        server.start()
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror}")
    print(f"listening on {server.server_host}:{server.server_port}, Ctrl-C ends", flush=True)
    try:
        server.serve_forever()
    finally:
        room.close()
        server.drain(PATIENCE)
        print("good-bye")


if __name__ == "__main__":
    corolib.run(main)
