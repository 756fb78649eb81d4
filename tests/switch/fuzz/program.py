"""Programs: lists of operations that mean something in any state.

An operation is a name and four numbers. The numbers are not names of greenlets but are interpreted when it
runs ("the first one of this thread in slot 57 or after"), so that a program still runs when any part of it is
taken out: that is what makes shrinking possible. What is impossible in the state at hand is passed over.

Each seed has its own mixture: some operations are left out, others made frequent, since an even mixture never
gets deep into any corner.
"""

import random

WEIGHTS = {
    # the graph
    "create": 60,
    "switch": 160,
    "home": 20,
    "throw": 40,
    "parent": 20,
    "drop": 30,
    "kill": 10,
    "finish": 25,
    "fail": 12,
    "reraise": 6,
    "burst": 16,
    "storm": 4,
    # where a greenlet is when it switches
    "enter": 90,
    "leave": 45,
    "generator": 25,
    "close": 6,
    # what travels with it
    "variable": 25,
    "context": 8,
    "probe": 12,
    "limit": 2,
    "trash": 6,
    # what watches
    "listen": 12,
    "unlisten": 8,
    "arm": 10,
    "profile": 8,
    "trace": 6,
    "inspect": 20,
    "keep": 10,
    "walk": 16,
    # around it
    "threshold": 4,
    "collect": 4,
    "turn": 10,
    "start": 5,
    "exit": 5,
    "fork": 1,
    "memory": 8,
    "force": 2,
}


def generate(seed, count):
    chance = random.Random(seed)
    names = list(WEIGHTS)
    weights = [WEIGHTS[name] * chance.choice((0, 0.3, 1, 1, 1, 1, 4)) for name in names]
    # Without these there is nothing to look at.
    for name in ("create", "switch"):
        weights[names.index(name)] = WEIGHTS[name] * chance.choice((0.5, 1, 3))
    return [
        [name, *(chance.randrange(1 << 16) for _ in range(4))]
        for name in chance.choices(names, weights, k=count)
    ]
