"""Who spawned whom, and where: what a greenlet remembers with config.track_greenlet_tree."""

from types import FrameType
from typing import Any
from weakref import ref as weakref

from ._switch import getcurrent

__all__ = ["SpawnSite", "note_spawn"]

#: How many frames of the spawner are remembered, unless the class of the greenlet says otherwise.
STACK_LIMIT = 10


class SpawnSite:
    """One frame of `spawning_stack`: where a greenlet was spawned, without keeping the frame alive."""

    __slots__ = ("f_back", "f_code", "f_lineno")

    def __init__(self, frame: FrameType) -> None:
        self.f_code = frame.f_code
        self.f_lineno = frame.f_lineno
        self.f_back: SpawnSite | None = None


def note_spawn(made: Any, frame: FrameType | None, limit: int = STACK_LIMIT) -> None:
    """Let a greenlet remember that the current one spawns it, in `frame`: `spawning_greenlet` (a weak
    reference), `spawning_stack`, and `spawn_tree_locals`, a dict shared by all that descend from one child of
    the main greenlet.
    """
    spawner = getcurrent()
    made.spawning_greenlet = weakref(spawner)
    tree = getattr(spawner, "spawn_tree_locals", None)
    if tree is None:
        tree = {}
        if spawner.parent is not None:  # each child of the main greenlet begins a tree of its own
            spawner.__dict__["spawn_tree_locals"] = tree
    made.spawn_tree_locals = tree
    last: SpawnSite | None = None
    for _ in range(limit):
        if frame is None:
            break
        site = SpawnSite(frame)
        if last is None:
            made.spawning_stack = site
        else:
            last.f_back = site
        last, frame = site, frame.f_back
