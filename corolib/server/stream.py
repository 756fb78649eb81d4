"""StreamServer: connections over TCP, UNIX sockets and TLS.

A TLS handshake takes as long as the peer likes. So it is done in the greenlet of the connection, never in the
one that accepts, and has a deadline.
"""

from _socket import SO_ACCEPTCONN, SOL_SOCKET
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._switch import getcurrent
from ..socket import socket
from .base import BaseServer
from .listeners import bound_socket, parse_address
from .peers import Peers

if TYPE_CHECKING:
    import ssl as stdlib

__all__ = ["StreamServer"]

#: What is an argument of a context here, and was one of ssl.wrap_socket().
_CONTEXT_ARGS = ("keyfile", "certfile", "cert_reqs", "ssl_version", "ca_certs", "ciphers")


class StreamServer(BaseServer):
    """Calls `handle(socket, address)` in a greenlet of its own for each connection, and closes the socket
    when that returns.

    `listener` and `spawn` as in BaseServer. `backlog` is how many connections the system keeps that are not
    accepted yet. With `reuse_port` several processes may bind the same port, and the system shares the
    connections out.

    `ssl_context` makes it a TLS server; so does `certfile` (with `keyfile`, `ca_certs`, `cert_reqs`,
    `ciphers`), for which a context is made. `do_handshake_on_connect` and `suppress_ragged_eofs` are as in
    SSLContext.wrap_socket(). A handshake that is not done after `handshake_timeout` seconds is given up, one
    that fails is dropped quietly.

    `max_per_address`, if it is not 0, is how many connections one address of the internet may have at a time;
    more are closed at once. Private addresses, behind which a proxy may be, and UNIX sockets are not limited.
    """

    backlog: int = 1024
    reuse_addr: bool | int | None = 1
    reuse_port: bool = False
    handshake_timeout: float | None = 10.0
    max_per_address: int = 0

    def __init__(
        self,
        listener: Any,
        handle: Callable[..., object] | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        *,
        reuse_port: bool | None = None,
        handshake_timeout: float | None = None,
        max_per_address: int | None = None,
        **ssl_args: Any,
    ) -> None:
        if backlog is not None:
            self.backlog = backlog
        if reuse_port is not None:
            self.reuse_port = reuse_port
        if handshake_timeout is not None:
            self.handshake_timeout = handshake_timeout
        if max_per_address is not None:
            self.max_per_address = max_per_address
        self._peers = Peers()
        self.ssl_context: stdlib.SSLContext | None = self._context_of(ssl_args) if ssl_args else None
        self.ssl_args = ssl_args
        if self.ssl_context is not None:
            self._wrap = self._wrapper(self.ssl_context, ssl_args)
        super().__init__(listener, handle, spawn)

    def set_handle(self, handle: Callable[..., object] | None) -> None:
        """Set what is called with each connection, after the handshake if it is a TLS server."""
        super().set_handle(handle)
        if self.ssl_enabled:
            self._handle = self.wrap_socket_and_handle

    @property
    def ssl_enabled(self) -> bool:
        """Whether it speaks TLS."""
        return self.ssl_context is not None

    # -- TLS -------------------------------------------------------------------------------------------------

    @staticmethod
    def _context_of(arguments: dict[str, Any]) -> "stdlib.SSLContext | None":
        """Take from the arguments what the context is, or is made of."""
        context: stdlib.SSLContext | None = arguments.pop("ssl_context", None)
        given = {name: arguments.pop(name) for name in _CONTEXT_ARGS if arguments.get(name, None) is not None}
        if context is not None:
            if given:
                raise TypeError(f"expected ssl_context or {', '.join(given)}, found both")
            return context
        if not given and not arguments:
            return None
        from ..ssl import OP_NO_RENEGOTIATION, PROTOCOL_TLS_SERVER, SSLContext

        if "certfile" not in given:
            raise TypeError("expected ssl_context or certfile for a TLS server, found neither")
        context = SSLContext(given.get("ssl_version", PROTOCOL_TLS_SERVER))
        context.options |= OP_NO_RENEGOTIATION  # it costs the client next to nothing, and us a handshake
        context.load_cert_chain(given["certfile"], given.get("keyfile"))
        if "ca_certs" in given:
            context.load_verify_locations(given["ca_certs"])
        if "cert_reqs" in given:
            context.verify_mode = given["cert_reqs"]
        if "ciphers" in given:
            context.set_ciphers(given["ciphers"])
        return context

    @staticmethod
    def _wrapper(context: "stdlib.SSLContext", arguments: dict[str, Any]) -> Callable[[Any], Any]:
        """What makes a TLS socket of a plain one, without the handshake."""
        import ssl as stdlib  # here and below: only where TLS is spoken

        from ..ssl import SSLSocket

        options = {"server_side": True, "suppress_ragged_eofs": True, **arguments}
        options["do_handshake_on_connect"] = False
        # A context of the standard library makes sockets that block, until it is patched. One with a method
        # of its own knows what it wants.
        if getattr(type(context), "wrap_socket", None) is not stdlib.SSLContext.wrap_socket:
            return lambda plain: context.wrap_socket(plain, **options)
        made: Callable[..., Any] = getattr(SSLSocket, "_create")  # noqa: B009 - the standard library's, adopted
        return lambda plain: made(plain, context=context, **options)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        """What runs for a connection of a TLS server: handshake, the handler, end of TLS and of the
        connection. Switches.
        """
        try:
            # The standard library's wrap_socket() leaves one that has been reset already to the collector.
            client_socket.getpeername()
            secure = self._wrap(client_socket)
        except OSError as error:
            self.handshake_failed(error, address)
            return None
        try:
            if self.ssl_args.get("do_handshake_on_connect", True):
                timeout = secure.gettimeout()
                secure.settimeout(self.handshake_timeout)
                try:
                    secure.do_handshake()
                except OSError as error:
                    self.handshake_failed(error, address)
                    return None
                secure.settimeout(timeout)
            return self.handle(secure, address)
        finally:
            _end_tls(secure)
            secure.close()

    def handshake_failed(self, error: OSError, address: Any) -> None:
        """Called when a peer did not get through the handshake, in time or at all. For subclasses: does
        nothing, for on the open internet it is no news.
        """

    # -- sockets ---------------------------------------------------------------------------------------------

    def make_socket(self, family: int, address: Any) -> socket:
        """A listening socket, by get_listener()."""
        options = {"reuse_port": True} if self.reuse_port else {}
        return self.get_listener(address, self.backlog, family, **options)

    def prepare_socket(self, listener: Any) -> None:
        """Let a socket listen that was bound only."""
        if not listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
            listener.listen(self.backlog)

    @classmethod
    def get_listener(
        cls, address: Any, backlog: int | None = None, family: int | None = None, *, reuse_port: bool = False
    ) -> socket:
        """A listening socket on an address, for servers of this class. Switches only to look up a name."""
        if family is None:
            family, address = parse_address(address)
        listener = bound_socket(
            family,
            address,
            reuse_addr=bool(cls.reuse_addr),
            reuse_port=reuse_port or cls.reuse_port,
        )
        try:
            listener.listen(cls.backlog if backlog is None else backlog)
        except BaseException:
            listener.close()
            raise
        return listener

    # -- connections -----------------------------------------------------------------------------------------

    def do_read(self, listener: Any = None) -> tuple[socket, Any]:
        """Wait for the next connection: (socket, address of the peer). One system call unless it waits."""
        listener = self.socket if listener is None else listener
        return listener.accept_as(socket)  # type: ignore[no-any-return]  # of a listener of any kind

    def do_handle(self, *args: Any) -> None:
        """As in BaseServer, unless the address has too many connections."""
        if not self.max_per_address:
            BaseServer.do_handle(self, *args)  # super() would make an object for each connection
            return
        sock, address, *_ = args
        if not self._peers.admit(address, self.max_per_address):
            sock.close()
            self.turned_away(address)
            return
        try:
            super().do_handle(*args)
        except BaseException:
            self._peers.dismiss(address)
            raise

    def turned_away(self, address: Any) -> None:
        """Called when a connection was closed because of `max_per_address`. For subclasses: does nothing."""

    @staticmethod
    def _runner(server: Any, sock: Any, address: Any, *more: Any) -> None:
        """As in BaseServer. A call with `*` would keep 340 bytes more of C stack for each connection."""
        if more:
            try:
                BaseServer._runner(server, sock, address, *more)
            finally:
                server._peers.dismiss(address)
            return
        me = getcurrent()
        server._running.add(me)
        try:
            server._handle(sock, address)
        finally:
            server._running.discard(me)
            if server._over:
                server._over.wake_all()
            if server._peers:
                server._peers.dismiss(address)
            server.do_close(sock, address)

    def do_close(self, sock: Any, *args: Any) -> None:
        """Close the connection, once its handler is over."""
        sock.close()


def _end_tls(secure: Any) -> None:
    """Tell the peer that nothing more comes, if that can be done at once; its answer is not waited for."""
    sslobj = getattr(secure, "_sslobj", None)
    if sslobj is None:
        return
    try:
        sslobj.shutdown()
    except (OSError, ValueError):
        pass  # it would have to wait, or the connection is broken
