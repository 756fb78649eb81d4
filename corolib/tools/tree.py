"""Who spawned whom: the greenlets of all threads as trees, with what each is doing; and the process at a
glance.

A greenlet stands below the one that spawned it, if `config.track_greenlet_tree` lets it remember that, and
below its parent otherwise. All greenlets are found by looking at every object there is, which takes a while
in a large program: for debugging.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, TextIO

from .. import _hub
from .._native import get_ident
from .._switch import getcurrent, greenlet
from .._waitgraph import Site, safe_repr, stack_lines, stack_of, what_it_waits_for
from ..local import local, values_of

__all__ = [
    "GreenletTree",
    "clear_stack_frames",
    "dump_stacks",
    "format_run_info",
    "print_run_info",
    "wrap_errors",
]

_Greenlet = greenlet

#: A tree is drawn no deeper than this; what is below stands in the last column, with its depth.
DEPTH = 30


class GreenletTree:
    """A greenlet, and below it those that it spawned. forest() and current_tree() make them.

    Attributes that are not listed here are those of the greenlet.
    """

    #: What format(True) shows. In a dict given as `details` what is missing is as it is here.
    DEFAULT_DETAILS: dict[str, Any] = {
        "running_stacks": True,
        "running_stack_limit": None,
        "spawning_stacks": True,
        "locals": True,
        "waits": True,
    }

    #: What the tree is of.
    greenlet: Any = None
    #: Whether the current greenlet is one of its tree. Of roots only.
    is_current_tree = False

    def __init__(self, greenlet: _Greenlet) -> None:
        self.greenlet = greenlet
        self.child_trees: list[GreenletTree] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {safe_repr(self.greenlet)}, {len(self.child_trees)} below it>"

    def __getattr__(self, name: str) -> Any:
        if name == "child_trees":  # before __init__, as in a copy
            raise AttributeError(name)
        return getattr(self.greenlet, name)

    def add_child(self, tree: "GreenletTree") -> None:
        """Put a tree below this one; nothing if it is this one."""
        if tree is not self:
            self.child_trees.append(tree)

    @property
    def root(self) -> bool:
        """Whether it stands at the top: the main greenlet of a thread."""
        root: bool = self.greenlet.parent is None
        return root

    # -- drawing ---------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.format(False)

    def format(self, details: bool | dict[str, Any] = True) -> str:
        """The drawing as one text; see format_lines()."""
        return "\n".join(self.format_lines(details))

    def format_lines(self, details: bool | dict[str, Any] = True) -> list[str]:
        """The drawing. `details`: what is told of each greenlet; true: DEFAULT_DETAILS, false: nothing, a
        dict: some of these.
        """
        shown = {**self.DEFAULT_DETAILS, **details} if isinstance(details, dict) else self.DEFAULT_DETAILS
        if not details:
            return list(self._draw({}, ()))
        storages = [each for each in gc.get_objects() if issubclass(type(each), local)]
        return list(self._draw(shown, storages if shown["locals"] else ()))

    def _draw(self, details: dict[str, Any], storages: Sequence[local]) -> Iterator[str]:
        # A stack of its own: who spawns whom may go deeper than Python can.
        left: list[tuple[GreenletTree, int]] = [(self, 0)]
        drawn: set[int] = set()
        while left:
            tree, depth = left.pop()
            if id(tree) in drawn:
                continue  # its parent was set so that they stand in a circle
            drawn.add(id(tree))
            bars = " |   " * min(depth - 1, DEPTH)
            mark = f"({depth}) " if depth > DEPTH else ""
            yield f"{bars} +--- {mark}{tree._headline()}" if depth else tree._headline()
            inner = bars + " |   " if depth else ""
            for line in tree._details(details, storages) if details else ():
                yield f"{inner} :    {line}"
            left += ((child, depth + 1) for child in reversed(tree.child_trees))

    def _headline(self) -> str:
        target = self.greenlet
        text = safe_repr(target)
        if target is getcurrent():
            text += "; current"
        return f"{text}; finished" if target.dead else text

    def _details(self, details: dict[str, Any], storages: Sequence[local]) -> Iterator[str]:
        target = self.greenlet
        yield f"Parent: {safe_repr(target.parent)}"
        if details["waits"]:
            wait = what_it_waits_for(target)
            if wait:
                yield f"Waits for: {wait}"
        frame: FrameType | None = None
        if details["running_stacks"]:
            frame = sys._getframe() if target is getcurrent() else target.gr_frame
        if frame is not None:
            yield "Running:"
            yield from stack_lines(stack_of(frame), details["running_stack_limit"])
        spawned: tuple[Site, ...] = ()
        if details["spawning_stacks"]:
            spawned = stack_of(getattr(target, "spawning_stack", None))
        if spawned:
            yield "Spawned at:"
            yield from stack_lines(spawned)
        if details["locals"]:
            shared = getattr(target, "spawn_tree_locals", None)
            if shared:
                yield "Spawn Tree Locals:"
                yield f"  {safe_repr(shared)}"
            heading = "Greenlet Locals:"
            for storage in storages:
                values = values_of(storage, target)
                if values:
                    yield from (heading,) if heading else ()
                    heading = ""
                    yield f"  {type(storage).__name__} at {id(storage):#x}"
                    yield f"    {safe_repr(values)}"

    # -- finding ---------------------------------------------------------------------------------------------

    @classmethod
    def forest(cls) -> list["GreenletTree"]:
        """A tree for each thread that has greenlets, the current one first."""
        trees = {each: cls(each) for each in _all_greenlets()}
        roots: list[GreenletTree] = []
        mine = _root_of(getcurrent())
        for each, tree in trees.items():
            above = _above(each)
            if above is None or above is each:
                tree.is_current_tree = each is mine
                roots.append(tree)
            else:
                trees[above].add_child(tree)
        roots.sort(key=lambda tree: not tree.is_current_tree)
        return roots

    @classmethod
    def current_tree(cls) -> "GreenletTree":
        """The tree of this thread."""
        return cls.forest()[0]


def _all_greenlets() -> dict[greenlet, None]:
    """Each greenlet that runs or may run, with all above it, which may be over; in the order of their making,
    as far as that can be told.
    """
    found: dict[greenlet, None] = {}
    living = (each for each in gc.get_objects() if isinstance(each, greenlet) and not _over(each))
    for each in (getcurrent(), *living):
        step: greenlet | None = each
        while step is not None and step not in found:
            found[step] = None
            step = _above(step)
    return found


def _over(each: greenlet) -> bool:
    return each.dead or (isinstance(each, _hub.Hub) and each.destroyed)


def _above(each: greenlet) -> greenlet | None:
    """Who spawned it, or else its parent."""
    spawner = getattr(each, "spawning_greenlet", None)
    above: greenlet | None = spawner() if spawner is not None else None
    return above if above is not None else each.parent


def _root_of(each: greenlet) -> greenlet:
    while each.parent is not None:
        each = each.parent
    return each


# -- the process at a glance ---------------------------------------------------------------------------------


def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    current_thread_ident: int | None = None,
) -> list[str]:
    """Lines that tell what all threads and greenlets are doing, with their stacks or without. Any thread.

    `limit`: so many innermost lines of each stack. `current_thread_ident`: the thread that is marked as the
    current one, unless it is the caller's.
    """
    lines: list[str] = []
    _format_threads(lines, thread_stacks, limit, current_thread_ident or get_ident())
    _headline(lines, "Greenlets")
    details = {"running_stacks": greenlet_stacks, "running_stack_limit": limit}
    for tree in GreenletTree.forest():
        lines.append("---- Thread boundary")
        lines += tree.format_lines(details)
    return lines


dump_stacks = format_run_info


def print_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    file: TextIO | None = None,
) -> None:
    """Write format_run_info() to `file`: standard error unless given."""
    lines = format_run_info(thread_stacks, greenlet_stacks, limit)
    print("\n".join(lines), file=file if file is not None else sys.stderr)


def _headline(lines: list[str], text: str) -> None:
    lines += ["*" * 80, f"* {text}", "*" * 80]


def _format_threads(lines: list[str], stacks: bool, limit: int | None, current: int) -> None:
    _headline(lines, "Threads")
    # Its table as it is: enumerate() takes a lock, for which it might have to wait.
    table = dict(getattr(sys.modules.get("threading"), "_active", {}))
    for ident, frame in sys._current_frames().items():
        name = f" ({table[ident].name})" if ident in table else ""
        lines.append(f"Thread {ident:#x}{name}{' (CURRENT)' if ident == current else ''}")
        if stacks:
            lines += [*stack_lines(stack_of(frame), limit), ""]


# -- helpers -------------------------------------------------------------------------------------------------


class wrap_errors:
    """A callable that calls `func`, and returns those exceptions it raises that are `errors`, a class or a
    tuple of them. Its attributes are those of `func`.
    """

    __slots__ = ("_errors", "_func")

    def __init__(
        self,
        errors: type[BaseException] | tuple[type[BaseException], ...],
        func: Callable[..., Any],
    ) -> None:
        self._errors = errors
        self._func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._func(*args, **kwargs)
        except self._errors as error:
            return error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._func, name)

    def __repr__(self) -> str:
        return repr(self._func)

    __str__ = __repr__


def clear_stack_frames(frame: FrameType | None) -> None:
    """Drop the local variables of a frame and of those that called it, as far as they are over: what runs or
    is suspended keeps them.
    """
    while frame is not None:
        try:
            frame.clear()
        except RuntimeError:
            pass  # it runs
        frame = frame.f_back
