"""Lets each allocation of the engine fail once, in turn, in a program that uses all of it.

Run by test_checking.py with a checking build. The program must see MemoryError or nothing,
and go on correctly.
"""

import gc

from corolib._switch import _engine, getcurrent, greenlet, stats

main = getcurrent()


class Unfinished(Exception):
    pass


def park(value):
    """By force of `scratch` the one who leaves may fail, after the target has been made ready."""
    for _ in range(3):
        try:
            return main.switch(value)
        except MemoryError:
            pass
    raise AssertionError("it fails again and again")


def body(number):
    value = sorted([number], key=lambda n: (park(n), n)[1])[0]
    try:
        park("second")
    except ValueError:
        park("caught")
    return value


def insist(child, *expected, call="switch", args=()):
    """Until it works: a failed switch has changed nothing, so it can be tried again."""
    failures = 0
    while True:
        try:
            got = getattr(child, call)(*args)
        except MemoryError:
            failures += 1
            assert failures < 3
            if child.dead:  # it failed in the child's last step: that is its result then
                return failures
            continue
        assert got in expected, (got, expected)
        return failures


def program(pin):
    failures = 0
    children = [greenlet(body, pin=pin and n == 1) for n in range(4)]
    for number, child in enumerate(children):
        failures += insist(child, number, args=(number,))
    for child in children:
        failures += insist(child, "second")
    for child in children[:2]:
        failures += insist(child, "caught", call="throw", args=(ValueError,))
    for number, child in enumerate(children):
        failures += insist(child, number)
        assert child.dead

    def ring(number):
        if number < 3:
            members[number + 1].switch(number + 1)
        main.switch("ring")

    members = [greenlet(ring) for _ in range(4)]
    for member in members:
        if not failures:
            try:
                assert member.switch(members.index(member)) == "ring"
            except MemoryError:
                failures += 1
            break
    members.clear()
    return failures


def rounds(pin):
    failed = 0
    for number in range(1, 200):
        _engine._force(fail_alloc=number)
        try:
            failures = program(pin)
        finally:
            left = _engine._force()
            _engine._force(fail_alloc=0)
        failed += failures
        if left > 0:
            return number, failed
        gc.collect()
    raise Unfinished("every allocation fails")


for pin in (False, True):
    print(rounds(pin))
gc.collect()
numbers = stats()
assert numbers["greenlets"] == numbers["chunks"] == numbers["greenlets_doomed"] == 0, numbers
