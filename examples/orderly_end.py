"""A program that ends in order: Ctrl-C or `kill` lets everybody clean up, a second one ends it at once.

Usage: python examples/orderly_end.py
"""

import os
import sys

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


def main() -> int:
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
    sys.exit(corolib.run(main, grace=5))
