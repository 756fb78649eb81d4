"""What steps 4 to 7 share: who checks pages again and again, and who is told of what has changed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import corolib
from corolib.queue import Queue, ShutDown

#: Seconds between two checks of a page.
PERIOD = 1.0
#: So many changes may wait for a slow listener; what is more is not told.
ROOM = 100


class Watch:
    """A greenlet for each page, which checks it, and a queue for each listener, who is told of changes."""

    def __init__(self, pages: Iterable[str], verdict: Callable[[str], str], period: float = PERIOD) -> None:
        self.pages = list(pages)
        self.verdict = verdict
        self.period = period
        self.found: dict[str, str] = {}
        self.queues: set[Queue[str]] = set()
        self.closed = False

    def start(self) -> None:
        for url in self.pages:
            corolib.spawn(self.keep_checking, url)

    def keep_checking(self, url: str) -> None:
        while True:
            self.note(url, self.verdict(url))
            corolib.sleep(self.period)

    def note(self, url: str, found: str) -> None:
        """Nothing in here waits, so no other greenlet can see half of it: it needs no lock."""
        if self.found.get(url) == found:
            return
        self.found[url] = found
        for queue in self.queues:
            if not queue.full():
                queue.put_nowait(f"{url}: {found}")

    @contextmanager
    def listen(self) -> Iterator[Iterator[str]]:
        """What is known, and then each change, until close()."""
        queue: Queue[str] = Queue(ROOM + len(self.pages))
        for url, found in self.found.items():
            queue.put_nowait(f"{url}: {found}")
        self.queues.add(queue)
        if self.closed:
            queue.shutdown()
        try:
            yield changes(queue)
        finally:
            self.queues.discard(queue)

    def close(self) -> None:
        """Nothing more will be told: whoever listens is through with what is in the queue, and ends."""
        self.closed = True
        for queue in self.queues:
            queue.shutdown()


def changes(queue: Queue[str]) -> Iterator[str]:
    try:
        while True:
            yield queue.get()
    except ShutDown:
        pass
