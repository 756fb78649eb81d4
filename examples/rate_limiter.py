"""Keep to a rate: many workers, and together no more calls than so many a second.

    python examples/rate_limiter.py [--rate 20] [--burst 5] [--workers 10] [--calls 60]

RateLimiter is the part to copy. Ctrl-C: a line says how many calls were made.
"""

import argparse
import sys
import time

import corolib


class RateLimiter:
    """`rate` calls a second in the long run, and `burst` at once after a pause.

    Whoever comes gets the next free moment and sleeps until then, so all are served in the order in which
    they came, and nobody holds a lock. A moment is not given back by who is killed while sleeping: there may
    be a call less than allowed, never one more.
    """

    def __init__(self, rate: float, burst: int = 1) -> None:
        if not rate > 0 or burst < 1:
            raise ValueError(f"expected a rate above 0 and a burst of at least 1, found {rate} and {burst}")
        self.period = 1 / rate
        #: How long before its moment a call may be made.
        self.slack = (burst - 1) * self.period
        self.next = 0.0

    def wait(self) -> None:
        """Return when a call may be made. Switches if that is not now."""
        now = time.monotonic()
        moment = max(self.next, now)
        self.next = moment + self.period
        if moment - self.slack > now:
            corolib.sleep(moment - self.slack - now)


def main() -> None:
    parser = argparse.ArgumentParser(description="Many workers, and no more calls than so many a second.")
    parser.add_argument("--rate", type=float, default=20, metavar="N", help="calls a second (default 20)")
    parser.add_argument("--burst", type=int, default=5, metavar="N", help="after a pause (default 5)")
    parser.add_argument("--workers", type=int, default=10, metavar="N", help="(default 10)")
    parser.add_argument("--calls", type=int, default=60, metavar="N", help="in all (default 60)")
    options = parser.parse_args()
    if options.workers < 1 or options.calls < 1:
        parser.error("--workers and --calls must be at least 1")
    try:
        limiter = RateLimiter(options.rate, options.burst)
    except ValueError as error:
        parser.error(str(error))
    calls = iter(range(options.calls))
    began = time.monotonic()
    made: list[float] = []

    def work(name: int) -> None:
        for number in calls:
            limiter.wait()
            made.append(time.monotonic() - began)
            print(f"{made[-1]:7.3f} s  worker {name} makes call {number}", flush=True)

    workers = [corolib.spawn(work, name) for name in range(options.workers)]
    try:
        corolib.joinall(workers, raise_error=True)
    finally:
        print(f"{len(made)} calls in {time.monotonic() - began:.2f} s, {options.rate:g} a second allowed")


if __name__ == "__main__":
    sys.exit(corolib.run(main))
