"""Ten thousand at once, in one thread."""

from corolib import joinall, monkey, spawn

monkey.patch_all()

import time


def work(n):
    time.sleep(1)  # any blocking call: a socket, a queue, a lock, requests.get
    return n * n


jobs = [spawn(work, n) for n in range(10_000)]
joinall(jobs)
print(sum(job.value for job in jobs), "after a good second, in one thread")
