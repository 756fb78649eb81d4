"""Create, switch, finish, N times: does memory stay where it is?

short_lives.py [10_000_000]
"""

import time

from measure import collect, heap, number, report, rss, series, slope

from corolib._switch import getcurrent, greenlet, stats

STEPS = 20
main = getcurrent()


def run(value):
    return main.switch(value)


def lives(count):
    for turn in range(count):
        child = greenlet(run)
        assert child.switch(turn) == turn
        child.switch(None)


total = number(10_000_000)
each = max(1, total // STEPS)
sizes, times = series(STEPS + 1), series(STEPS + 1)
lives(max(each, 100_000))  # warm
collect()
before = heap()[0]
for step in range(STEPS + 1):
    sizes[step], times[step] = rss(), time.perf_counter_ns()
    if step < STEPS:
        lives(each)
left = stats()
report(
    lives=each * STEPS,
    ns_each=round((times[-1] - times[0]) / (each * STEPS)),
    rss_first=sizes[0],
    rss_last=sizes[-1],
    rss_growth=sizes[-1] - sizes[0],
    rss_slope_bytes_per_life=slope(sizes) / each,
    heap_growth=heap()[0] - before,
    greenlets=left["greenlets"],
    chunks=left["chunks"],
    slices=left["slices"],
)
