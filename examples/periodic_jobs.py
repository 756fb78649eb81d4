"""Run commands again and again, each in its own rhythm.

    python examples/periodic_jobs.py "2: date" "10: df -h /"

The rhythm does not drift, a command is never run twice at the same time (a beat that comes meanwhile is left
out), and one that fails is run again like any other. Ctrl-C: no command is begun any more, and those that run
have --grace seconds to end by themselves.
"""

import argparse
import shlex
import sys
import time

import corolib
from corolib import subprocess
from corolib.event import Event


class Job:
    def __init__(self, text: str) -> None:
        seconds, _, command = text.partition(":")
        try:
            self.period = float(seconds)
            self.command = shlex.split(command)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected 'SECONDS: COMMAND', found {text!r}: {error}")
        if not self.command or not 0 < self.period < float("inf"):
            raise argparse.ArgumentTypeError(f"expected 'SECONDS: COMMAND', found {text!r}")
        self.runs = self.failures = self.left_out = 0

    def keep_running(self, stop: Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            self.run()
            due += self.period
            late = int(max(0, time.monotonic() - due) // self.period)
            self.left_out += late
            due += late * self.period
            stop.wait(max(0, due - time.monotonic()))

    def run(self) -> None:
        self.runs += 1
        try:
            # In a session of its own: the terminal's Ctrl-C is for us, not for the command.
            done = subprocess.run(
                self.command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True
            )
        except OSError as error:
            self.failures += 1
            print(f"{self.command[0]}: {error.strerror}", file=sys.stderr, flush=True)
            return
        for line in done.stdout.decode(errors="replace").splitlines():
            print(f"{self.command[0]}: {line}", flush=True)
        if done.returncode:
            self.failures += 1
            why = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            print(f"{self.command[0]}: {why}", file=sys.stderr, flush=True)


def main(options: argparse.Namespace) -> None:
    stop = Event()
    running = [corolib.spawn(job.keep_running, stop) for job in options.jobs]
    try:
        corolib.joinall(running, timeout=options.seconds)
    finally:
        stop.set()
        corolib.joinall(running)
        for job in options.jobs:
            counts = f"{job.runs} runs, {job.failures} failed, {job.left_out} beats left out"
            print(f"{shlex.join(job.command)}: {counts}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run commands again and again, each in its own rhythm.")
    parser.add_argument("jobs", nargs="+", type=Job, metavar="SECONDS:COMMAND")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so many (default: never)")
    parser.add_argument("--grace", type=float, default=10, metavar="SECONDS", help="(default 10)")
    options = parser.parse_args()
    if not options.grace >= 0 or (options.seconds is not None and not options.seconds >= 0):
        parser.error("--seconds and --grace must be at least 0")
    corolib.run(main, options, grace=options.grace)
