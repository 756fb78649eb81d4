"""Names by the C library's own functions, each call in a thread of the hub's pool: the default."""

import _socket
from typing import Any

from ..hub import get_hub
from .base import Resolver

__all__ = ["ThreadResolver"]


class ThreadResolver(Resolver):
    """What the hosts file does not know is asked in a native thread, while other greenlets run.

    A look-up that nobody waits for any more (its greenlet was killed, or a timeout struck) ends in its thread
    unheard; the C library cannot be interrupted.
    """

    def _ask(self, function: str, *args: Any) -> Any:
        # Late: many a program never has to ask anybody, and then needs no pool.
        from ..threadpool import ThreadPool

        pool: ThreadPool = get_hub().threadpool
        return pool.apply(getattr(_socket, function), args)
