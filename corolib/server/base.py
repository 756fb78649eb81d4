"""BaseServer: what every server is made of. It accepts, spawns, limits, backs off, stops and drains.

One greenlet per listening socket, the acceptor, reads the next piece of work (a connection, a datagram) and
has it handled in a greenlet of its own. It is an ordinary greenlet: it may wait anywhere, so a pool that is
full or a handler that runs in its place just make it wait.

The states:

    closed --start()--> started --stop(), drain()--> closed
                            | stop_accepting() / start_accepting()
                            +--> started, and not accepting

Stopping an acceptor must not lose what it has accepted already. So it is killed only while it rests: while it
waits for something to come. Anywhere else it finds out by itself that it is no longer one of the acceptors.
"""

import errno
from _socket import AF_UNIX
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

from .._hub import WaitList
from .._reports import warn
from .._switch import getcurrent, greenlet
from ..event import Event
from ..greenlet import Greenlet
from ..hub import HubLoop, get_hub, sleep, spawn_raw
from ..hub import kill as kill_any
from ..pool import Group, Pool
from ..socket import socket
from ..timeout import Timeout
from .listeners import Adopted, parse_address, remove_unix_path, unix_identity

__all__ = ["BaseServer"]

#: Errors of accept() that are about one connection which is gone by now: the firewall refused it, the peer
#: took it back, or the network under it is down (Linux hands these on). The next one may be fine.
ABOUT_ONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNRESET", "ECONNREFUSED", "EPERM", "EPROTO", "ETIMEDOUT", "EINTR"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET", "ENOPROTOOPT", "EOPNOTSUPP"),
    )
    if hasattr(errno, name)
)
#: So many of those in a row are taken for bad luck; then they are backed off from as well, for no error may
#: make a server spin.
BAD_LUCK = 10

#: After kill() at the end of stop(): seconds to clean up, as long as there is anybody who listens to that.
KILL_PATIENCE = 1.0


class _Acceptor(Greenlet[None]):
    """Reads from one listening socket. Nobody but its server touches it."""

    def __init__(self, server: "BaseServer", listener: Any, predecessors: Iterable["_Acceptor"]) -> None:
        super().__init__(server._accept_from, self, listener)
        #: Those that may still be in the middle of something on the same socket.
        self.predecessors = tuple(predecessors)
        #: It holds nothing that would be lost if it were killed.
        self.resting = True


class BaseServer:
    """A server of one's own: a subclass says with do_read() what the next piece of work is, and init_socket()
    makes the socket if none is given.

    `listener` is an address, as `corolib.server.listeners` shows them, a socket that is bound already, or a
    list of those. `handle` is called with what do_read() has returned; a subclass may have a method of this
    name instead. `spawn` says where:

    - 'default': each in a Greenlet of its own, as many as come;
    - a number, or a Pool: at most so many at once; while all are busy nothing is accepted;
    - 'raw': each in a raw greenlet: lighter, cannot be joined;
    - a function: called with the function to run and its arguments;
    - None: in the greenlet that accepts, one after the other.

    Used as a context manager it is stopped at the end of the block. What a handler raises is reported by the
    hub and concerns nobody else.
    """

    #: Seconds to wait after an error of accept() before the next try; doubled at each one in a row.
    min_delay: float = 0.01
    max_delay: float = 1.0
    #: So much is accepted in one go, then the other greenlets have their turn. 1 where several processes
    #: share the socket, so that none takes all.
    max_accept: int = 100
    #: Seconds that stop() gives to what runs in the pool.
    stop_timeout: float | None = 1
    #: Errors after which the socket is of no use: the server closes.
    fatal_errors: tuple[int, ...] = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)

    #: What is called in a new greenlet; see `spawn`.
    _spawn: Callable[..., object] | None
    _handle: Callable[..., object]

    def __init__(
        self, listener: Any, handle: Callable[..., object] | None = None, spawn: Any = "default"
    ) -> None:
        self._stop_event = Event()
        self._stop_event.set()
        self._acceptors: tuple[_Acceptor, ...] = ()
        #: Acceptors that were told to stop.
        self._retired: list[_Acceptor] = []
        #: The greenlets in which something is handled.
        self._running: set[greenlet] = set()
        #: Who waits for handlers to be over.
        self._over = WaitList(self)
        #: Listening sockets beside `socket`, if there are several.
        self._more: list[Any] = []
        self._unix: list[tuple[Any, tuple[int, int] | None]] = []
        #: True once drain() was called.
        self.draining = False
        self.pool: Any = None
        self.set_listener(listener)
        self.set_spawn(spawn)
        self.set_handle(handle)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._formatinfo()}>"

    def _formatinfo(self) -> str:
        handle = getattr(self, "_handle", None)
        name = getattr(handle, "__qualname__", None) or repr(handle)
        state = "draining" if self.draining else "started" if self.started else "closed"
        return f"{state} address={getattr(self, 'address', None)!r} handle={name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- what it is made of ----------------------------------------------------------------------------------

    def set_listener(self, listener: Any) -> None:
        """Set what to listen on; see the class. TypeError and ValueError say what is wrong with it."""
        given = listener if isinstance(listener, list) else [listener]
        if not given:
            raise ValueError("expected at least one address or socket to listen on, found none")
        #: For each listener its family, its address, and its socket if it was given as one.
        self._listeners = [self._listener(each) for each in given]
        self.family, self.address, first = self._listeners[0]
        if first is not None:
            self.socket = first

    def _listener(self, given: Any) -> tuple[int, Any, Any]:
        if not hasattr(given, "accept"):
            return *parse_address(given), None
        if hasattr(given, "do_handshake"):
            raise TypeError(f"expected a plain socket, found a TLS one: {given!r}; see ssl_context")
        if not isinstance(given, socket):
            given = Adopted(given)
        return given.family, given.getsockname(), given

    def set_spawn(self, spawn: Any) -> None:
        """Set where handlers run; see the class."""
        self.pool = None
        if spawn == "default":
            self._spawn = Greenlet.spawn
        elif spawn == "raw":
            self._spawn = spawn_raw
        elif isinstance(spawn, int) and not isinstance(spawn, bool):
            self.pool = Pool(spawn)
            self._spawn = self.pool.spawn
        elif hasattr(spawn, "spawn"):
            self.pool = spawn
            self._spawn = spawn.spawn
        elif spawn is None or callable(spawn):
            self._spawn = spawn
        else:
            raise TypeError(
                f"spawn: expected 'default', 'raw', a number, a pool, a function or None; found {spawn!r}"
            )

    def set_handle(self, handle: Callable[..., object] | None) -> None:
        """Set what is called with each connection; the method `handle`, if None."""
        if handle is not None:
            self.handle = handle
        found = getattr(self, "handle", None)
        if not callable(found):
            raise TypeError(f"expected a handler to call: an argument or a method `handle`; found {found!r}")
        self._handle = found

    @property
    def loop(self) -> HubLoop:
        """The loop of this thread's hub."""
        return get_hub().loop

    @property
    def started(self) -> bool:
        """From start() to stop()."""
        return not self._stop_event.is_set()

    @property
    def closed(self) -> bool:
        """Whether there is no socket: not started yet, and none given; or stopped."""
        return not hasattr(self, "socket")

    @property
    def sockets(self) -> list[Any]:
        """The listening sockets that are open."""
        return [] if self.closed else [self.socket, *self._more]

    @property
    def addresses(self) -> list[Any]:
        """The address of each listener, as bound once it is started."""
        return [address for _, address, _ in self._listeners]

    @property
    def server_host(self) -> str | None:
        """The host of `address`; None if it has none."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self) -> int | None:
        """The port of `address`; None if it has none."""
        return self.address[1] if isinstance(self.address, tuple) else None

    # -- starting and stopping -------------------------------------------------------------------------------

    def pre_start(self) -> None:
        """Called by start() before anything is accepted: makes the sockets."""
        self.init_socket()

    def init_socket(self) -> None:
        """Make the sockets that were not given, with make_socket(), and make all of them ready."""
        made: list[Any] = []
        listeners: list[tuple[int, Any, Any]] = []
        try:
            for family, address, given in self._listeners:
                if given is None:
                    made.append(listener := self.make_socket(family, address))
                else:
                    listener = given
                self.prepare_socket(listener)
                listener.settimeout(None)  # whoever accepts waits as long as it takes
                listeners.append((listener.family, listener.getsockname(), listener))
        except BaseException:
            for each in made:
                each.close()
            raise
        self._listeners = listeners
        (self.family, self.address, self.socket), *others = listeners
        self._more = [each for _, _, each in others]
        # The file of a UNIX socket goes with the server that has made it.
        self._unix = [
            (each.getsockname(), unix_identity(each.getsockname())) for each in made if each.family == AF_UNIX
        ]

    def make_socket(self, family: int, address: Any) -> Any:
        """A socket bound to the address. For subclasses."""
        raise NotImplementedError(f"{type(self).__name__} makes no sockets: give it one")

    def prepare_socket(self, listener: Any) -> None:
        """Called with each socket, given or made, before it is used. For subclasses."""

    def start(self) -> None:
        """Bind the addresses and begin to accept. Returns at once; switches only to look up a name.

        OSError if an address cannot be had. Nothing if it is started already.
        """
        if self.started:
            return
        # What reports of errors need: when they are due there may be no descriptor left to read a file with.
        import logging  # noqa: F401
        import traceback  # noqa: F401

        self.draining = False
        try:
            self.pre_start()
            self._stop_event.clear()
            self.start_accepting()
        except BaseException:
            self.close()
            raise

    def start_accepting(self) -> None:
        """Go on accepting after stop_accepting(); nothing if it does already. Never switches."""
        if self._acceptors or self.closed:
            return
        self._retired = [each for each in self._retired if not each.dead]
        self._acceptors = tuple(_Acceptor(self, each, self._retired) for each in self.sockets)
        for each in self._acceptors:
            each.start()

    def stop_accepting(self) -> None:
        """Leave what comes in the queue of the system. Nothing that was accepted is lost. Never switches."""
        acceptors, self._acceptors = self._acceptors, ()
        self._retired += acceptors
        for each in acceptors:
            if each.resting and each is not getcurrent():
                each.kill(block=False)

    def close(self) -> None:
        """Close the listening sockets; what is being handled goes on. Never switches."""
        self.stop_accepting()
        sockets = [*self.sockets, *(given for _, _, given in self._listeners if given is not None)]
        self.__dict__.pop("socket", None)
        self._more = []
        # Started again, it binds the same addresses.
        self._listeners = [(family, address, None) for family, address, _ in self._listeners]
        unix, self._unix = self._unix, []
        for path, identity in unix:
            remove_unix_path(path, identity)
        for each in sockets:
            each.close()  # one may be here twice: that closes it once
        self._stop_event.set()

    def stop(self, timeout: float | None = None) -> None:
        """Close; give what runs in the pool `timeout` seconds to end (None: `stop_timeout`), then kill it.
        Switches.

        Without a pool what runs is left alone; see drain(). Native threads cannot be killed.
        """
        self.close()
        if timeout is None:
            timeout = self.stop_timeout
        pool = self.pool
        if pool is None:
            return
        sleep(0)  # what has been accepted begins, so that it can close its connection whatever happens
        if isinstance(pool, Group):
            pool.join(timeout=timeout)
            pool.kill(block=True, timeout=KILL_PATIENCE)
        else:
            self._wait_for_handlers(timeout)

    def drain(self, deadline: float | None = None) -> int:
        """Stop in order: close, let everything that runs end, and kill what still runs after `deadline`
        seconds (None: wait as long as it takes). Switches. How many were killed.
        """
        self.draining = True
        self.close()
        sleep(0)  # what has been accepted begins
        self.drain_started()
        others = self._wait_for_handlers(deadline)
        for each in others:
            kill_any(each)
        with Timeout(KILL_PATIENCE, False):
            while self._running & others:
                self._over.wait()
        return len(others)

    def drain_started(self) -> None:
        """Called by drain() once nothing is accepted any more. For subclasses: end what is merely idle."""

    def _wait_for_handlers(self, timeout: float | None) -> set[greenlet]:
        """Until no handler runs but the caller, `timeout` seconds at most: those that do."""
        until = None if timeout is None else get_hub().now() + timeout
        while others := self._running - {getcurrent()}:
            left = None if until is None else until - get_hub().now()
            if left is not None and left <= 0:
                return others
            self._over.wait(left)
        return set()

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """start(), and stop(stop_timeout), which is in seconds, once somebody stops it, or kills the caller.
        Switches.
        """
        self.start()
        try:
            self._stop_event.wait()
        finally:
            # In a greenlet of its own: whatever ended the wait may have killed this one.
            Greenlet.spawn(self.stop, timeout=stop_timeout).join()

    # -- accepting -------------------------------------------------------------------------------------------

    def do_read(self) -> Any:
        """Wait for the next piece of work: the arguments of the handler; something false if there was none
        after all. Runs in the acceptor, and may switch.

        With several listeners it is called with the one to read from.
        """
        raise NotImplementedError(f"{type(self).__name__} has no do_read()")

    def do_handle(self, *args: Any) -> None:
        """Have a piece of work handled, where `spawn` says. Whatever fails here, it is closed."""
        try:
            if self._spawn is None:
                self._runner(self, *args)
            else:
                self._spawn(self._runner, self, *args)
        except BaseException:
            self.do_close(*args)
            raise

    @staticmethod
    def _runner(server: "BaseServer", *args: Any) -> None:
        """What runs in the greenlet: the handler, and the end. A static method, since each greenlet would
        have a bound one of its own.
        """
        me = getcurrent()
        server._running.add(me)
        try:
            server._handle(*args)
        finally:
            server._running.discard(me)
            if server._over:
                server._over.wake_all()
            server.do_close(*args)

    def do_close(self, *args: Any) -> None:
        """Called with the handler's arguments when it is over. For subclasses."""

    def full(self) -> bool:
        """Whether nothing is to be accepted for now. A subclass may have reasons of its own: it is asked
        again every `max_delay` seconds at most.
        """
        if self.pool is None:
            return False
        full = getattr(self.pool, "full", None)
        return full is not None and bool(full())

    def is_fatal_error(self, error: BaseException) -> bool:
        """Whether the server must end after this error of do_read()."""
        return isinstance(error, OSError) and error.errno in self.fatal_errors

    def _accept_from(self, me: _Acceptor, listener: Any) -> None:
        for each in me.predecessors:
            each.join()
        me.predecessors = ()
        sole = not self._more
        count = failures = 0
        delay = self.min_delay
        while me in self._acceptors:
            if self.full():
                self._wait_for_room()
                continue
            try:
                args = self.do_read() if sole else self.do_read(listener)  # type: ignore[call-arg]  # see do_read()
            except Exception as error:
                if me not in self._acceptors:
                    return  # closed
                failures += 1
                if self.is_fatal_error(error):
                    self._report(error)
                    self.close()
                    return
                if self._is_about_one(error) and failures <= BAD_LUCK:
                    continue
                self._read_failed(error, delay, failures)
                sleep(delay)
                delay = min(self.max_delay, delay * 2)
                continue
            failures, delay = 0, self.min_delay
            if not args:
                # A do_read() that does not wait.
                listener.wait_read()
                continue
            count += 1
            me.resting = False
            try:
                self.do_handle(*args)
            except Exception as error:
                self._report(error, args[1:])
                me.resting = True
                sleep(delay)
            me.resting = True
            if count >= self.max_accept:
                count = 0
                sleep(0)

    def _wait_for_room(self) -> None:
        pool_full = getattr(self.pool, "full", None)
        wait_available = getattr(self.pool, "wait_available", None)
        if wait_available is not None and pool_full is not None and pool_full():
            wait_available()
            return
        delay = self.min_delay
        while self.full():
            sleep(delay)
            delay = min(self.max_delay, delay * 2)

    def _is_about_one(self, error: Exception) -> bool:
        return isinstance(error, OSError) and error.errno in ABOUT_ONE

    def _read_failed(self, error: Exception, delay: float, failures: int) -> None:
        """Says so once per row of failures: a server without descriptors has enough to do."""
        if not isinstance(error, OSError):
            self._report(error)
        elif failures in (1, BAD_LUCK + 1):
            warn(f"{self!r} cannot accept: {error}. Trying again, every {self.max_delay:g} s in the end.")

    def _report(self, error: Exception, context: Any = None) -> None:
        get_hub().handle_error(context or self, type(error), error, error.__traceback__)
