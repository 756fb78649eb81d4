"""A proxy that mistreats what goes through it: what a network may do, on loopback.

It runs in a process of its own, on the standard library's asyncio, so that it shares nothing with what is
tested.

    with Chaos() as chaos:
        where = chaos.tcp(server_address, down=Stream(segment=1), up=Stream(reset_at=100))
        where = chaos.udp(server_address, Datagrams(loss=0.1, seed=3))

`down` is what the server sends to the client, `up` the other way. What is left to chance comes from a seed.
A stall lasts until go_on(); after settle() all datagrams have been passed on that were sent before it.
"""

import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

Address = tuple[str, int]

#: How much is read at once. Not more than this lies in the proxy, so that pressure is felt at the other end.
CHUNK = 65536


@dataclass(frozen=True)
class Stream:
    """What happens to one direction of a TCP connection. Places count the bytes that have gone through."""

    segment: int = CHUNK  # most bytes that are passed on at once
    vary: bool = False  # each time another number up to that, and now and then a run of single bytes
    seed: int = 0
    delay: float = 0  # seconds before each piece
    stall_at: int | None = None  # here nothing is passed on for `stall` seconds, None: ever again
    stall: float | None = None
    end_at: int | None = None  # here the receiver sees the end of the stream; the rest is swallowed
    reset_at: int | None = None  # here both ends get a reset

    def events(self) -> list[tuple[int, str]]:
        places = (("stall", self.stall_at), ("end", self.end_at), ("reset", self.reset_at))
        return sorted((at, name) for name, at in places if at is not None)


@dataclass(frozen=True)
class Datagrams:
    """What happens to datagrams, in both directions, each by chance (0 to 1)."""

    loss: float = 0
    duplicate: float = 0
    reorder: float = 0  # comes after the next one
    late: float = 0  # comes `lateness` seconds later
    lateness: float = 0.05
    seed: int = 0


class Chaos:
    """The proxy's process; one for any number of connections and plans."""

    def __enter__(self) -> "Chaos":
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate()  # the end of its input ends it

    def _ask(self, what: str, upstream: Address | None = None, *plans: Any) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, upstream, [asdict(plan) for plan in plans]]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def tcp(self, upstream: Address, *, down: Stream = Stream(), up: Stream = Stream()) -> Address:
        """Where to connect to in place of `upstream`."""
        return "127.0.0.1", self._ask("tcp", upstream, down, up)

    def udp(self, upstream: Address, plan: Datagrams) -> Address:
        """Where to send to in place of `upstream`."""
        return "127.0.0.1", self._ask("udp", upstream, plan)

    def go_on(self) -> None:
        """End the stalls of now, however long they were to last."""
        self._ask("go on")

    def settle(self) -> None:
        """Wait until every datagram that has been sent here is lost or has been passed on."""
        self._ask("settle")


# -- in the proxy's process ----------------------------------------------------------------------------------


class _Connection:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        for writer in writers:
            # The transport's own buffer would hide that the receiver does not read.
            writer.transport.set_write_buffer_limits(0)

    def reset(self) -> None:
        for writer in self.writers:
            if writer.transport.is_closing():
                continue
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Stream) -> None:
        try:
            await self.pass_on(reader, writer, plan)
        except OSError:
            self.reset()  # one end has reset its connection: so does the other then

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Stream) -> None:
        events = plan.events()
        chance = random.Random(plan.seed)
        passed, singles, swallow = 0, 0, False
        data = memoryview(b"")
        while True:
            while events and events[0][0] <= passed:
                name = events.pop(0)[1]
                if name == "reset":
                    await asyncio.sleep(0.01)  # what was passed on has arrived
                    return self.reset()
                if name == "stall":
                    with suppress(TimeoutError):
                        await asyncio.wait_for(_stalls.wait(), plan.stall)
                elif name == "end":
                    writer.write_eof()
                    swallow = True
            if not data:
                data = memoryview(await reader.read(CHUNK))
                if not data:
                    break
            size = plan.segment
            if plan.vary:
                if singles == 0 and chance.random() < 0.001:
                    singles = 50
                singles -= singles > 0
                size = 1 if singles else chance.randint(1, size)
            if events:
                size = min(size, events[0][0] - passed)
            piece, data = data[:size], data[size:]
            passed += len(piece)
            if swallow:
                continue
            if plan.delay:
                await asyncio.sleep(plan.delay)
            writer.write(piece)
            await writer.drain()
            if size < 100:
                await asyncio.sleep(0)  # the receiver may see it alone
        if not swallow:
            writer.write_eof()


async def _tcp(upstream: Address, down: Stream, up: Stream) -> int:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*upstream)
        connection = _Connection(writer, far_writer)
        pumps = (connection.pump(far_reader, writer, down), connection.pump(reader, far_writer, up))
        try:
            await asyncio.gather(*pumps)
        finally:
            writer.close()
            far_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    _servers.append(server)
    return int(server.sockets[0].getsockname()[1])


class _Relay:
    """One socket of the proxy; what comes to it is mistreated and goes on by `route(data, sender)`."""

    def __init__(self, sock: socket.socket, plan: Datagrams, route: Callable[[bytes, Any], None]) -> None:
        sock.setblocking(False)
        self.sock, self.plan, self.route = sock, plan, route
        self.chance = random.Random(plan.seed)
        self.held: list[tuple[bytes, Any]] = []
        self.delayed: set[asyncio.TimerHandle] = set()
        asyncio.get_running_loop().add_reader(sock, self.receive)
        _relays.append(self)

    def later(self, action: Callable[..., None], *args: Any) -> None:
        def act() -> None:
            self.delayed.remove(timer)
            action(*args)

        timer = asyncio.get_running_loop().call_later(self.plan.lateness, act)
        self.delayed.add(timer)

    def receive(self) -> bool:
        """Whether there was something."""
        plan, chance = self.plan, self.chance
        try:
            data, sender = self.sock.recvfrom(65536)
        except BlockingIOError:
            return False
        # Asked for each time, whatever the plan, so that a seed means the same everywhere.
        lost, twice, after, late = (chance.random() for _ in range(4))
        if lost < plan.loss:
            return True
        if late < plan.late:
            self.later(self.route, data, sender)
        elif after < plan.reorder:
            self.held.append((data, sender))
            self.later(self.release)  # if there is no next one
            return True
        else:
            self.route(data, sender)
        if twice < plan.duplicate:
            self.route(data, sender)
        self.release()
        return True

    def release(self) -> None:
        while self.held:
            self.route(*self.held.pop())


def _udp(upstream: Address, plan: Datagrams) -> int:
    front = socket.socket(type=socket.SOCK_DGRAM)
    front.bind(("127.0.0.1", 0))
    ways: dict[Any, _Relay] = {}

    def to_server(data: bytes, client: Any) -> None:
        if client not in ways:
            back = socket.socket(type=socket.SOCK_DGRAM)
            back.connect(upstream)
            ways[client] = _Relay(back, plan, lambda answer, _: front.sendto(answer, client))
        with suppress(ConnectionRefusedError):
            ways[client].sock.send(data)

    _Relay(front, plan, to_server)
    return int(front.getsockname()[1])


async def _settle() -> None:
    while any(relay.receive() or relay.delayed for relay in _relays):
        await asyncio.sleep(0)


_servers: list[asyncio.Server] = []
_relays: list[_Relay] = []
#: What ends the stalls of now.
_stalls = asyncio.Event()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what, upstream, plans = json.loads(line)
        answer = 0
        if what == "tcp":
            answer = await _tcp(tuple(upstream), *(Stream(**plan) for plan in plans))
        elif what == "udp":
            answer = _udp(tuple(upstream), *(Datagrams(**plan) for plan in plans))
        elif what == "settle":
            await _settle()
        else:
            _stalls.set()
            _stalls.clear()  # those who wait are told all the same; who comes later waits
        print(answer, flush=True)
    os._exit(0)  # what stalls or waits is not waited for


if __name__ == "__main__":
    asyncio.run(_main())
