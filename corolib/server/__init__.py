"""Servers: StreamServer for connections, DatagramServer for datagrams, BaseServer for one's own."""

from .base import BaseServer
from .datagram import DatagramServer
from .stream import StreamServer

__all__ = ["BaseServer", "DatagramServer", "StreamServer"]
