"""N parked greenlets created, resumed and finished, three times over: does the memory come back?

    waves.py [1_000_000]

After each wave: what the process has grown over its start, and who holds it. `kept` is the part of a wave's
growth that is still there after it.
"""

import time

from measure import collect, heap, number, report, rss

from corolib._switch import getcurrent, greenlet, stats

main = getcurrent()


def run(value):
    return main.switch(value)


def wave(count):
    clock = time.perf_counter_ns
    began = clock()
    children = [greenlet(run) for _ in range(count)]
    for turn, child in enumerate(children):
        child.switch(turn)
    parked, full = clock(), rss()
    for child in children:
        child.switch(None)
    assert all(child.dead for child in children)
    ended = clock()
    return full, (parked - began) // count, (ended - parked) // count


def holders():
    with open("/proc/self/smaps") as file:
        lines = file.read().splitlines()
    found, name = {"heap": 0, "anonymous": 0, "files": 0, "maps": 0}, ""
    for line in lines:
        words = line.split()
        if not words[0].endswith(":"):
            path = words[5] if len(words) > 5 else ""
            name = "heap" if path == "[heap]" else "files" if path.startswith("/") else "anonymous"
            found["maps"] += 1
        elif words[0] == "Rss:":
            found[name] += int(words[1]) * 1024
    return found


count = number(1_000_000)
wave(1000)
collect()
start, rounds = rss(), []
for _ in range(3):
    full, create, finish = wave(count)
    collect()
    left, numbers = rss(), stats()
    rounds.append(
        {
            "growth": full - start,
            "bytes_each": round((full - start) / count),
            "left": left - start,
            "kept": round((left - start) / (full - start), 4),
            "ns_create_and_park": create,
            "ns_resume_and_finish": finish,
            "heap": dict(zip(("used", "free"), heap(), strict=True)),
            "holders": holders(),
            "chunks": numbers["chunks"],
            "slices": numbers["slices"],
            "objects_idle": numbers["objects_idle"],
            "blocks_kept": numbers["blocks_kept"],
            "slabs": numbers["slabs"],
        }
    )
report(greenlets=count, start=start, rounds=rounds)
