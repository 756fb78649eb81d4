"""The resolver for finding faults: nothing of ours is between the program and the C library."""

import _socket
from typing import Any

from .base import Resolver

__all__ = ["BlockingResolver"]


class BlockingResolver(Resolver):
    """The C library's functions, called here and now: blocks the whole thread. For finding faults."""

    def _ask(self, function: str, *args: Any) -> Any:
        return getattr(_socket, function)(*args)
