"""Access logs: one line for each request, whatever is in it.

What a client says comes into the line with everything escaped that could end it, hide a part of it, or steer
the terminal on which it is read.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["FORMATS", "LoggingLogAdapter", "NoLog", "escape", "make_log"]


class Served(Protocol):
    """What a handler tells of the request that it has served."""

    client_address: Any
    code: int
    environ: dict[str, Any] | None
    response_length: int
    time_start: float
    time_finish: float

    @property
    def command(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def request_version(self) -> str | None: ...
    @property
    def requestline(self) -> str | None: ...


#: Everything but visible ASCII and the space; and what quotes a field, or the quote in it.
_ESCAPES: Final = {
    code: f"\\x{code:02x}" for code in (*range(0x20), ord('"'), ord("\\"), *range(0x7F, 0x100))
}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def escape(text: str) -> str:
    r"""The text with control characters, quotes, backslashes and what is not ASCII as \x.. or \u...."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES).encode("ascii", "backslashreplace").decode("ascii")


def _of_header(handler: Served, key: str) -> str:
    environ = handler.environ
    value = environ.get(key) if environ else None
    return escape(value) if isinstance(value, str) and value else "-"


def _peer(handler: Served) -> str:
    address = handler.client_address
    host = address[0] if isinstance(address, tuple) and address else address
    return escape(host) if isinstance(host, str) and host else "-"


def _status(handler: Served) -> str:
    return f"{handler.code:03}" if handler.code else "000"


def _duration(handler: Served) -> float:
    return max(0.0, handler.time_finish - handler.time_start) if handler.time_finish else 0.0


#: The second for which a time was formatted last, and that text: once per second is often enough.
_last_common: tuple[int, str] = (-1, "")
_last_local: tuple[int, str] = (-1, "")


def _common_time(when: float) -> str:
    """[10/Oct/2000:13:55:36 -0700] as it is in access logs, whatever the locale."""
    global _last_common
    second = int(when)
    if _last_common[0] != second:
        now = time.localtime(second)
        text = time.strftime(f"%d/{_MONTHS[now.tm_mon - 1]}/%Y:%H:%M:%S %z", now)
        _last_common = (second, text)
    return _last_common[1]


def _local_time(when: float) -> str:
    global _last_local
    second = int(when)
    if _last_local[0] != second:
        _last_local = (second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)))
    return _last_local[1]


def timed(handler: Served) -> str:
    """Peer, time, request line, status, bytes of the body, seconds."""
    duration = f"{_duration(handler):.6f}" if handler.time_finish else "-"
    when = _local_time(handler.time_finish or time.time())
    line, length = escape(handler.requestline or ""), handler.response_length or "-"
    return f'{_peer(handler)} - - [{when}] "{line}" {_status(handler)} {length} {duration}'


def common(handler: Served) -> str:
    """The Common Log Format."""
    user = _of_header(handler, "REMOTE_USER")
    when = _common_time(handler.time_start or time.time())
    line = escape(handler.requestline or "-")
    return f'{_peer(handler)} - {user} [{when}] "{line}" {_status(handler)} {handler.response_length or "-"}'


def combined(handler: Served) -> str:
    """The same with the page that the client came from, and what it calls itself."""
    referer, agent = _of_header(handler, "HTTP_REFERER"), _of_header(handler, "HTTP_USER_AGENT")
    return f'{common(handler)} "{referer}" "{agent}"'


def as_json(handler: Served) -> str:
    """An object of JSON, in ASCII."""
    environ = handler.environ or {}
    return json.dumps(
        {
            "time": round(handler.time_start or time.time(), 6),
            "remote": _peer(handler),
            "user": environ.get("REMOTE_USER"),
            "method": handler.command,
            "target": handler.path,
            "protocol": handler.request_version,
            "status": handler.code or 0,
            "length": handler.response_length,
            "seconds": round(_duration(handler), 6),
            "host": environ.get("HTTP_HOST"),
            "referer": environ.get("HTTP_REFERER"),
            "agent": environ.get("HTTP_USER_AGENT"),
        },
        default=str,
    ).replace("\x7f", "\\u007f")


#: What `log_format` may be.
FORMATS: Final[dict[str, Callable[[Served], str]]] = {
    "timed": timed,
    "common": common,
    "combined": combined,
    "json": as_json,
}


class NoLog:
    """A log that keeps nothing."""

    def write(self, text: str) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def writelines(self, lines: Any) -> None:
        """Nothing."""


class LoggingLogAdapter:
    """Makes a file to write to of a logger of `logging`: what is written becomes a message of that level.

    Everything else, attributes to set included, is the logger's.
    """

    __slots__ = ("_level", "_logger")

    def __init__(self, logger: Any, level: int = 20) -> None:
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "_level", level)

    def write(self, msg: str) -> None:
        """Log it, without the line end."""
        self._logger.log(self._level, "%s", msg.rstrip("\n"))

    def flush(self) -> None:
        """Nothing: handlers of logs do that themselves."""

    def writelines(self, lines: Any) -> None:
        """Log each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LoggingLogAdapter.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._logger, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._logger, name)


def make_log(given: Any, level: int, default: Any) -> Any:
    """What an argument `log` means: 'default', None, something with write(), or a logger."""
    if isinstance(given, str):
        if given == "default":
            return default
        raise TypeError(f"a log: expected 'default', None, a file or a logger; found {given!r}")
    if given is None:
        return NoLog()
    if not hasattr(given, "write") and hasattr(given, "log"):
        return LoggingLogAdapter(given, level)
    return given
