"""A great many bytes through TCP, plain, TLS, or through a proxy that mistreats them; each is compared.

    python tests/storms/streams.py [--bytes 50G] [--connections 4]
    python tests/storms/streams.py --chaos --bytes 1G
    python tests/storms/streams.py --tls --connections 200 --bytes 1G

Each connection has a reader and a writer at both ends, all at once. What is sent is one block of random bytes
again and again, whose length is a prime number, from a place of its own for each direction; a byte that is
lost, doubled or in the wrong place is found at once, and the number of all in the end. Ends with status 1 if
one is.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos import Chaos, Stream

from corolib import Greenlet, joinall, socket, ssl
from corolib.server import StreamServer

#: A prime number: no piece of a power of two is ever compared with the same place twice in a row.
BLOCK = 1_000_003
LONGEST = 1 << 18
#: What is sent and asked for at once: mostly much, so that it is over some day.
PIECES = (1, 100, 5000, 1 << 16, *(LONGEST,) * 12)
#: Seconds without a byte after which a connection is taken for dead.
PATIENCE = 300.0


def size_of(text: str) -> int:
    """50G, 100M, 12345."""
    return int(float(text.rstrip("kMG")) * {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1], 1))


class Pattern:
    """What is sent, from any place on."""

    def __init__(self, seed: int) -> None:
        block = random.Random(seed).randbytes(BLOCK)
        self._data = memoryview(block + block[:LONGEST])

    def at(self, place: int, size: int) -> memoryview:
        begin = place % BLOCK
        return self._data[begin : begin + size]


class Ends:
    """What both ends of a connection do: `share` bytes are written and read at each."""

    def __init__(self, share: int, seed: int) -> None:
        self.share, self.seed = share, seed
        self.pattern = Pattern(seed)
        self.compared = 0

    def write(self, sock: Any, place: int) -> None:
        choose = random.Random(place + self.seed)
        done = 0
        while done < self.share:
            size = min(choose.choice(PIECES), self.share - done)
            sock.sendall(self.pattern.at(place + done, size))
            done += size

    def read(self, sock: Any, place: int) -> None:
        choose = random.Random(place - self.seed)
        buffer = bytearray(LONGEST)
        view = memoryview(buffer)
        done = 0
        while done < self.share:
            size = choose.choice(PIECES)
            got = sock.recv_into(view[:size])
            if not got:
                raise AssertionError(f"the end came after {done} of {self.share} bytes")
            if view[:got] != self.pattern.at(place + done, got):
                raise AssertionError(f"a wrong byte between {done} and {done + got} of {self.share}")
            done += got
            self.compared += got

    def both(self, sock: Any, out: int, into: int) -> None:
        """Until everything is written and read; raises what went wrong."""
        writer = Greenlet.spawn(self.write, sock, out)
        try:
            self.read(sock, into)
            writer.get()
        finally:
            writer.kill()


def run(
    size: int,
    connections: int,
    *,
    tls: tuple[Any, Any] | None = None,
    chaos: Chaos | None = None,
    spoil: Callable[[Ends], object] | None = None,
    seed: int = 1,
) -> int:
    """How many bytes were compared; all of them, or an error."""
    ends = Ends(size // connections // 2, seed)
    if spoil is not None:
        spoil(ends)
    errors: list[BaseException] = []

    def attempt(sock: Any, out: int, into: int) -> None:
        try:
            sock.settimeout(PATIENCE)
            ends.both(sock, out, into)
        except (OSError, AssertionError) as error:
            errors.append(error)

    def serve(sock: Any, address: object) -> None:
        # The client says which it is, so that each direction has its place.
        number = int.from_bytes(read_exactly(sock, 4), "big")
        attempt(sock, 2 * number, 2 * number + 1)

    def ask(number: int) -> None:
        where = server.address
        if chaos is not None:
            plan = {"segment": LONGEST // 4, "vary": True, "seed": seed + number}
            where = chaos.tcp(where, down=Stream(**plan), up=Stream(**plan))
        with ExitStack() as stack:
            sock: Any = stack.enter_context(socket.create_connection(where, PATIENCE))
            if tls is not None:
                sock = stack.enter_context(tls[1].wrap_socket(sock, server_hostname="localhost"))
            sock.sendall(number.to_bytes(4, "big"))
            attempt(sock, 2 * number + 1, 2 * number)

    options = {} if tls is None else {"ssl_context": tls[0]}
    with StreamServer(("127.0.0.1", 0), serve, backlog=1000, **options) as server:
        server.start()
        joinall([Greenlet.spawn(ask, number) for number in range(connections)], raise_error=True)
        server.drain(PATIENCE)  # who has asked is done before who answers has read all
    if errors:
        raise errors[0]
    expected = ends.share * connections * 2
    if ends.compared != expected:
        raise AssertionError(f"{ends.compared} bytes came, {expected} were sent")
    return ends.compared


def read_exactly(sock: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise AssertionError("the end came before the beginning")
        data += part
    return data


def contexts() -> tuple[Any, Any]:
    """For the server and for the client, which trusts it."""
    import trustme  # only where TLS is spoken

    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=size_of, default=size_of("50G"))
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--chaos", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with ExitStack() as stack:
        chaos = stack.enter_context(Chaos()) if options.chaos else None
        tls = contexts() if options.tls else None
        try:
            size = run(options.bytes, options.connections, tls=tls, chaos=chaos, seed=options.seed)
        except (OSError, AssertionError) as error:
            print(error)
            return 1
    took = time.perf_counter() - began
    print(f"{size} bytes in {took:.0f} s ({size / took / 1e6:.0f} MB/s): all as they were sent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
