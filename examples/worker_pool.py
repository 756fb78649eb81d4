"""A pool of workers behind a queue with little room: who brings work faster than it is done has to wait.

    python examples/worker_pool.py [--workers 4] [--room 8] <jobs.txt

Each line of the input is a job. However long the input is, only so many jobs are in memory. Ctrl-C: nothing
more is read, what was read is done, and a line says how much that was. handle() is where your work goes.
"""

import argparse
import sys
from collections.abc import Iterator

import corolib
from corolib.fileobject import FileObject
from corolib.queue import Queue, ShutDown


def handle(job: str, seconds: float) -> str:
    """What has to be done for one job: here, to wait. In your program: a request, a query, a file."""
    corolib.sleep(seconds)
    return job.upper()


class Workers:
    def __init__(self, count: int, room: int, seconds: float) -> None:
        self.queue: Queue[str] = Queue(room)
        self.seconds = seconds
        self.done = self.failed = self.most_waiting = 0
        self.workers = [corolib.spawn(self.work) for _ in range(count)]

    def give(self, job: str) -> None:
        """Waits while there is no room."""
        self.queue.put(job)
        self.most_waiting = max(self.most_waiting, self.queue.qsize())

    def work(self) -> None:
        while True:
            try:
                job = self.queue.get()
            except ShutDown:
                return  # nothing more will come, and nothing is left
            try:
                print(handle(job, self.seconds), flush=True)
                self.done += 1
            except Exception as error:  # one bad job is no reason to leave the others
                self.failed += 1
                print(f"{job!r} failed: {error!r}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Wait until all that was given is done."""
        self.queue.shutdown()
        corolib.joinall(self.workers)


def lines_of_stdin() -> Iterator[str]:
    """Lets the workers run while nothing comes, also from a pipe or a terminal."""
    with FileObject(sys.stdin.fileno(), "r", closefd=False) as stdin:
        for line in stdin:
            if line.strip():
                yield line.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description="Do a job for each line of the input.")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="(default 4)")
    parser.add_argument("--room", type=int, default=8, metavar="N", help="jobs that may wait (default 8)")
    parser.add_argument("--seconds", type=float, default=0.1, metavar="S", help="per job (default 0.1)")
    options = parser.parse_args()
    if options.workers < 1 or options.room < 1 or not options.seconds >= 0:
        parser.error("--workers and --room must be at least 1, --seconds at least 0")
    workers = Workers(options.workers, options.room, options.seconds)
    given = 0
    try:
        for job in lines_of_stdin():
            workers.give(job)
            given += 1
    finally:
        workers.finish()
        counts = f"{given} jobs, {workers.done} done, {workers.failed} failed"
        print(f"{counts}, at most {workers.most_waiting} waiting", file=sys.stderr, flush=True)
    return 1 if workers.failed else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
