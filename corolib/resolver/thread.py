"""Names by the C library's own functions, each call in a native thread: the default.

The threads are the resolver's own, so that slow names do not hold up what else a program does in the pool of
its hub. There are `resolver_threads` of them at most; but the C library may stay with one name for half a
minute and cannot be interrupted. A thread that has been in one look-up for longer than PATIENCE therefore
does not count any more, and another one may take its place: other names are looked up all the same, until
there are EXCESS times as many threads.
"""

import _socket
from collections import deque
from typing import Any

from .._config import config
from .._hub import timer
from ..hub import Hub
from ..threadpool import ThreadPool
from .hosts import HostsFile
from .shared import Question, SharingResolver

__all__ = ["ThreadResolver"]

#: Seconds after which a look-up counts as stuck. A name server that is asked in vain costs 5 s
#: (resolv.conf(5), `timeout`), one that answers seldom needs as much as this.
PATIENCE = 1.0

#: How many times `resolver_threads` there may be in all.
EXCESS = 10


class _LookUp:
    """A question that has a thread."""

    __slots__ = ("began", "question")

    def __init__(self, question: Question, began: float) -> None:
        self.question = question
        self.began = began


class ThreadResolver(SharingResolver):
    """What the hosts file does not know is asked in a native thread, while other greenlets run.

    A look-up that nobody waits for any more (its greenlet was killed, or a timeout struck) ends in its thread
    unheard, if it has one; the C library cannot be interrupted.
    """

    def __init__(self, hub: Hub | None = None, *, hosts: HostsFile | None = None) -> None:
        super().__init__(hub, hosts=hosts)
        self._limit: int = config.resolver_threads
        #: Many a program never has to ask anybody, and then needs no thread.
        self._pool: ThreadPool | None = None
        #: In the order of their beginning.
        self._running: dict[_LookUp, None] = {}
        self._queue: deque[Question] = deque()
        self._watch: timer | None = None

    def close(self) -> None:
        """The threads end, each after what it is doing."""
        if self._watch is not None:
            self._watch.close()
        if self._pool is not None:
            self._pool.close()

    def after_fork(self) -> None:
        """In the child of a fork: the threads are not there, so ask once more what others still wait for."""
        lost = [each.question for each in self._running if each.question.askers]
        self._running.clear()
        self._pool = None
        self._queue.extendleft(reversed(lost))
        self.hub.run_callback(self._serve)

    def _begin(self, question: Question) -> None:
        self._queue.append(question)
        self._serve()

    def _withdraw(self, question: Question) -> None:
        if question in self._queue:
            self._queue.remove(question)

    def _serve(self) -> None:
        """Give threads to what stands in the queue, as far as there may be more; look again later if not."""
        while self._queue and self._may_start():
            question = self._queue.popleft()
            try:
                self._start(question)
            except RuntimeError as error:  # the system gives us no thread
                if self._running:
                    self._queue.appendleft(question)
                    break  # the next one that is free will take it
                self._answered(question, None, error)
        if self._queue and (self._watch is None or not self._watch.active):
            self._look_again()

    def _may_start(self) -> bool:
        """Whether fewer than the limit are at work, those that are stuck left aside."""
        number = len(self._running)
        if number < self._limit:
            return True
        since = self.hub.now() - PATIENCE
        stuck = sum(each.began <= since for each in self._running)
        return number - stuck < self._limit and number < self._limit * EXCESS

    def _look_again(self) -> None:
        """When the next one of those at work will count as stuck."""
        now = self.hub.now()
        due = [after for each in self._running if (after := each.began + PATIENCE - now) > 0]
        if due:
            self._watch = timer(self.hub, min(due))
            self._watch.start(self._serve)

    def _start(self, question: Question) -> None:
        if self._pool is None:
            self._pool = ThreadPool(self._limit * EXCESS, self.hub, config.threadpool_idle_task_timeout)
        # Looked up by its name when it is needed: what a test puts in its place is meant.
        result = self._pool.spawn(getattr(_socket, question.function), *question.args)
        look_up = _LookUp(question, self.hub.now())
        self._running[look_up] = None
        result.rawlink(lambda result: self._ended(look_up, result))

    def _ended(self, look_up: _LookUp, result: Any) -> None:
        """In the hub."""
        if look_up not in self._running:
            return  # in the child of a fork: it has been asked once more
        del self._running[look_up]
        self._answered(look_up.question, result.value, result.exception)
        self._serve()
