"""The part of a script that is measured: timed, and under callgrind the only part that is counted."""

import ctypes
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from compiled import program

#: Set by whoever runs a script under callgrind with --instr-atstart=no.
COUNTING = "BENCHMARKS_COUNT_REGION"
#: Set by whoever wants growth.py to run without Python's cyclic collector.
NO_COLLECTOR = "BENCHMARKS_NO_COLLECTOR"


class Region:
    """Begins and ends once each; then it knows how long that was, in nanoseconds, without its pauses."""

    def __init__(self) -> None:
        counter = ctypes.CDLL(str(program("callgrind_region"))) if os.environ.get(COUNTING) else None
        self._switch_on = counter.switch_on if counter else lambda: None
        self._switch_off = counter.switch_off if counter else lambda: None
        self._toggle = counter.toggle if counter else lambda: None
        self._begun = self.ns = 0

    def begin(self) -> None:
        """From here on. What Python's collector has to do for what was before it does before."""
        gc.collect()
        self._switch_on()
        self._begun = time.perf_counter_ns()

    def pause(self) -> None:
        """Up to here, for a while."""
        self.ns += time.perf_counter_ns() - self._begun
        self._toggle()

    def resume(self) -> None:
        """From here on again."""
        self._toggle()
        self._begun = time.perf_counter_ns()

    def end(self) -> None:
        """Up to here."""
        self.ns += time.perf_counter_ns() - self._begun
        self._switch_off()


def count_from_here() -> None:
    """All that follows is counted, but not what has led to it: to import takes seconds under callgrind."""
    Region().begin()


def result(region: Region, units: int) -> dict[str, float]:
    """What the scripts print: nanoseconds per unit, and how many units there were."""
    return {"ns": region.ns / units, "units": units}


@contextmanager
def measured() -> Iterator[Region]:
    """A region that is the body of a `with`."""
    region = Region()
    region.begin()
    yield region
    region.end()
