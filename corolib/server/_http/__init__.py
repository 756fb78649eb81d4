"""HTTP/1.1 in C, without I/O: a Reader makes environs out of bytes, answer() bytes out of answers."""

from ._core import (
    CHUNKED,
    CLOSE,
    DATE,
    KEEP,
    OTHER,
    SERVER,
    Reader,
    Refused,
    answer,
    check,
    date,
)

__all__ = [
    "CHUNKED",
    "CLOSE",
    "DATE",
    "KEEP",
    "OTHER",
    "SERVER",
    "Reader",
    "Refused",
    "answer",
    "check",
    "date",
]
