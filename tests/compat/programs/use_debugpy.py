"""A program to be debugged. Two greenlets run the same function; the debugger stops each in it."""

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402  # after patching


def work(number):
    gevent.sleep(0)
    squared = number * number
    gevent.sleep(0)
    return squared  # the breakpoint


jobs = [gevent.spawn(work, number) for number in (3, 4)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs], flush=True)
