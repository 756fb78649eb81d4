"""What the endurance scripts measure with. Each script takes a number and prints one JSON object."""

import ctypes
import gc
import json
import os
import sys
from array import array

from corolib._switch import getcurrent, greenlet, stats

getcurrent()  # the main greenlet of this thread is there before anything is measured
PAGE = os.sysconf("SC_PAGESIZE")


def rss():
    """Bytes of this process that are in memory. Reads the file without making more than a few objects."""
    fd = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(fd, 100).split()[1]) * PAGE
    finally:
        os.close(fd)


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo


def heap():
    """Bytes of malloc: (handed out, free but kept)."""
    info = _mallinfo()
    return info.uordblks + info.hblkhd, info.fordblks


def references():
    """0 where the interpreter does not count."""
    return sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0


def blocks():
    # The thread keeps some dead greenlets: a bounded cache.
    return sys.getallocatedblocks() - stats()["objects_idle"]


def greenlets():
    return sum(issubclass(type(each), greenlet) for each in gc.get_objects())


def collect():
    for _ in range(3):
        gc.collect()


def slope(values):
    """Of the least-squares line through values at 0, 1, 2...: growth per step."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    return sum((x - middle) * (y - mean) for x, y in enumerate(values)) / sum(
        (x - middle) ** 2 for x in range(count)
    )


def series(steps):
    """Room for that many numbers, made beforehand: noting one must not allocate."""
    return array("q", [0] * steps)


def number(default):
    return int(sys.argv[1]) if len(sys.argv) > 1 else default


def report(**numbers):
    print(json.dumps(numbers, indent=1))
