"""Items go through queues while those that put and get are killed or out of time: in = out + left, exactly.

    python tests/storms/queue_items.py [--items 10000000] [--seed 1] [KIND ...]

Each item has a number, and is ticked off when put() has returned and when get() has returned it. Those who
put and get are killed at random and replaced, have time limits of the wait and Timeouts around it, and run in
an order that comes from the seed, under a virtual clock. In the end every number must have come out as often
as it went in, once or never. Ends with status 1 if one has not.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from itertools import count
from queue import Full
from typing import Any

from corolib import Greenlet, GreenletExit, Timeout, get_hub, kill, sleep
from corolib.queue import Channel, Empty, LifoQueue, PriorityQueue, Queue, SimpleQueue
from corolib.testing import VirtualClock, shuffled

KINDS: dict[str, Callable[[], Any]] = {
    "simple": lambda: SimpleQueue(3),
    "unbounded": Queue,
    "bounded": lambda: Queue(1),
    "lifo": lambda: LifoQueue(2),
    "priority": lambda: PriorityQueue(2),
    "channel": Channel,
}
PRODUCERS = CONSUMERS = 6
#: Seconds; the limits are such that many of both are over at the same time.
PAUSES = (0, 0, 0.25, 0.5, 1)
LIMITS = (0.25, 0.5, 0.5, 1)


class Storm:
    """One queue, and the crowd around it."""

    def __init__(self, kind: str, items: int, seed: int) -> None:
        self.box = KINDS[kind]()
        self.items = items
        self.choose = random.Random(seed)
        self.numbers = count()
        # By number: what has gone in, and how often it has come out.
        self.into, self.out = bytearray(items), bytearray(items)
        self.crowd: list[Greenlet] = []
        self.kills = self.limits = self.timeouts = 0
        self.producing = PRODUCERS
        # A putter of a channel that is resumed by throw() after its item was taken cannot know that.
        self.thrown = kind != "channel"

    def run(self) -> tuple[int, int, int]:
        """In, out, left."""
        for _ in range(PRODUCERS):
            self.begin(self.produce)
        for _ in range(CONSUMERS):
            self.begin(self.consume)
        Greenlet.spawn(self.disturb)
        assert get_hub().join()
        assert not self.crowd
        left = 0
        while True:
            try:
                self.out[self.box.get(block=False)] += 1
            except Empty:
                break
            left += 1
        wrong = [number for number in range(self.items) if self.into[number] != self.out[number]]
        if wrong:
            lost = sum(self.into[number] > self.out[number] for number in wrong)
            raise AssertionError(
                f"{len(wrong)} numbers are wrong, {lost} of them lost, the first is {wrong[0]}: "
                f"in {self.into[wrong[0]]}, out {self.out[wrong[0]]}"
            )
        went_in = sum(self.into)
        return went_in, went_in - left, left

    def begin(self, role: Callable[[], None]) -> None:
        made = Greenlet.spawn(role)
        made.role = role
        self.crowd.append(made)
        made.rawlink(self.over)

    def over(self, gone: Any) -> None:
        """Who was killed is replaced; who has come to the end is not."""
        self.crowd.remove(gone)
        if gone.exception is not None:
            raise gone.exception
        if gone.value is not True:
            self.kills += 1
            self.begin(gone.role)
        elif gone.role == self.produce:
            self.producing -= 1

    def disturb(self) -> None:
        while self.crowd:
            for _ in range(self.choose.randint(1, 3)):
                victim = self.choose.choice(self.crowd)
                if self.thrown and self.choose.random() < 0.5:
                    get_hub().run_callback(self.throw, victim)
                else:
                    kill(victim)
            sleep(self.choose.choice(PAUSES))

    def throw(self, victim: Greenlet) -> None:
        """At once, also if it has just been given something and not arrived: that goes back."""
        if not victim.ready():
            victim.throw(GreenletExit)

    def produce(self) -> bool:
        for number in self.numbers:
            if number >= self.items:
                return True
            if self.limited(self.box.put, number):
                self.into[number] = 1
            self.rest()
        return True

    def consume(self) -> bool:
        while self.producing or len(self.box):
            self.limited(self.take)
            self.rest()
        return True

    def rest(self) -> None:
        """Now and then, so that time can pass and the others have to wait."""
        if self.choose.random() < 0.3:
            sleep(self.choose.choice(PAUSES))

    def take(self, timeout: float | None = None) -> None:
        number = self.box.get(timeout=timeout)
        self.out[number] += 1

    def limited(self, operation: Callable[..., None], *args: int) -> bool:
        """Whether it came to its end; with a time limit of some kind, many of which are equal."""
        seconds = self.choose.choice(LIMITS)
        try:
            if self.choose.random() < 0.5:
                operation(*args, timeout=seconds)
            else:
                with Timeout(seconds) as mine:
                    operation(*args)
        except (Full, Empty):
            self.limits += 1
        except Timeout as error:
            assert error is mine
            self.timeouts += 1
        else:
            return True
        return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000_000, help="all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    asked = parser.parse_args()
    unknown = set(asked.kinds) - KINDS.keys()
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    kinds = asked.kinds or list(KINDS)
    failed = False
    for kind in kinds:
        begun = time.monotonic()
        with VirtualClock(patch_time=False), shuffled(asked.seed):
            storm = Storm(kind, max(1, asked.items // len(kinds)), asked.seed)
            try:
                went_in, out, left = storm.run()
                told = f"{went_in} in = {out} out + {left} left"
            except AssertionError as error:
                failed = True
                told = f"FAILED: {error}"
        print(
            f"{kind}: {told}; {storm.kills} killed, {storm.limits} limits, {storm.timeouts} timeouts, "
            f"{time.monotonic() - begun:.1f} s",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
