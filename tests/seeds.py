"""Plays the scenarios (scenarios/) in orders that seeds decide, disturbing the subject where the seed says.

    python tests/seeds.py --seeds 1000 [--first 0] [SCENARIO ...]

A seed decides the order of the ready queue, whether and how the subject is disturbed, and at which switch;
each seed is tried on every scenario. Ends with status 1 and a line for each failure:

    scenario, seed: what was wrong

`--seeds 1 --first N SCENARIO` plays that one again. All of it is one thread; several processes with different
--first share the work.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterable
from typing import Any

from scenarios import crowds, locks, programs, queues, results, sockets
from switchpoints import clock_of, play, ways_of

SCENARIOS: dict[str, Any] = {
    f"{module.__name__.rpartition('.')[2]}.{scenario.__name__}": scenario
    for module in (locks, queues, results, crowds, sockets, programs)
    for scenario in module.SCENARIOS
}


def play_seed(name: str, seed: int, switches: int) -> None:
    """One run of one scenario, which had so many switches in the usual order."""
    scenario = SCENARIOS[name]
    choose = random.Random(f"{name} {seed}")
    way, at = None, 0
    if choose.random() < 0.75:
        way, at = choose.choice(ways_of(scenario)), choose.randint(1, switches * 5 // 4)
    run, _ = play(scenario, way, at, seed)
    if way is None:
        assert run.done, f"undisturbed, the subject ended as {run.outcome}"


def play_all(names: Iterable[str], seeds: Iterable[int]) -> list[str]:
    """A line for each failure."""
    failures = []
    seeds = list(seeds)
    for name in names:
        with clock_of(SCENARIOS[name]):
            _, switches = play(SCENARIOS[name], None, 0, None)
            for seed in seeds:
                try:
                    play_seed(name, seed, switches)
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    failures.append(f"{name}, {seed}: {type(error).__name__}: {error}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    asked = parser.parse_args()
    unknown = set(asked.scenarios) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    names = asked.scenarios or list(SCENARIOS)
    begun, failed = time.monotonic(), 0
    step = 500
    for first in range(asked.first, asked.first + asked.seeds, step):
        last = min(first + step, asked.first + asked.seeds)
        for line in play_all(names, range(first, last)):
            failed += 1
            print(line, flush=True)
        print(
            f"seeds {asked.first} to {last - 1} over {len(names)} scenarios: {failed} failures, "
            f"{time.monotonic() - begun:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
