"""Logging from greenlets, native threads and finalisers at once: nothing hangs or is lost."""

from corolib import monkey

monkey.patch_all()

import gc
import io
import logging
import sys

from corolib.greenlet import Greenlet, joinall
from corolib.hub import sleep
from corolib.threadpool import ThreadPool

ROUNDS = 300
sys.setswitchinterval(1e-6)
gc.set_threshold(10)

stream = io.StringIO()
handler = logging.StreamHandler(stream)
log = logging.getLogger("everywhere")
log.addHandler(handler)
log.propagate = False

dropped = 0


class Noisy:
    """Found by the collector, at any moment."""

    def __init__(self):
        self.me = self

    def __del__(self):
        global dropped
        dropped += 1
        log.warning("finaliser")


def work(name):
    for n in range(ROUNDS):
        Noisy()
        log.warning(name)
        if n % 10 == 0:
            sleep(0)


pool = ThreadPool(3)
tasks = [pool.spawn(work, "thread") for _ in range(3)]
joinall([Greenlet.spawn(work, "greenlet") for _ in range(3)], raise_error=True)
for task in tasks:
    task.get()
pool.kill()
gc.set_threshold(700)
gc.collect()
lines = stream.getvalue().splitlines()
assert lines.count("greenlet") == lines.count("thread") == 3 * ROUNDS
assert lines.count("finaliser") == dropped == 6 * ROUNDS, (lines.count("finaliser"), dropped)
assert len(lines) == 12 * ROUNDS
assert not handler.lock.locked()
