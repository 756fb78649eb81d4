"""Several processes that do the same: started, watched, replaced when they die, ended together.

The manager is the process that forks. It runs nothing of the program and has no hub, so there is little that
can go wrong in it; each worker is a process that calls one function. Workers notice when the manager is gone,
however it went, and end.
"""

import os
import signal  # its functions by `original` where patching replaces them: workers patch, the manager does not
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from .._native import original

__all__ = ["NOT_STARTED", "RELOAD", "Manager"]

#: With this status a worker ends that could not begin: its program cannot be imported, its address is taken.
NOT_STARTED: Final = 3
#: With this one a worker asks to be replaced at once.
RELOAD: Final = 75
#: A worker that dies is replaced after so many seconds; twice as many each time, while they die young.
FIRST_DELAY: Final = 0.1
LAST_DELAY: Final = 10.0
#: That is: younger than so many seconds.
YOUNG: Final = 5.0
#: After the workers were told to end: so much longer than they asked for, then they are killed.
KILL_AFTER: Final = 3.0

_fork: Callable[[], int] = original("os", "fork")
_waitpid: Callable[[int, int], tuple[int, int]] = original("os", "waitpid")
_signal: Callable[[int, Any], Any] = original("signal", "signal")
_sleep: Callable[[float], None] = original("time", "sleep")


class Manager:
    """Keeps `count` workers running: processes that call `work(number, ready, lifeline)` and end with what
    that returns.

    `ready()` is to be called once a worker does its work; `lifeline` is a descriptor that is readable once
    the manager is gone. `grace` is how many seconds a worker may take to end on SIGTERM.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, Callable[[], None], int], int],
        grace: float,
        say: Callable[[str], object],
    ) -> None:
        self.count = count
        self.work = work
        self.grace = grace
        self.say = say
        #: Process -> (number, when it was started, the end of a pipe that it writes to when it is ready).
        self.workers: dict[int, tuple[int, float, int]] = {}
        self.ending = False
        self.status = 0
        self.delay = FIRST_DELAY
        #: Whether any worker has ever been ready.
        self.proven = False
        self.lifeline, self._hold = os.pipe()

    def run(self) -> int:
        """Start the workers and see to them until SIGTERM or SIGINT: the status to exit with. In the main
        thread; blocks it.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            _signal(signum, self.end)
        _signal(signal.SIGALRM, self.kill)
        for number in range(self.count):
            self.start(number)
        while self.workers:
            pid, status = _waitpid(-1, 0)
            if pid in self.workers:
                self.ended(pid, os.waitstatus_to_exitcode(status))
        return self.status

    def start(self, number: int) -> None:
        """Fork a worker, unless all are to end. Returns in the manager only."""
        ready, told = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between fork() and the child's own handlers must not make it act as the manager.
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            if self.ending:
                os.close(ready)
                os.close(told)
                return
            pid = _fork()
            if pid:
                self.workers[pid] = (number, time.monotonic(), ready)
                os.close(told)
                return
            _signal(signal.SIGTERM, signal.SIG_DFL)
            _signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the manager says what comes of it
            _signal(signal.SIGALRM, signal.SIG_DFL)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.close(self._hold)
        os.close(ready)
        for _, _, other in self.workers.values():
            os.close(other)

        def tell() -> None:
            os.write(told, b"!")
            os.close(told)

        sys.exit(self.work(number, tell, self.lifeline))

    def ended(self, pid: int, code: int) -> None:
        """A worker has ended: replace it, unless all are to end or none could begin."""
        number, since, ready = self.workers.pop(pid)
        began = os.read(ready, 1) != b""
        os.close(ready)
        self.proven = self.proven or began
        if self.ending:
            if code not in (0, RELOAD, -signal.SIGTERM):
                self.status = self.status or 1
            return
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        if code == NOT_STARTED and not self.proven:
            self.say(f"worker {number} (process {pid}) could not start: giving up")
            self.status = 1
            self.end()
            return
        if code != RELOAD:
            self.say(f"worker {number} (process {pid}) ended {how}: starting another")
            if time.monotonic() - since < YOUNG:
                _sleep(self.delay)
                self.delay = min(LAST_DELAY, self.delay * 2)
            else:
                self.delay = FIRST_DELAY
        self.start(number)

    def end(self, signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Tell all workers to end; the second time, kill them."""
        if self.ending:
            self.kill()
            return
        self.ending = True
        self.send(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, self.grace + KILL_AFTER)

    def kill(self, signum: int = signal.SIGALRM, frame: FrameType | None = None) -> None:
        """End what is left at once."""
        for pid in self.workers:
            self.say(f"process {pid} does not end: killed")
        self.send(signal.SIGKILL)

    def send(self, signum: int) -> None:
        """Send all workers a signal. The last one to end may be gone already: this runs in a handler, which
        may come between waitpid() and what is made of that.
        """
        for pid in self.workers:
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                pass
