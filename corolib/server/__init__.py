"""Servers: StreamServer for connections, DatagramServer for datagrams, BaseServer for one's own.

The server for the web is in `corolib.pywsgi`, so that whoever does not need it does not import it.
"""

from .base import BaseServer
from .datagram import DatagramServer
from .stream import StreamServer

__all__ = ["BaseServer", "DatagramServer", "StreamServer"]
