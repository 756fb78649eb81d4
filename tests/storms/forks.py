"""Forks of a busy, patched program: locks held, watchers live, the thread pool in use.

    forks.py COUNT [--seed FIRST] [--limit SECONDS]      a failing seed is printed

Each fork is a seed: where it happens and how the child ends. The child logs, resolves a name, spawns
greenlets, a thread and at times a program, and exits; nothing may fail in it, not even in the greenlets that
it has inherited, and it may take no longer than the limit. The parent goes on as if nothing had happened.
"""

import argparse
import random
import sys

from corolib import monkey

monkey.patch_all()

import errno
import logging
import os
import queue
import signal
import socket
import threading
import time
import traceback

import corolib
from corolib.event import Event
from corolib.hub import get_hub
from corolib.lock import RLock, Semaphore
from corolib.os import fork_and_watch
from corolib.threadpool import ThreadPool

WHERE = ("main", "greenlet", "raw greenlet", "thread", "thread with locks")
ENDS = ("_exit", "sys.exit", "sys.exit in a greenlet", "signal")
HANGS_AFTER = 30

log = logging.getLogger("storm")


class SlowHandler(logging.StreamHandler):
    """Waits in the midst of each record, with its lock held."""

    def emit(self, record):
        time.sleep(random.random() * 0.002)
        super().emit(record)


class Program:
    """What is going on in the parent, and so in each child as well."""

    def __init__(self):
        self.turns = dict.fromkeys(
            ("log", "locks", "queue", "echo", "timer", "pool", "resolver", "thread", "async", "signal"), 0
        )
        null = open(os.devnull, "w")
        handler = SlowHandler(null)
        log.addHandler(handler)
        log.propagate = False
        self.locks = [threading.Lock(), threading.RLock(), threading.Condition(), Semaphore(1), RLock()]
        self.queue = queue.Queue(2)
        self.pool = ThreadPool(2)
        self.failures = []
        self.pid = os.getpid()
        get_hub().handle_error = self.handle_error

    def start(self):
        for _ in range(3):
            corolib.spawn(self.forever, "log", lambda: log.warning("of a greenlet"))
            corolib.spawn(self.forever, "locks", self.use_locks)
            threading.Thread(target=self.forever, args=("locks", self.use_locks), daemon=True).start()
        corolib.spawn(self.forever, "queue", lambda: self.queue.put(1))
        corolib.spawn(self.forever, "queue", self.queue.get)
        self.ends = near, far = socket.socketpair()
        # A child has the same sockets: it must end these, or it would take what is the parent's.
        self.echo = [
            corolib.spawn(self.forever, "echo", lambda: self.excused(lambda: far.sendall(far.recv(10)))),
            corolib.spawn(
                self.forever, "echo", lambda: self.excused(lambda: (near.sendall(b"x"), near.recv(10)))
            ),
        ]
        listener = socket.create_server(("127.0.0.1", 0))
        corolib.spawn(listener.accept)
        corolib.spawn(self.forever, "pool", self.use_pool)
        corolib.spawn(self.forever, "resolver", lambda: self.excused(socket.getaddrinfo, "localhost", 80))
        loop = get_hub().loop
        loop.timer(0.001, 0.001).start(self.count, "timer")
        self.waker = loop.async_()
        self.waker.start(self.count, "async")
        loop.stat(os.devnull).start(self.count, "stat")
        corolib.signal_handler(signal.SIGUSR1, self.count, "signal")
        monkey.get_original("_thread", "start_new_thread")(self.wake, ())
        self.companion = fork_and_watch(lambda watcher: self.failures.append("the companion ended"))
        if self.companion == 0:
            monkey.get_original("time", "sleep")(10_000)

    def handle_error(self, context, kind, value, tb):
        if issubclass(kind, SystemExit):
            get_hub().handle_system_error(kind, value, tb)
        else:
            self.failures.append("".join(traceback.format_exception(kind, value, tb)))

    def count(self, what):
        if what in self.turns:
            self.turns[what] += 1

    def forever(self, what, function):
        while True:
            function()
            self.turns[what] += 1
            time.sleep(random.random() * 0.002)

    def use_locks(self):
        for lock in random.sample(self.locks, 2):
            with lock:
                time.sleep(random.random() * 0.002)

    def use_pool(self):
        self.excused(self.pool.apply, monkey.get_original("time", "sleep"), (random.random() * 0.01,))

    def excused(self, function, *args):
        """In a child the job that was under way is lost, with an error that says so; and the sockets are
        closed.
        """
        try:
            function(*args)
        except (RuntimeError, OSError) as error:
            closed = isinstance(error, OSError) and error.errno == errno.EBADF
            if os.getpid() == self.pid or not (closed or "forked" in str(error)):
                raise

    def wake(self):
        """A native thread that wakes the hub."""
        sleep = monkey.get_original("time", "sleep")
        while True:
            sleep(0.001)
            self.waker.send()
            self.turns["thread"] += 1

    def end(self):
        os.kill(self.companion, signal.SIGKILL)


class Fork:
    """One fork, by its seed."""

    def __init__(self, program, seed):
        self.program = program
        self.draw = random.Random(seed)
        self.where = self.draw.choice(WHERE)
        # The last words of a thread end the thread.
        self.end = self.draw.choice([end for end in ENDS if end != "sys.exit" or "thread" not in self.where])
        self.done = Event()
        self.pid = -1
        self.reader, self.writer = os.pipe()

    def __str__(self):
        return f"{self.where}, {self.end}"

    def run(self):
        """(status, status that is expected, seconds that the child took, what it wrote)"""
        if self.where == "main":
            self.fork()
        elif self.where == "greenlet":
            corolib.spawn(self.fork)
        elif self.where == "raw greenlet":
            corolib.spawn_raw(self.fork)
        else:
            threading.Thread(target=self.fork).start()
        assert self.done.wait(HANGS_AFTER)
        os.close(self.writer)
        _, status = os.waitpid(self.pid, 0)
        with open(self.reader, "rb") as answer:
            took, _, text = answer.read().decode().partition(" ")
        expected = -signal.SIGTERM if self.end == "signal" else 5
        return os.waitstatus_to_exitcode(status), expected, float(took or "inf"), text

    def fork(self):
        if self.where == "thread with locks":
            with self.program.locks[0], self.program.locks[1]:
                pid = os.fork()
        else:
            pid = os.fork()
        if pid:
            self.pid = pid
            self.done.set()
            return
        self.begun = time.monotonic()
        signal.alarm(HANGS_AFTER)
        self.program.failures.clear()
        # Before anything else runs: one that has been woken already would receive before it is killed.
        for sock in self.program.ends:
            sock.close()
        corolib.killall(self.program.echo, block=False)
        try:
            self.act()
        except BaseException:
            self.fail(traceback.format_exc())
        self.leave()

    def act(self):
        log.warning("of the child")
        assert socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        greenlets = [corolib.spawn(lambda n=n: (time.sleep(0.001), n)[1]) for n in range(10)]
        assert [each.get() for each in greenlets] == list(range(10))
        seen = []
        thread = threading.Thread(target=seen.append, args=("thread",))
        thread.start()
        thread.join()
        assert seen == ["thread"] and threading.current_thread() is threading.main_thread()
        assert self.program.pool.apply(os.getpid) == os.getpid()
        if self.draw.random() < 0.1:
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
            assert os.waitpid(pid, 0) == (pid, 3 << 8)
        for failure in self.program.failures:
            raise AssertionError(f"in another greenlet: {failure}")

    def answer(self, text=""):
        os.write(self.writer, f"{time.monotonic() - self.begun} {text}".encode())

    def fail(self, text):
        self.answer(text)
        os._exit(99)

    def leave(self):
        if self.end == "_exit":
            self.answer()
            os._exit(5)
        if self.end == "signal":
            self.answer()
            os.kill(os.getpid(), signal.SIGTERM)
        # Nothing of what is inherited may hold up the end, nor fail in it.
        import atexit

        atexit.register(self.answer)
        if self.end == "sys.exit in a greenlet":
            corolib.spawn(sys.exit, 5)
            time.sleep(HANGS_AFTER)
        sys.exit(5)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--limit", type=float, default=HANGS_AFTER, help="seconds that a child may take")
    options = parser.parse_args(arguments)
    program = Program()
    program.start()
    time.sleep(0.05)
    slowest, failed = 0.0, 0
    for seed in range(options.seed, options.seed + options.count):
        random.seed(seed)
        time.sleep(random.random() * 0.003)
        fork = Fork(program, seed)
        status, expected, took, text = fork.run()
        slowest = max(slowest, took)
        if status != expected or took > options.limit or text:
            failed += 1
            print(
                f"seed {seed} ({fork}): status {status} of {expected} after {took:.3f} s\n{text}", flush=True
            )
    # The parent has noticed nothing.
    os.kill(os.getpid(), signal.SIGUSR1)
    program.turns = dict.fromkeys(program.turns, 0) | {"signal": program.turns["signal"]}
    until = time.monotonic() + HANGS_AFTER
    while not all(program.turns.values()) and time.monotonic() < until:
        time.sleep(0.01)
    idle = [what for what, turns in program.turns.items() if not turns]
    program.end()
    for problem in [*program.failures, *(f"{what} has stopped" for what in idle)]:
        failed += 1
        print("in the parent:", problem, flush=True)
    print(f"{options.count} forks, {failed} failed, the slowest child took {slowest:.3f} s", flush=True)
    os._exit(failed != 0)


if __name__ == "__main__":
    main()
