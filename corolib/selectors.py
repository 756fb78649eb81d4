"""The `selectors` module, with selectors that let other greenlets run while they wait."""

import selectors as _selectors
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey

from . import select as _select

__implements__ = ("DefaultSelector",)
__all__ = [
    "EVENT_READ",
    "EVENT_WRITE",
    "BaseSelector",
    "DefaultSelector",
    "EpollSelector",
    "PollSelector",
    "SelectSelector",
    "SelectorKey",
]


class SelectSelector(_selectors.SelectSelector):
    """A selector on corolib.select.select()."""

    _select = staticmethod(_select.select)


class PollSelector(_selectors.PollSelector):
    """A selector on corolib.select.poll()."""

    _selector_cls = _select.poll


class EpollSelector(_selectors.EpollSelector):
    """A selector on corolib.select.epoll(): what is registered stays with the kernel between calls."""

    _selector_cls = _select.epoll


class DefaultSelector(EpollSelector):
    """The best selector there is.

    select() always switches to the hub, even if something is ready or timeout is 0.
    """


def make_existing_cooperative() -> None:
    """Called when `selectors` is patched.

    Its classes took their system calls from `select` when it was imported.

    Others have taken these classes in turn (socketserver has PollSelector, subprocess too), so the classes
    stay and are given the cooperative calls.
    """
    _selectors.SelectSelector._select = staticmethod(_select.select)  # type: ignore[attr-defined]  # private
    _selectors.PollSelector._selector_cls = _select.poll  # type: ignore[attr-defined]  # private
    _selectors.EpollSelector._selector_cls = _select.epoll  # type: ignore[attr-defined]  # private
