"""The `selectors` module, with selectors that let other greenlets run while they wait."""

import os
import selectors as _selectors
from select import POLLIN, POLLOUT
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import Any

from . import select as _select
from ._hub import instances
from ._native import original

_native_epoll: Any = original("select", "epoll")
_native_poll: Any = type(original("select", "poll")())

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


def make_classes_cooperative() -> None:
    """Called when `selectors` is patched.

    Its classes took their system calls from `select` when it was imported. Others have taken these classes in
    turn (socketserver has PollSelector, subprocess too), so they stay and are given the cooperative calls.
    """
    _selectors.SelectSelector._select = staticmethod(_select.select)  # type: ignore[attr-defined]  # private
    _selectors.PollSelector._selector_cls = _select.poll  # type: ignore[attr-defined]  # private
    _selectors.EpollSelector._selector_cls = _select.epoll  # type: ignore[attr-defined]  # private


def make_existing_cooperative() -> None:
    """Give selectors that exist the cooperative calls: a loop of asyncio may be running."""
    kinds: list[type] = [_selectors.EpollSelector, _selectors.PollSelector]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for each in instances(kinds):
        if each.get_map() is None:  # it is closed
            continue
        plain = type(getattr(each, "_selector", None))
        if plain is _native_epoll:
            # The same set of descriptors under another number: the old one goes with its object.
            each._selector = _select.epoll.fromfd(os.dup(each._selector.fileno()))
        elif plain is _native_poll:
            each._selector = _select.poll()
            for key in each.get_map().values():
                mask = POLLIN * bool(key.events & EVENT_READ) | POLLOUT * bool(key.events & EVENT_WRITE)
                each._selector.register(key.fd, mask)
