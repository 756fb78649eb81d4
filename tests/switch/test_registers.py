"""What C code keeps in registers over a call is there again, whatever the call switches to."""

import sysconfig

import pytest
from helpers import run_isolated
from switch.building import HERE, build_extension, predefined

NAMES = {
    "__x86_64__": ["rbx", "rbp", "r12", "r13", "r14", "r15", "mxcsr", "x87"],
    "__aarch64__": [
        *[f"x{number}" for number in range(19, 29)],
        *[f"d{number}" for number in range(8, 16)],
        "fpcr",
    ],
}

# Every hop is made from C code that has filled its registers, each time with other values. Hops go from
# greenlet to greenlet, to the main one and back, into fresh ones and out of finished ones, by value and by
# exception, and through more than one such C frame.
SCRIPT = """
import sys

sys.path.insert(0, sys.argv[1])
import registers
from corolib._switch import getcurrent, greenlet, stats

main = getcurrent()
left = 4000
holds = starts = 0
state = int(sys.argv[2])
live = []


class Thrown(Exception):
    pass


def random(limit):
    global state
    state = (state * 1103515245 + 12345) % 2**31
    return state // 65536 % limit


def hop(depth):
    global left, starts
    left -= 1
    if depth and random(3) == 0:
        hold(depth - 1)
    if len(live) < 20:
        starts += 1
        target = greenlet(run, main)
        live.append(target)
    else:
        target = live[random(len(live))] if random(5) else main
        if target is getcurrent():
            target = main
    if target is main or not target or random(8):
        target.switch()
    else:
        target.throw(Thrown)


def hold(depth):
    global holds
    seed = random(2**15)
    try:
        wrong = registers.hold(seed, lambda: hop(depth))
    except Thrown:
        wrong = []
    holds += 1
    assert wrong == [], (wrong, seed)


def run():
    try:
        while left > 0 and random(12):
            hold(random(4))
    except Thrown:
        pass
    live.remove(getcurrent())


while left > 0:
    hold(random(4))
# The rest is no part of it, but must end.
for child in list(live):
    while not child.dead:
        try:
            child.throw()
        except Thrown:
            pass
print(holds, starts, stats()["evictions"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    machine = [name for name in NAMES if name in predefined()]
    if not machine:
        pytest.skip("nobody has listed the registers of this machine yet")
    folder = tmp_path_factory.mktemp("registers")
    target = folder / f"registers{sysconfig.get_config_var('EXT_SUFFIX')}"
    build_extension(target, [HERE / "registers.c", HERE / "c" / "registers.S"], ["-O2"])
    return folder


def test_a_change_of_any_register_is_seen(folder):
    names = next(NAMES[name] for name in NAMES if name in predefined())
    script = "import sys; sys.path.insert(0, sys.argv[1]); import registers; print(*registers.spoil())"
    assert run_isolated(script, folder).stdout.split() == names


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("lanes", ["1", "2", "64"])
def test_they_outlive_every_kind_of_switch(folder, lanes, seed):
    done = run_isolated(SCRIPT, folder, seed, env={"COROLIB_LANES": lanes})
    holds, starts, evictions = map(int, done.stdout.split())
    assert holds > 1000
    assert starts > 100
    assert evictions > 1000 if lanes != "64" else evictions == 0
