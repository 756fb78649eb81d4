"""How messages to and from name servers travel: a backend for dnspython's asynchronous half, over the hub.

dnspython asks a backend for sockets and awaits what they do. Here nothing is ever awaited: a socket that has
to wait switches to the hub inside the call, so a coroutine of dnspython's runs to its end in one go (`run`).
No event loop is needed, and no module has to be exchanged under dnspython.
"""

from _socket import SOCK_DGRAM
from collections.abc import Coroutine
from typing import Any, TypeVar

import dns.asyncbackend
import dns.exception

from .. import _hub
from ..hub import sleep

__all__ = ["Backend", "run"]

_T = TypeVar("_T")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine returns or raises, whose awaits are all of the backend's. Switches when those wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for something other than the backend")


def _limit(sock: _hub.Socket, timeout: float | None) -> None:
    """Before each operation. A deadline that has passed is one: a peer that sends without end is not read for
    ever.
    """
    if timeout is not None and timeout <= 0:
        raise dns.exception.Timeout
    sock.settimeout(timeout)


class _Socket:
    """What both kinds have in common."""

    def __init__(self, sock: _hub.Socket, family: int, type: int) -> None:
        self.sock = sock
        self.family = family
        self.type = type

    async def __aenter__(self) -> "_Socket":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.sock.close()

    async def close(self) -> None:
        self.sock.close()

    async def getpeername(self) -> Any:
        return self.sock.getpeername()

    async def getsockname(self) -> Any:
        return self.sock.getsockname()


class _Datagrams(_Socket):
    """For one server, and from a port of its own that the kernel chooses at random.

    It is connected: the kernel drops what comes from elsewhere, and tells when nobody is there.
    """

    peer: Any = None

    async def sendto(self, what: bytes, destination: Any, timeout: float | None) -> int:
        _limit(self.sock, timeout)
        self.sock.connect(destination)
        self.peer = destination
        return self.sock.send(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, Any]:
        _limit(self.sock, timeout)
        try:
            return self.sock.recv(size), self.peer
        except TimeoutError:
            raise dns.exception.Timeout from None


class _Stream(_Socket):
    async def sendall(self, what: bytes, timeout: float | None) -> None:
        _limit(self.sock, timeout)
        try:
            self.sock.sendall(what)
        except TimeoutError:
            raise dns.exception.Timeout from None

    async def recv(self, size: int, timeout: float | None) -> bytes:
        _limit(self.sock, timeout)
        try:
            return self.sock.recv(size)
        except TimeoutError:
            raise dns.exception.Timeout from None


class Backend(dns.asyncbackend.Backend):  # type: ignore[name-defined,misc]  # not in its list of names
    """Plain DNS, by UDP and TCP."""

    def name(self) -> str:
        return "corolib"

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,
        source: Any = None,
        destination: Any = None,
        timeout: float | None = None,
        ssl_context: Any = None,
        server_hostname: str | None = None,
    ) -> Any:
        if ssl_context is not None:
            raise NotImplementedError("name servers are asked by UDP and TCP, not by TLS")
        sock = _hub.Socket(af, socktype, proto)
        try:
            if source is not None:
                sock.bind(source)
            if socktype == SOCK_DGRAM:
                return _Datagrams(sock, af, socktype)
            _limit(sock, timeout)
            try:
                sock.connect(destination)
            except TimeoutError:
                raise dns.exception.Timeout from None
            return _Stream(sock, af, socktype)
        except BaseException:
            sock.close()
            raise

    async def sleep(self, interval: float) -> None:
        sleep(interval)
