"""Two that wait for each other: each has what the other one wants."""

import corolib
from corolib.lock import RLock

left, right = RLock(), RLock()


def take(first, second):
    with first:
        corolib.sleep(0.1)
        with second:
            print("has both")


corolib.joinall([corolib.spawn(take, left, right), corolib.spawn(take, right, left)])
