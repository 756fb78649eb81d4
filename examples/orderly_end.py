"""Graceful shutdown: Ctrl-C or `kill` lets everybody clean up, a second one ends the program at once.

    python examples/orderly_end.py [--grace 5], then Ctrl-C, or: kill <the process that it names>

Main stops making jobs and says so, the workers put their tools away, and the exit status tells what it was
(130 for Ctrl-C, 143 for kill). Who is not ready after --grace seconds is named in the log and left.
"""

import argparse
import os

import corolib
from corolib.queue import Queue


def work(name: str, jobs: Queue[str]) -> None:
    try:
        while True:
            print(f"{name}: {jobs.get()}", flush=True)
            corolib.sleep(0.1)
    finally:
        corolib.sleep(0.1)  # cleaning up may wait as well
        print(f"{name} has put its tools away", flush=True)


def main() -> None:
    jobs: Queue[str] = Queue(maxsize=2)
    for name in ("ann", "bob"):
        corolib.spawn(work, name, jobs)
    print(f"process {os.getpid()} works", flush=True)
    number = 0
    try:
        while True:
            number += 1
            jobs.put(f"job {number}")
    finally:
        print("no more jobs", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A program that ends in order.")
    parser.add_argument("--grace", type=float, default=5, metavar="SECONDS", help="(default 5)")
    options = parser.parse_args()
    if not options.grace >= 0:
        parser.error(f"--grace must be at least 0, not {options.grace}")
    corolib.run(main, grace=options.grace)
