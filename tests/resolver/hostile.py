"""Run as a program: the resolver `dns` and a name server that is out to break it.

`hostile.py ANSWERS [SEED]`: look-ups go on until the server has sent so many mutated answers. For each query
it sends several:

- forged ones, with an address that stands in no other, and wrong in what a forger has to guess: the number,
the question, or the
  port they come from. None may be believed.
- broken ones, right in all that, but with bits turned, bytes cut out or put in, counts and pointers that lead
astray. Anything
  may come of them but an exception that is not one of getaddrinfo()'s, or an answer that is not well-formed.

Then it tells the truth, or nothing: then the look-up has to end by its deadline. Prints what happened, as
JSON.
"""

import json
import os
import random
import socket
import sys
import time
from collections import Counter
from typing import Any

import dns.flags
import dns.message
from resolver.nameserver import NameServer, Request

from corolib import config, joinall, spawn
from corolib.resolver.dns import HOSTNAME, DnsResolver
from corolib.socket import wait_read

FORGED = "2001:db8:666:666:666:666:666:666"
TRUE = "2001:db8::1"
#: Mutated answers to each query; look-ups at the same time; seconds for each.
EACH, CROWD, DEADLINE = 12, 3, 1.0


class Liar:
    """The handler of the name server."""

    def __init__(self, answers: int, seed: int) -> None:
        self.left = answers
        self.random = random.Random(seed)
        self.sent: Counter[str] = Counter()

    def __call__(self, request: Request) -> None:
        for _ in range(EACH):
            kind = self.random.choice([self.forge, self.forge, self.breakage, self.breakage, self.truncate])
            self.left -= 1
            self.sent[kind.__name__] += 1
            kind(request)
        if self.random.random() < 0.9:
            self.sent["truth"] += 1
            request.send(self.answer(request, TRUE))

    def answer(self, request: Request, address: str) -> dns.message.Message:
        """With an alias, so that there are names in it."""
        return request.answer("@ 60 CNAME alias.example.", f"alias.example. 60 AAAA {address}")

    def forge(self, request: Request) -> None:
        answer = self.answer(request, FORGED)
        what = self.random.randrange(4)
        if what == 0 or request.tcp:
            answer.id = (answer.id + self.random.randrange(1, 65536)) % 65536
            request.send(answer)
        elif what == 1:
            query = dns.message.make_query("other.example.", "AAAA", id=request.query.id)
            other = dns.message.make_response(query)
            other.answer = answer.answer
            request.send(other)
        elif what == 2:
            answer.flags &= ~dns.flags.QR
            request.send(answer)
        else:
            request.send_from_elsewhere(answer, self.random.choice(["127.0.0.1", "127.0.0.66"]))

    def breakage(self, request: Request) -> None:
        wire = bytearray(self.answer(request, TRUE).to_wire())
        keep = (
            2 if self.random.random() < 0.2 else 12 + len(request.name) + 5
        )  # the header and the question, mostly
        for _ in range(self.random.randrange(1, 8)):
            at = self.random.randrange(keep, len(wire)) if len(wire) > keep else len(wire) - 1
            match self.random.randrange(6):
                case 0:
                    wire[at] ^= 1 << self.random.randrange(8)
                case 1:
                    wire[at] = self.random.randrange(256)
                case 2:
                    del wire[at : at + self.random.randrange(20)]
                case 3:
                    wire[at:at] = self.random.randbytes(self.random.randrange(20))
                case 4:
                    wire[at : at + 2] = b"\xc0" + bytes([self.random.randrange(256)])  # a pointer
                case 5:
                    wire[4:12] = self.random.randbytes(8)  # counts
            if not wire:
                break
        if request.tcp and self.random.random() < 0.5:
            request.send_raw(self.random.randbytes(2) + bytes(wire))
        else:
            request.send(bytes(wire))

    def truncate(self, request: Request) -> None:
        answer = request.truncated()
        if self.random.random() < 0.9:
            answer.id ^= 1
        request.send(answer)


def serve(answers: int, seed: int, tell: socket.socket) -> None:
    """In a process of its own: tell the port, then say when enough has been sent, and what."""
    liar = Liar(answers, seed)
    with NameServer(liar) as server:
        tell.sendall(b"%d\n" % server.port)
        while liar.left > 0:
            time.sleep(0.01)
        tell.sendall(json.dumps(liar.sent).encode() + b"\n")
        tell.recv(1)


def check(row: tuple[Any, ...]) -> None:
    """One row of an answer."""
    family, _, _, canonical, (address, *_) = row
    assert family == socket.AF_INET6, row
    assert address != FORGED, row
    socket.inet_pton(socket.AF_INET6, address)
    assert not canonical or HOSTNAME.fullmatch(canonical), row


def main(answers: str, seed: str = "1") -> None:
    near, far = socket.socketpair()
    if not os.fork():
        near.close()
        serve(int(answers), int(seed), far)
        os._exit(0)
    far.close()
    lines = near.makefile()
    config.resolver_nameservers = f"127.0.0.1:{int(lines.readline())}"
    config.resolver_timeout = DEADLINE
    os.environ["RES_OPTIONS"] = "attempts:1"
    resolver = DnsResolver()
    came: Counter[str] = Counter()
    late: list[float] = []
    number = iter(range(10**9))
    enough: list[str] = []

    def ask() -> None:
        while not enough:
            began = time.monotonic()
            try:
                name = f"name{next(number)}.example."
                found = resolver.getaddrinfo(name, 80, socket.AF_INET6, 0, 0, socket.AI_CANONNAME)
            except socket.gaierror as error:
                came[error.strerror] += 1
            else:
                for row in found:
                    check(row)
                came["truth" if found[0][4][0] == TRUE else "something broken"] += 1
            late.append(time.monotonic() - began - DEADLINE)

    asking = [spawn(ask) for _ in range(CROWD)]
    wait_read(near.fileno())
    enough.append(lines.readline())
    joinall(asking, raise_error=True)
    late.sort()
    figures = {
        "sent": json.loads(enough[0]),
        "came": came,
        "ms after the deadline, 99 % and most": [
            round(1000 * late[int(len(late) * 0.99)]),
            round(1000 * late[-1]),
        ],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
