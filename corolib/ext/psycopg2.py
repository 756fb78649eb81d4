"""psycopg2 under patching: it waits in C, where no patching reaches, but lets a callback do it.

    from corolib import monkey
    monkey.patch_all()
    from corolib.ext.psycopg2 import install
    install()

From then on every connection that is made waits in its greenlet. What psycopg2 itself says of such
connections holds: COPY and large objects are refused, one greenlet at a time may use a connection, and one
whose wait is cut off (by a Timeout, by kill()) is closed, since nobody knows how far it got.
"""

from typing import Any, Protocol

from ..socket import wait_read, wait_write

__all__ = ["install", "uninstall", "wait_callback"]


class _Connection(Protocol):
    def poll(self) -> int: ...

    def fileno(self) -> int: ...


def _psycopg2() -> Any:
    # Late: only those who use it have it.
    import psycopg2.extensions

    return psycopg2


def wait_callback(connection: _Connection) -> None:
    """Wait until a connection has done what it is at: for psycopg2.extensions.set_wait_callback().

    Switches to the hub. Raises what the connection's poll() raises, or psycopg2.OperationalError if that
    returns something unknown.
    """
    package = _psycopg2()
    extensions = package.extensions
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        if state == extensions.POLL_READ:
            wait_read(connection.fileno())
        elif state == extensions.POLL_WRITE:
            wait_write(connection.fileno())
        else:
            raise package.OperationalError(f"expected a state to wait for from poll(), found {state!r}")


def install() -> None:
    """Have all connections of psycopg2 that are made from now on wait in their greenlets.

    ImportError without psycopg2.
    """
    _psycopg2().extensions.set_wait_callback(wait_callback)


def uninstall() -> None:
    """Take that back: connections block their thread, as they come from psycopg2."""
    _psycopg2().extensions.set_wait_callback(None)
