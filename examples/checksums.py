"""SHA-256 of many files, computed in native threads, so that greenlets go on meanwhile.

    python examples/checksums.py [--threads 2] FILE ...

What computes, or reads from a disk, keeps all greenlets of its thread from running. Where it releases
Python's lock, as hashlib does, a thread pool uses all cores, and to the greenlet that asks it is a call like
any other. The last line tells the longest pause of a greenlet that wanted to run every 10 ms. Output and exit
status are those of sha256sum. Ctrl-C: the threads stop at their next piece.
"""

import argparse
import hashlib
import os
import sys
import threading
import time

import corolib
from corolib.threadpool import ThreadPool

#: Bytes that a thread hashes in one go.
PIECE = 1 << 20

stopped = threading.Event()


def checksum(path: str) -> tuple[str, str, str]:
    """(path, checksum, error). Runs in a native thread: nothing in here may wait for a greenlet."""
    state = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while (data := file.read(PIECE)) and not stopped.is_set():
                state.update(data)
    except OSError as error:
        return path, "", error.strerror or str(error)
    return path, state.hexdigest(), ""


class Ticker:
    """A greenlet that wants to run every 10 ms, and how long it had to wait for that at most."""

    def __init__(self) -> None:
        self.ticks = 0
        self.longest = 0.0

    def run(self) -> None:
        while True:
            before = time.monotonic()
            corolib.sleep(0.01)
            self.ticks += 1
            self.longest = max(self.longest, time.monotonic() - before)


def main() -> int:
    parser = argparse.ArgumentParser(description="SHA-256 of many files, computed in native threads.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    cores = os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=cores, metavar="N", help=f"(default {cores})")
    options = parser.parse_args()
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, not {options.threads}")
    ticker = Ticker()
    corolib.spawn(ticker.run)
    failed = done = 0
    try:
        for path, digest, error in ThreadPool(options.threads).imap(checksum, options.files):
            if error:
                failed += 1
                print(f"{path}: {error}", file=sys.stderr, flush=True)
            else:
                done += 1
                print(f"{digest}  {path}", flush=True)
    finally:
        stopped.set()
        pauses = f"{ticker.ticks} ticks meanwhile, the longest took {ticker.longest * 1000:.0f} ms"
        print(f"{done} of {len(options.files)} files; {pauses}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(corolib.run(main))
