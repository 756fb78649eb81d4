"""Sockets are closed under who waits in them, and their numbers used again: no byte goes to another socket.

    python tests/storms/reuse.py [--rounds 1000000] [--seed 1]

Each round makes a pair of sockets whose bytes all carry the number of the round, has greenlets wait in one of
them for reading and for writing, and closes it under them at a moment that comes from the seed; the pair of
the next round gets its number at once. A reader may get EBADF, or bytes of its own round; what comes out at
the other end of a pair may only be of its round. Ends with status 1 if a byte is another's.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from corolib import Greenlet, Timeout, sleep, socket
from corolib import os as green_os

TAG = 8
#: More than the buffers of a pair hold after `small()`.
MUCH = 1000


def small(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


def read_into(sock: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: sock.recv_into(buffer)])


READS: list[Callable[[Any], bytes]] = [
    lambda sock: sock.recv(100),
    read_into,
    lambda sock: sock.recvfrom(100)[0],
    lambda sock: sock.recvmsg(100)[0],
    lambda sock: sock.makefile("rb", 0).read(100),
]


class Storm:
    """So many rounds, one after the other; each is over only after the next one has its number."""

    def __init__(self, rounds: int, seed: int, reads: list[Callable[[Any], bytes]] = READS) -> None:
        self.rounds, self.reads = rounds, reads
        self.choose = random.Random(seed)
        self.wrong: list[str] = []
        self.reused = self.cut = self.read = 0
        self.last: tuple[Any, ...] = ()

    def run(self) -> None:
        for number in range(self.rounds):
            self.round(number)
        self.finish()
        if self.wrong:
            raise AssertionError(f"{len(self.wrong)} of {self.rounds} rounds went wrong: {self.wrong[:5]}")

    def check(self, number: int, what: str, data: bytes) -> None:
        tag = number.to_bytes(TAG, "big")
        # A write that was cut off ends anywhere in a tag.
        if data != (tag * (len(data) // TAG + 1))[: len(data)]:
            self.wrong.append(f"round {number}, {what}: {data[:40]!r}")

    def reader(self, number: int, near: Any, read: Callable[[Any], bytes]) -> None:
        try:
            while data := read(near):
                self.read += 1
                self.check(number, "read", data)
        except (OSError, ValueError):  # ValueError: a file whose socket is closed
            self.cut += 1
        except Timeout:
            pass

    def writer(self, near: Any, tag: bytes) -> None:
        with suppress(OSError):
            while True:
                near.sendall(tag * MUCH)

    def turns(self, most: int) -> None:
        for _ in range(self.choose.randint(0, most)):
            sleep(0)
        if self.choose.random() < 0.2:
            sleep(1e-5)  # the loop polls

    def round(self, number: int) -> None:
        choose = self.choose
        tag = number.to_bytes(TAG, "big")
        near, far = socket.socketpair()
        if self.last and near.fileno() == self.last[1]:
            self.reused += 1
        reader = Greenlet.spawn(self.reader, number, near, choose.choice(self.reads))
        writer = None
        if choose.random() < 0.5:
            small(near)
            writer = Greenlet.spawn(self.writer, near, tag)
        self.turns(2)
        if choose.random() < 0.7:
            far.send(tag * choose.randint(1, 5))
        # Those of the round before run among ours, or do so only now.
        self.turns(2)
        self.finish()
        end = choose.random()
        fd = near.fileno()
        if end < 0.1:
            reader.kill(block=False)
        elif end < 0.2:
            reader.kill(Timeout, block=False)
        if end < 0.7:
            near._real_close()  # though a file may have been made of it
        else:
            green_os.close(fd)
            near.detach()
        self.last = number, fd, far, reader, writer

    def finish(self) -> None:
        """What came out at the far end of the last round; all who waited in it are gone."""
        if not self.last:
            return
        number, _, far, *waiting = self.last
        for greenlet in waiting:
            if greenlet is not None and greenlet.join(timeout=20) is None and not greenlet.ready():
                raise AssertionError(f"round {number}: {greenlet} still waits")
        with suppress(ConnectionResetError):  # closed with something unread
            while data := far.recv(1 << 16):
                self.check(number, "came out", data)
        far.close()
        self.last = ()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    storm = Storm(options.rounds, options.seed)
    try:
        storm.run()
    except AssertionError as error:
        print(error)
        return 1
    print(
        f"{options.rounds} rounds in {time.perf_counter() - began:.0f} s, {storm.reused} numbers used again, "
        f"{storm.cut} waits ended by a close, {storm.read} reads: no byte went to another socket"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
