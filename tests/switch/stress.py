"""A random program of greenlets that is checked against what must come of it.

    stress.py SEED STEPS [collect]

Every greenlet walks at random: deeper, back, through C functions, generators; it switches to any other
one, raises, catches, ends. What travels says whom it is for, so a value that goes astray is seen; so are
locals and exceptions being handled that are not what they were before a switch. A seed gives the same walk on
any number of lanes.
"""

import gc
import sys

from corolib._switch import GreenletExit, getcurrent, greenlet, stats

seed, steps = int(sys.argv[1]), int(sys.argv[2])
collect = "collect" in sys.argv
main = getcurrent()


class Chance:
    """random.Random would do, but Valgrind complains of how it seeds itself."""

    def __init__(self, seed):
        self.state = seed * 2654435761 % 2**32 or 1

    def randrange(self, low, high=None):
        if high is None:
            low, high = 0, low
        for shift in (13, -17, 5):
            self.state ^= self.state << shift if shift > 0 else self.state >> -shift
            self.state %= 2**32
        return low + self.state % (high - low)

    def random(self):
        return self.randrange(2**20) / 2**20


chance = Chance(seed)
live = []
left = steps
counts = {"switches": 0, "throws": 0, "ends": 0, "drops": 0, "starts": 0}


class Thrown(Exception):
    pass


class Token:
    """What travels: says to whom."""

    def __init__(self, to):
        self.to = to


def hand_over():
    """Switch to anybody, with a token; check the token that comes back."""
    global left
    me = getcurrent()
    left -= 1
    if left <= 0 and me is not main:
        target = main
    else:
        target = live[chance.randrange(len(live))] if live and chance.random() < 0.95 else main
        if target.dead or target is me:
            target = main
    counts["switches"] += 1
    check = sys.exc_info()[1]
    if chance.random() < 0.1 and bool(target):
        counts["throws"] += 1
        got = target.throw(Thrown(target)) if target is not main else target.switch(Token(target))
    else:
        got = target.switch(Token(target))
    assert getcurrent() is me
    assert sys.exc_info()[1] is check
    if me is not main:
        assert isinstance(got, Token) and got.to is me, (got, got.to, me)
    return got


def walk(depth):
    me = getcurrent()
    mine = [me, depth, object()]
    before = list(mine)
    for _ in range(chance.randrange(1, 4)):
        step = chance.randrange(8)
        if step == 0 and depth:
            walk(depth - 1)
        elif step == 1 and depth:
            sorted([2, 1], key=lambda n: (walk(depth - 1), n)[1])
        elif step == 2 and depth:
            for _ in (walk(depth - 1) for _ in range(2)):
                pass
        elif step == 3:
            try:
                raise LookupError(depth)
            except LookupError as caught:
                hand_over()
                assert sys.exc_info()[1] is caught
        elif step == 4 and me is not main:
            local = Cycle()
            assert local.me is local
        else:
            hand_over()
    assert mine == before


class Cycle:
    def __init__(self):
        self.me = self


def run(token):
    me = getcurrent()
    assert token.to is me
    while True:
        try:
            while left > 0:
                walk(chance.randrange(6))
                if chance.random() < 0.2:
                    break
            break
        except Thrown as thrown:
            assert thrown.args[0] is me
        except RecursionError:
            raise AssertionError from None
    counts["ends"] += 1
    return Token(main)


def start():
    counts["starts"] += 1
    child = greenlet(run, main)
    live.append(child)
    child.switch(Token(child))


if collect:
    gc.set_threshold(5)
while left > 0:
    live[:] = [child for child in live if not child.dead]
    if len(live) < 150:
        start()
    elif chance.random() < 0.05:
        counts["drops"] += 1
        live.pop(chance.randrange(len(live)))
    else:
        try:
            hand_over()
        except Thrown as escaped:
            assert escaped.args[0].dead
for child in live:
    while not child.dead:
        child.throw(GreenletExit)
live.clear()
gc.collect()
assert counts["ends"] + counts["drops"] <= counts["starts"]
numbers = stats()
assert numbers["chunks"] == numbers["greenlets"], numbers
print(counts, numbers)
