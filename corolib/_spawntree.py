"""Who spawned whom, and where: a few frames always, the rest with config.track_greenlet_tree."""

from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any
from weakref import ref as weakref

from ._switch import getcurrent

__all__ = ["SpawnSite", "chain", "note_spawn"]

#: How many frames of the spawner are remembered, unless the class of the greenlet says otherwise.
STACK_LIMIT = 10


class SpawnSite:
    """One frame of `spawning_stack`: where a greenlet was spawned, without keeping the frame alive."""

    __slots__ = ("f_back", "f_code", "f_lineno")

    def __init__(self, code: CodeType, line: int) -> None:
        self.f_code = code
        self.f_lineno = line
        self.f_back: SpawnSite | None = None


def chain(places: Iterable[tuple[CodeType, int]]) -> SpawnSite | None:
    """The innermost of these frames, from which the others are reached."""
    first: SpawnSite | None = None
    last: SpawnSite | None = None
    for code, line in places:
        site = SpawnSite(code, line)
        if last is None:
            first = site
        else:
            last.f_back = site
        last = site
    return first


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
    places: list[tuple[CodeType, int]] = []
    while frame is not None and len(places) < limit:
        places.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    made.spawning_stack = chain(places)
