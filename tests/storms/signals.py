"""Signals as fast as another process can send them, to a program that is at work.

    signals.py SECONDS

The program echoes over sockets, resolves names in its thread pool and waits for children; three kinds of
signals have handlers in greenlets, and one a handler of the standard library. Signals of one kind that come
faster than they are handled are one signal, so what must hold is that each kind is still handled after the
storm, that nothing has failed, and that the work went on throughout.
"""

import os
import signal
import subprocess
import sys
import time

import corolib
import corolib.os
import corolib.resolver
from corolib.hub import get_hub
from corolib.socket import socketpair

KINDS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

SENDER = """
import os, sys, time
target, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
sent = 0
while time.monotonic() < until:
    for number in map(int, sys.argv[3:]):
        os.kill(target, number)
        sent += 1
print(sent)
"""


def main(seconds):
    failures, handled, work = [], {}, {"echo": 0, "thread": 0, "child": 0}
    get_hub().handle_error = lambda *error: failures.append(error)

    def count(table, what):
        table[what] = table.get(what, 0) + 1

    handlers = [corolib.signal_handler(kind, count, handled, kind) for kind in KINDS]
    signal.signal(signal.SIGALRM, lambda *_: count(handled, signal.SIGALRM))
    near, far = socketpair()

    def answer():
        while True:
            far.sendall(far.recv(100))

    def ask():
        while True:
            near.sendall(b"x" * 100)
            near.recv(100)
            count(work, "echo")

    def use_thread():
        pool = get_hub().threadpool
        while True:
            pool.apply(time.sleep, (0.001,))
            count(work, "thread")

    def wait_for_child():
        while True:
            pid = os.posix_spawn("/bin/true", ["true"], {})
            assert corolib.os.waitpid(pid, 0) == (pid, 0)
            count(work, "child")

    workers = [corolib.spawn(each) for each in (answer, ask, use_thread, wait_for_child)]
    numbers = [str(int(kind)) for kind in (*KINDS, signal.SIGALRM)]
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(os.getpid()), str(seconds), *numbers],
        stdout=subprocess.PIPE,
        text=True,
    )
    _, status = corolib.os.waitpid(sender.pid, 0)
    sender.returncode = status
    sent = int(sender.stdout.read())
    corolib.sleep(0.01)
    during, worked = dict(handled), dict(work)
    handled.clear()
    for kind in (*KINDS, signal.SIGALRM):
        os.kill(os.getpid(), kind)
    corolib.sleep(0.01)
    corolib.killall(workers)
    for each in handlers:
        each.cancel()
    print(f"sent {sent} in {seconds} s; handled {sum(during.values())}; work {worked}")
    assert not failures, failures
    assert set(handled) == {*KINDS, signal.SIGALRM}, f"not handled after the storm: {handled}"
    assert all(worked.values()), f"work has stopped: {worked}"
    os._exit(0)


if __name__ == "__main__":
    import corolib.threadpool

    main(float(sys.argv[1]))
