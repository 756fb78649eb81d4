"""The `subprocess` module: child processes, and pipes to them, that greenlets can wait for.

Popen is the standard library's own code, of the Python that runs, with what it waits by exchanged: its
pipes are cooperative files, and the end of a child is told by a pidfd in the loop (see corolib.os). So
SIGCHLD is left to the program, and somebody else's waitpid(-1) does no harm: a status that another one has
taken is told as the standard library tells it, by a returncode of 0.
"""

import io as _io
import os as _stdlib_os
import subprocess as _stdlib
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import os as _os
from ._adopt import Names, adopt
from ._hub import shield
from ._native import monotonic, original
from .event import AsyncResult
from .fileobject import open_pipe
from .greenlet import Greenlet
from .hub import hub_to_wait_in
from .selectors import PollSelector

# Everything that this Python has, but for what was imported above.
globals().update((name, value) for name, value in vars(_stdlib).items() if name not in globals())
if TYPE_CHECKING:
    from subprocess import TimeoutExpired as TimeoutExpired

    def __getattr__(name: str) -> Any: ...


__implements__ = ("Popen",)
__all__ = list(_stdlib.__all__)

_kill: Callable[[int, int], None] = original("os", "kill")
_waitpid: Callable[[int, int], tuple[int, int]] = original("os", "waitpid")

#: What the standard library's functions, taken over here, find by name.
_names = Names(_stdlib)


class Popen(_stdlib.Popen):  # type: ignore[type-arg]  # generic in text or bytes, which the arguments decide
    """A child process, as in the standard library.

    wait(), communicate() and the pipes switch to the hub in place of blocking the thread. For wait() and
    iwait() of corolib it is an object that becomes ready when the child has ended.
    """

    _start: Any = adopt(_stdlib.Popen.__init__, _names)
    _execute_child: Any = adopt(_stdlib.Popen._execute_child, _names)  # type: ignore[attr-defined]  # private
    _exchange: Any = adopt(_stdlib.Popen._communicate, _names)  # type: ignore[attr-defined]  # private
    _end: AsyncResult[int] | None = None

    def __init__(self, *args: Any, threadpool: object = None, **kwargs: Any) -> None:
        """As subprocess.Popen(). (`threadpool` is there for compatibility.)

        Switches until the child runs its program. Whatever ends that wait (a kill, a Timeout) ends the child.
        """
        try:
            self._start(*args, **kwargs)
        except BaseException:
            self._end_without_owner()
            raise

    def _end_without_owner(self) -> None:
        """Nobody is going to have this object: if there is a child already, kill it and reap it.

        The standard library has closed the pipes by now, and reaped a child that could not run its program.
        """
        if getattr(self, "pid", None) is None or self._internal_poll() is not None:
            return
        with suppress(ProcessLookupError):  # another thread has just reaped it
            try:
                _kill(self.pid, SIGKILL)
            except PermissionError:
                return  # it runs as another user: the standard library reaps it when it has ended
        # A second kill comes at the greenlet's next wait: this one is short.
        shielded = shield(True)
        try:
            while self._internal_poll() is None:
                if hub_to_wait_in() is not None:
                    _os.wait_for_end(self.pid)
                else:
                    with suppress(ChildProcessError):
                        self._handle_exitstatus(_waitpid(self.pid, 0)[1])  # type: ignore[attr-defined]  # private
        finally:
            shield(shielded)

    def _internal_poll(self, _deadstate: Any = None, **others: Any) -> int | None:
        """The status of the child, if it has ended. `_deadstate`: asked as the object is finalized."""
        if _deadstate is not None:
            return super()._internal_poll(_deadstate, **others)  # type: ignore[misc, no-any-return]  # private
        # Nothing in here switches, so only another thread can have the lock: it is about to tell the status.
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]  # private
            try:
                self._ask_for_end()
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]  # private
        return self.returncode

    def _ask_for_end(self) -> None:
        if self.returncode is not None:
            return  # another thread was quicker
        try:
            pid, status = _face.waitpid(self.pid, _stdlib_os.WNOHANG)
        except ChildProcessError:
            # Somebody else has taken its status, which is not to be had any more.
            self.returncode = 0
        else:
            if pid == self.pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]  # private

    def _wait(self, timeout: float | None) -> int:
        """What wait() does but for Ctrl-C."""
        until = None if timeout is None else monotonic() + timeout
        while self._internal_poll() is None:
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                raise TimeoutExpired(self.args, timeout)  # type: ignore[arg-type]  # not None, since `until` is not
            _os.wait_for_end(self.pid, left)
        return self.returncode

    def _communicate(self, input: Any, endtime: float | None, orig_timeout: float | None) -> Any:
        """What communicate() does with more than one pipe, or a timeout."""
        left = getattr(self, "_input", None)
        if not input and left and self.stdin is not None and not self.stdin.closed:
            # Going on after a timeout, the standard library forgets that not all of the input was sent.
            input = left
        return self._exchange(input, endtime, orig_timeout)

    # -- for wait() and iwait()

    def ready(self) -> bool:
        """Whether the child has ended."""
        return self.poll() is not None

    def rawlink(self, callback: Callable[["Popen"], object], /) -> None:
        """Have callback(self) called in the hub when the child has ended."""
        if self._end is None:
            self._end = AsyncResult()
            Greenlet.spawn(self.wait).link(self._end)
        self._end.rawlink(_Told(self, callback))

    def unlink(self, callback: Callable[["Popen"], object], /) -> None:
        """Take that back. Nothing if it is not there."""
        if self._end is not None:
            self._end.unlink(_Told(self, callback))


class _Os:
    """The standard library's os, with those of its functions exchanged that would block."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(_stdlib_os, name)
        return getattr(_os, name) if found in _BLOCKING else found


_BLOCKING = {original("os", name) for name in ("read", "waitpid", "write")}
_face = _Os()


class _Told:
    """Calls a link with the process in place of what has told of its end; equal to one of the same link."""

    def __init__(self, process: Popen, callback: Callable[[Popen], object]) -> None:
        self.process = process
        self.callback = callback

    def __call__(self, _: object) -> None:
        self.callback(self.process)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and self.process is other.process and self.callback == other.callback

    def __hash__(self) -> int:
        return hash((id(self.process), self.callback))


_names.update(
    {
        "Popen": Popen,
        "_PopenSelector": PollSelector,
        "io": SimpleNamespace(**{**vars(_io), "open": open_pipe}),
        "os": _face,
    }
)
for _name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"):
    _names[_name] = globals()[_name] = adopt(getattr(_stdlib, _name), _names)
