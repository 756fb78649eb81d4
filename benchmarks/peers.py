"""Who is measured: implementations, and how each is driven.

A workload's script holds one body per style of programming (raw greenlets, cooperative greenlets,
coroutines, ...). A row says which style an implementation is driven with and which module the body
takes its functions from, so a new implementation is a row here and a new style is a body there.
"""

from dataclasses import dataclass

#: The implementation that has to meet the required ratios.
SUBJECT = "corolib"


@dataclass(frozen=True)
class Implementation:
    """What may be in a process that measures one implementation."""

    #: The distribution whose version is reported; empty: comes with Python; None: is a program of `tool`.
    distribution: str | None
    #: Top-level packages the process may import. Those of all other implementations are forbidden:
    #: one of them may change the process for its guest (an arena cache does).
    packages: frozenset[str] = frozenset()
    #: The program whose compiler's version is reported.
    tool: str = ""


IMPLEMENTATIONS = {
    "corolib": Implementation("corolib", frozenset({"corolib"})),
    "greenlet": Implementation("greenlet", frozenset({"greenlet"})),
    "gevent": Implementation("gevent", frozenset({"gevent", "greenlet"})),
    "gevent-ares": Implementation("gevent", frozenset({"gevent", "greenlet"})),
    "eventlet": Implementation("eventlet", frozenset({"eventlet", "greenlet", "asyncio"})),
    "stdlib": Implementation(""),
    "asyncio": Implementation("", frozenset({"asyncio"})),
    "asyncio-protocol": Implementation("", frozenset({"asyncio"})),
    "uvloop": Implementation("uvloop", frozenset({"uvloop", "asyncio"})),
    "uvloop-protocol": Implementation("uvloop", frozenset({"uvloop", "asyncio"})),
    "go": Implementation(None, tool="gopeer"),
    "c-epoll": Implementation(None, tool="epoll_echo"),
    "c-libev": Implementation(None, tool="libev_timers"),
    "bjoern": Implementation("bjoern", frozenset({"bjoern"})),
    "granian": Implementation("granian", frozenset({"granian", "asyncio", "uvloop"})),
    "uvicorn": Implementation("uvicorn", frozenset({"uvicorn", "asyncio", "uvloop"})),
}


@dataclass(frozen=True)
class Row:
    """How one implementation runs one workload."""

    style: str
    #: The module (or, for the style "program", the built program) that the style's body uses.
    source: str


RAW = {"corolib": Row("raw", "corolib._switch"), "greenlet": Row("raw", "greenlet")}
#: What any switch in a loop costs at the least: two calls of functions in C.
CALLS = {"stdlib": Row("calls", "collections")}
GREEN = {"corolib": Row("green", "corolib"), "gevent": Row("green", "gevent")}
EVENTLET = {"eventlet": Row("green", "eventlet")}
ARES = {"gevent-ares": Row("ares", "gevent")}
PLAIN = {"stdlib": Row("plain", "socket")}
FUTURES = {"stdlib": Row("futures", "concurrent.futures")}
COROUTINES = {"asyncio": Row("coroutine", "asyncio"), "uvloop": Row("coroutine", "uvloop")}
GO = {"go": Row("program", "gopeer")}
LIBEV = {"c-libev": Row("program", "libev_timers")}
ECHO = {
    "corolib": Row("green", "corolib"),
    "gevent": Row("green", "gevent"),
    "eventlet": Row("serve", "eventlet"),
    "asyncio": Row("streams", "asyncio"),
    "asyncio-protocol": Row("protocol", "asyncio"),
    "uvloop": Row("streams", "uvloop"),
    "uvloop-protocol": Row("protocol", "uvloop"),
    "go": Row("program", "gopeer"),
    "c-epoll": Row("program", "epoll_echo"),
}
#: Those in Python are functions of web_servers.py.
WEB = {
    name: Row("server", name) for name in ("corolib", "gevent", "eventlet", "bjoern", "granian", "uvicorn")
} | {"go": Row("program", "gopeer"), "c-epoll": Row("program", "epoll_echo")}
