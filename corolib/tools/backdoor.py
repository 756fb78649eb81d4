"""BackdoorServer: a Python console inside a program that runs, for `telnet`, `nc` or `socat`.

    BackdoorServer("unix:/run/app/console", locals={"server": server}).start()

Whoever can connect can do anything that the program can: there is no password and no encryption. So let it
listen where only you can connect: a UNIX socket in a directory of your own, or 127.0.0.1 on a machine that is
yours alone.

What a line of the console prints goes to its client, though `sys.stdout` is one for the whole process: as
long as a console is open, `sys.stdin`, `sys.stdout` and `sys.stderr` are stand-ins that look at who asks. For
the greenlet of a console they are its connection, for everybody else what they were, also while a line of the
console waits and others run.
"""

import sys
from code import InteractiveConsole
from typing import Any

from .._reports import warn
from .._switch import getcurrent
from ..server.stream import StreamServer

__all__ = ["BackdoorServer"]

_STREAMS = ("stdin", "stdout", "stderr")

#: Telnet's own bytes: commands begin with IAC. "Interrupt process" is what it sends for Ctrl-C.
_IAC, _SB, _SE, _IP, _WILL = 255, 250, 240, 244, 251
_CTRL_D = 4


class _StandIn:
    """In the place of one of the process's streams while a console is open."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._original = getattr(sys, name)

    def _target(self) -> Any:
        console = _consoles.get(getcurrent())
        return self._original if console is None else console.stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def __iter__(self) -> Any:
        return iter(self._target())

    def __next__(self) -> Any:
        return next(self._target())

    def __enter__(self) -> Any:
        return self._target().__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._target().__exit__(*error)

    def __repr__(self) -> str:
        return repr(self._target())


#: The greenlets in which a console runs.
_consoles: dict[Any, "_Console"] = {}
#: What stands in sys while there are any, by name.
_stand_ins: dict[str, Any] = {}


class _Display:
    """In the place of sys.displayhook: what an expression of a console results in is shown there, and kept as
    `_` there; builtins belong to all.
    """

    def __init__(self, name: str) -> None:
        self._original = getattr(sys, name)

    def __call__(self, value: object) -> None:
        console = _consoles.get(getcurrent())
        if console is None:
            self._original(value)
        else:
            console.display(value)


_KINDS: dict[str, type] = {**dict.fromkeys(_STREAMS, _StandIn), "displayhook": _Display}


def _enter(console: "_Console") -> None:
    if not _consoles:
        for name, kind in _KINDS.items():
            # One that somebody has put back after the last console had gone: it goes on.
            if not isinstance(getattr(sys, name), kind):
                _stand_ins[name] = kind(name)
                setattr(sys, name, _stand_ins[name])
    _consoles[getcurrent()] = console


def _leave() -> None:
    del _consoles[getcurrent()]
    if _consoles:
        return
    for name, stand_in in list(_stand_ins.items()):
        # Whoever has put something else there meanwhile may put our stand-in back later.
        if getattr(sys, name) is stand_in:
            setattr(sys, name, stand_in._original)
            del _stand_ins[name]


class _Lines:
    """What a telnet client types, line by line; its negotiations are left out."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._ended = False

    def next(self) -> str | None:
        """The next line with its end, or None. Switches. KeyboardInterrupt for Ctrl-C."""
        while True:
            self._take_commands()
            at = next((i for i, byte in enumerate(self._buffer) if byte in (10, _CTRL_D)), -1)
            if at >= 0 and self._buffer[at] == 10:
                line = bytes(self._buffer[: at + 1])
                del self._buffer[: at + 1]
                return line.replace(b"\r", b"").replace(b"\0", b"").decode(errors="replace")
            if at >= 0 or self._ended:
                # Ctrl-D, or the end of the stream: what came before it without an end of line is let go.
                return None
            data = self._sock.recv(4096)
            self._ended = not data
            self._buffer += data

    def _take_commands(self) -> None:
        start = 0
        while (start := self._buffer.find(_IAC, start)) >= 0 and start + 1 < len(self._buffer):
            command = self._buffer[start + 1]
            if command == _IAC:  # stands for the byte itself
                del self._buffer[start]
                start += 1
            elif command == _SB:
                end = self._buffer.find(bytes((_IAC, _SE)), start)
                if end < 0:
                    return
                del self._buffer[start : end + 2]
            elif command >= _WILL:
                if start + 2 >= len(self._buffer):
                    return
                del self._buffer[start : start + 3]
            else:
                del self._buffer[start : start + 2]
                if command == _IP:
                    del self._buffer[:start]
                    raise KeyboardInterrupt


class _Stream:
    """stdin, stdout and stderr of one console, as a text file."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    closed = False

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._lines = _Lines(sock)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        data = text.encode(self.encoding, "backslashreplace")
        # Telnet's end of line, and a byte that is not one of its commands.
        self._sock.sendall(data.replace(b"\n", b"\r\n").replace(b"\xff", b"\xff\xff"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def readline(self, size: int = -1) -> str:
        return self._lines.next() or ""

    def read(self, size: int = -1) -> str:
        return "".join(self)

    def __iter__(self) -> Any:
        return iter(self.readline, "")

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """exit() closes sys.stdin; the connection is closed by the server."""

    def isatty(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        from io import UnsupportedOperation

        raise UnsupportedOperation("a console of the backdoor has no descriptor of its own")


class _Console(InteractiveConsole):
    """One client."""

    def __init__(self, stream: Any, locals: dict[str, Any]) -> None:
        super().__init__(locals)
        self.stream = stream

    def write(self, data: str) -> None:
        self.stream.write(data)

    def run(self, banner: str | None) -> None:
        """Read and execute until the client is gone, or exit() is called. Switches."""
        if banner is None:
            banner = f"Python {sys.version} on {sys.platform}"
        self.write(f"{banner}\n" if banner else "")
        more = False
        while True:
            self.write("... " if more else ">>> ")
            try:
                line = self.stream._lines.next()
                if line is None:
                    return
                more = self.push(line.rstrip("\n"))
            except KeyboardInterrupt:
                self.write("\nKeyboardInterrupt\n")
                self.resetbuffer()
                more = False

    def display(self, value: object) -> None:
        """What sys.displayhook does."""
        if value is not None:
            self.locals["_"] = value
            self.write(repr(value) + "\n")


class BackdoorServer(StreamServer):
    """A server whose clients each get a Python console in this process. See the module for who may connect.

    Each console has its own copy of `locals`, and shows `banner` first. exit(), Ctrl-D or the end of the
    connection end it; Ctrl-C gives up the line that is being typed. `server_args` are those of StreamServer.
    """

    def __init__(
        self,
        listener: Any,
        locals: dict[str, Any] | None = None,
        banner: str | None = None,
        **server_args: Any,
    ) -> None:
        super().__init__(listener, spawn=server_args.pop("spawn", "default"), **server_args)
        self.locals: dict[str, Any] = {"__doc__": None, "__name__": "__console__", **(locals or {})}
        self.banner = banner

    def init_socket(self) -> None:
        """Bind; warns of an address that others can reach."""
        super().init_socket()
        for address in self.addresses:
            if isinstance(address, tuple) and not address[0].startswith("127.") and address[0] != "::1":
                warn(f"{self!r} listens on {address[0]}: whoever can connect can do what this process can")

    def handle(self, conn: Any, _address: Any) -> None:
        """What runs for each client."""
        console = _Console(_Stream(conn), self._create_interactive_locals())
        _enter(console)
        try:
            console.run(self.banner)
        except SystemExit:
            pass  # exit()
        except ConnectionError:
            pass  # the client has gone
        finally:
            _leave()

    def _create_interactive_locals(self) -> dict[str, Any]:
        return dict(self.locals)
