"""Names by the C library's own functions, each call in a thread of the hub's pool: the default."""

import _socket
from typing import Any

from ..threadpool import ThreadPool
from .base import Resolver
from .hosts import HostsFile

__all__ = ["ThreadResolver"]


class ThreadResolver(Resolver):
    """What the hosts file does not know is asked in a native thread, while other greenlets run.

    A look-up that nobody waits for any more (its greenlet was killed, or a timeout struck) ends in its thread
    unheard; the C library cannot be interrupted.
    """

    def __init__(self, pool: ThreadPool, hosts: HostsFile | None = None) -> None:
        super().__init__(hosts)
        self._pool = pool

    def _ask(self, function: str, *args: Any) -> Any:
        return self._pool.apply(getattr(_socket, function), args)
