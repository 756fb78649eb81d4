"""Where exceptions go that nobody catches: to the logger `corolib`, or to a stream if the hub was given one.

`logging` is imported when the first of them is reported, never before: the program may still want to patch
what it stands on. Until the program configures it, logging writes to sys.stderr.
"""

import sys
from types import TracebackType
from typing import Any, TextIO

__all__ = ["log", "message", "write"]

#: What the logger is called.
LOGGER = "corolib"


def message(context: str | None, source: object, type: type[BaseException]) -> str:
    """What failed with what, and where `source`, if it is a greenlet that knows, was spawned."""
    text = f"{context or 'something'} failed with {type.__name__}"
    site = getattr(source, "spawning_stack", None)
    if site is None:
        return text
    lines = []
    while site is not None:  # a chain of frames, or of what was kept of them, innermost first
        code = site.f_code
        lines.append(f'  File "{code.co_filename}", line {site.f_lineno}, in {code.co_name}')
        site = site.f_back
    return "\n".join([text, "Spawned at (most recent call last):", *reversed(lines)])


def write(
    stream: TextIO, text: str, type: type[BaseException], value: BaseException, tb: TracebackType | None
) -> None:
    """Traceback and text, in one piece whatever other threads write. Silent if the stream refuses."""
    import traceback  # only when something has failed: it brings a fifth of the time of start-up with it

    try:
        stream.write("".join(traceback.format_exception(type, value, tb)) + text + "\n\n")
    except (OSError, ValueError):
        pass  # a full disk, a closed stream: there is nobody left to tell


def log(text: str, type: type[BaseException], value: BaseException, tb: TracebackType | None) -> None:
    """An error in the log. Whatever goes wrong with that (a handler, a filter) is written to sys.stderr.

    Switches if a handler of the log does. Raises KeyboardInterrupt and SystemExit only.
    """
    try:
        _logger().error("%s", text, exc_info=(type, value, tb))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failed:  # the report must come out
        if sys.stderr is not None:
            write(sys.stderr, text, type, value, tb)
            write(sys.stderr, "the log failed as well", failed.__class__, failed, failed.__traceback__)


def warn(text: str) -> None:
    """A warning in the log."""
    _logger().warning("%s", text)


def _logger() -> Any:
    import logging  # see the head of this file

    return logging.getLogger(LOGGER)
