"""The statistics: how far runs are apart, and how two implementations compare.

A single run can be off by a factor of two on a shared machine, and the machine drifts within a minute. So
implementations take turns, and what is reported is the median of the ratios of runs that were neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of several runs."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """How far runs are apart. Raises ValueError for no runs."""
    if not values:
        raise ValueError("expected at least one run, found none")
    return Spread(min(values), median(values), max(values))


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of value / base over the runs of each round.

    Raises ValueError if there are not as many of one as of the other: they would not be pairs.
    """
    if not values or len(values) != len(base):
        raise ValueError(f"expected as many runs as of the base, found {len(values)} and {len(base)}")
    return median(value / other for value, other in zip(values, base, strict=True))
