"""Every exception class that corolib raises and the standard library does not have.

What stands in for a standard function raises what that function raises (`TimeoutError`, `OSError`,
`ValueError`...). The classes here say what can only go wrong with greenlets and loops. The C half of the hub
takes some of them when it is imported.
"""

from typing import TYPE_CHECKING

from ._switch import GreenletExit

if TYPE_CHECKING:
    # Up the ladder, for the type alone.
    from ._waitgraph import WaitGraph

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "HubDestroyed",
    "InvalidSwitchError",
    "InvalidThreadUseError",
    "LoopExit",
]


class LoopExit(Exception):
    """Nothing can ever wake anybody: the main greenlet waits and there is no event left that could end a
    wait.

    Raised in the main greenlet. Its text names the circles, and the greenlets that wait: what for, how long
    already, who could end it, where. `hub` is the hub that ran dry, `waiting` the entries of the text,
    `args` begins with a sentence and those two; `graph` is the waits themselves: what
    `corolib.util.waiting()` gives (None if nobody but hub.join() waited).
    """

    def __init__(
        self,
        message: object = "",
        hub: object = None,
        waiting: tuple[str, ...] = (),
        graph: "WaitGraph | None" = None,
    ) -> None:
        if hub is None:
            super().__init__(message)
        else:
            super().__init__(message, hub, waiting)
        self.hub = hub
        self.waiting = waiting
        self.graph = graph

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        entries = ("    " + entry.replace("\n", "\n    ") for entry in self.waiting)
        return "\n".join([message, *entries])


class BlockingSwitchOutError(AssertionError):
    """The hub itself was to wait: a callback of the loop called something that blocks. Spawn a greenlet
    there.
    """


class InvalidSwitchError(AssertionError):
    """A waiting greenlet was resumed by something other than what it waits for."""


class ConcurrentObjectUseError(AssertionError):
    """A second greenlet wants to wait where only one can, such as for the same direction of one socket."""


class InvalidThreadUseError(RuntimeError):
    """An object that belongs to the hub of one thread was used from another one."""


class HubDestroyed(GreenletExit):
    """Ends a hub that is destroyed; `destroy_loop` says whether its loop goes with it.

    Seen only by a callback of the loop that was left by hand, with another greenlet's switch(): it ends
    there, as any greenlet that is killed.
    """

    def __init__(self, destroy_loop: bool = True) -> None:
        super().__init__(destroy_loop)
        self.destroy_loop = destroy_loop
