"""DatagramServer: datagrams over UDP and UNIX sockets."""

from _socket import SOCK_DGRAM
from collections.abc import Callable
from typing import Any

from ..socket import socket
from .base import BaseServer
from .listeners import bound_socket, parse_address

__all__ = ["DatagramServer"]


class DatagramServer(BaseServer):
    """Calls `handle(data, address)` in a greenlet of its own for each datagram; sendto() answers.

    `listener` and `spawn` as in BaseServer. With several listeners, an answer leaves by the first.
    """

    reuse_addr: bool | int | None = 1
    reuse_port: bool = False
    #: The most that a datagram can hold.
    max_size: int = 65536

    def __init__(
        self,
        listener: Any,
        handle: Callable[..., object] | None = None,
        spawn: Any = "default",
        *,
        reuse_port: bool | None = None,
    ) -> None:
        if reuse_port is not None:
            self.reuse_port = reuse_port
        super().__init__(listener, handle, spawn)

    def make_socket(self, family: int, address: Any) -> socket:
        """A bound socket, by get_listener()."""
        options = {"reuse_port": True} if self.reuse_port else {}
        return self.get_listener(address, family, **options)

    @classmethod
    def get_listener(cls, address: Any, family: int | None = None, *, reuse_port: bool = False) -> socket:
        """A bound socket for servers of this class. Switches only to look up a name."""
        if family is None:
            family, address = parse_address(address)
        return bound_socket(family, address, SOCK_DGRAM, bool(cls.reuse_addr), reuse_port or cls.reuse_port)

    def do_read(self, listener: Any = None) -> tuple[bytes, Any]:
        """Wait for the next datagram: (data, address of the sender)."""
        data, address = (self.socket if listener is None else listener).recvfrom(self.max_size)
        return data, address

    def sendto(self, *args: Any) -> int:
        """sendto(data, [flags,] address): send from the server's socket. Switches if the system's buffer is
        full.
        """
        sent: int = self.socket.sendto(*args)
        return sent
