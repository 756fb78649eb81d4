"""A WebSocket client that sends what it is told to, right or wrong, and reads frames one by one."""

import os
import struct
from typing import Any

from corolib import socket

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\1\2\3\4"
) -> bytes:
    """A frame; the server wants a mask."""
    masked = 0x80 if mask is not None else 0
    if len(payload) < 126:
        length = bytes([masked | len(payload)])
    elif len(payload) < 65536:
        length = bytes([masked | 126]) + struct.pack("!H", len(payload))
    else:
        length = bytes([masked | 127]) + struct.pack("!Q", len(payload))
    head = bytes([fin << 7 | rsv << 4 | opcode]) + length
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    both = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + both.to_bytes(len(payload), "big")


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A frame that says good-bye."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Raw:
    """A connection to a server."""

    def __init__(self, address: Any, *headers: str, handshake: bool = True) -> None:
        self.sock = socket.create_connection(address, timeout=60)
        # What is sent has come when send() is over, whatever has not been acknowledged yet.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if handshake:
            key = "dGhlIHNhbXBsZSBub25jZQ=="
            lines = [
                "GET /path?query HTTP/1.1",
                "Host: localhost",
                "Upgrade: websocket",
                "Connection: keep-alive, Upgrade",
                f"Sec-WebSocket-Key: {key}",
                "Sec-WebSocket-Version: 13",
                *headers,
            ]
            self.send("".join(line + "\r\n" for line in [*lines, ""]).encode())
            self.head = self.until(b"\r\n\r\n").decode()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(end)
        return found + end

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def frame(self) -> tuple[int, bytes, bool, int]:
        """(opcode, payload, fin, rsv) of the next one."""
        first, second = self._exactly(2)
        assert not second & 0x80, "a server does not mask"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        return first & 15, self._exactly(length), bool(first & 0x80), first >> 4 & 7

    def rest(self) -> list[tuple[int, bytes]]:
        """All frames up to the end, as (opcode, payload)."""
        found = []
        try:
            while True:
                found.append(self.frame()[:2])
        except EOFError as error:
            assert error.args == (b"",), "the stream ends in the middle of a frame"
        return found

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()


def random_bytes(count: int) -> bytes:
    """Bytes that do not compress."""
    return os.urandom(count)
