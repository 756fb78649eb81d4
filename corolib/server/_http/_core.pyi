from collections.abc import Callable
from typing import Any, final

from typing_extensions import disjoint_base

ANSWERED: int
CHUNKED: int
CLOSE: int
COMPLETE: int
DATE: int
EDGES: tuple[float, ...]
EXPECTS: int
HEAD: int
KEEP: int
OLD: int
ORDINARY: int
OTHER: int
OVER: int
RECEIVE: int
SERVER: int
STAYS: int
TOGETHER: int
UPGRADE: int
WAITING: int

class Refused(ValueError):
    args: tuple[int, str]

@final
class Reader:
    @property
    def body_bytes(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def complete(self) -> bool: ...
    @property
    def content_length(self) -> int: ...
    @property
    def expects(self) -> bool: ...
    @property
    def flags(self) -> int: ...
    @property
    def keep_alive(self) -> bool: ...
    @property
    def method(self) -> str | None: ...
    @property
    def minor(self) -> int: ...
    @property
    def raw_head(self) -> bytes | None: ...
    @property
    def started(self) -> bool: ...
    @property
    def target(self) -> str | None: ...
    @property
    def upgrade(self) -> bool: ...
    def __init__(
        self,
        environ: dict[str, Any],
        make_parser: Callable[[Reader], Any],
        parser_error: type[BaseException],
        upgrade_error: type[BaseException],
        *,
        max_target: int,
        max_head: int,
        max_fields: int,
        max_body: int,
    ) -> None: ...
    def head(self, data: bytes = b"", /) -> dict[str, Any] | None: ...
    def body(self, data: bytes = b"", /) -> bytes: ...
    def rest(self) -> bytes: ...
    def close(self) -> None: ...
    def on_header(self, name: bytes, value: bytes, /) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_chunk_header(self) -> None: ...
    def on_chunk_complete(self) -> None: ...
    def on_message_complete(self) -> None: ...

@disjoint_base
class Tally:
    ending: bool
    @property
    def buckets(self) -> list[int]: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def statuses(self) -> list[int]: ...
    def answered(self, code: int, sent: int, received: int, seconds: float, /) -> None: ...

@disjoint_base
class Exchange:
    socket: Any
    client_address: Any
    server: Any
    application: Any
    environ: dict[str, Any] | None
    wsgi_input: Any
    result: Any
    status: str | None
    code: int
    response_headers: list[tuple[str, str]]
    response_length: int
    response_use_chunked: bool
    provided_content_length: Any
    provided_date: Any
    headers_sent: bool
    close_connection: bool
    fresh: bool
    idle: bool
    time_start: float
    time_finish: float
    _at_once: bool
    _counters: Tally
    _direct: bool
    _flags: int
    _found: int
    _keepalive: float | None
    _logs: bool
    _reader: Reader
    _timeout: float | None
    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]: ...
    def serve(self) -> int: ...
    def _send_at_once(self, data: Any, /) -> bool: ...
    def _begin_answer(self) -> None: ...
    def _end_answer(self) -> None: ...
    def _drop_references(self) -> None: ...

def answer(status: str, headers: list[tuple[str, str]], add: int, length: int, body: bytes, /) -> bytes: ...
def check(status: str, headers: list[tuple[str, str]], /) -> tuple[int, int, int]: ...
def date(timestamp: float = ..., /) -> str: ...
