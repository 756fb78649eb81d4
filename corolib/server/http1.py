"""HTTP/1.1 without I/O: the limits, and a reader of requests made of httptools' grammar and our rules.

The grammar is llhttp's, as `httptools` wraps it, which Node.js keeps strict. What it lets pass and a proxy in
front of the server could take for something else is refused by the rules in `_http`, which also decide where
a head and a body end: the grammar has to agree. A refused request gets one answer and the connection is
closed; nothing that came after it is looked at.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ._http import CLOSE, DATE, Reader, Refused, answer

__all__ = ["Limits", "Refused", "make_reader", "refusal"]

#: What is answered to Expect: 100-continue, once the application wants the body.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: The end of a body in chunks.
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the parts of a request may be: bytes, and a number of fields. Larger ones are refused."""

    #: The target ("/path?query"): 414. What Apache takes.
    target: int = 8190
    #: The whole head with its first line, and trailers: 431. What four buffers of nginx hold.
    head: int = 32768
    #: Fields, of head and trailers together: 431. As Apache.
    fields: int = 100
    #: The body, decoded: 413.
    body: int = 100 * 1024 * 1024


def make_reader(environ: dict[str, Any], limits: Limits) -> Reader:
    """A reader of one connection's requests, whose environs begin with these entries."""
    return Reader(
        environ,
        HttpRequestParser,
        HttpParserError,
        HttpParserUpgrade,
        max_target=limits.target,
        max_head=limits.head,
        max_fields=limits.fields,
        max_body=limits.body,
    )


def refusal(status: int, head_only: bool = False) -> bytes:
    """The whole answer to a request that is not served: it says no more than its status, and closes."""
    line = f"{status} {HTTPStatus(status).phrase}"
    body = f"{line}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return answer(line, headers, DATE | CLOSE, len(body), b"" if head_only else body)
