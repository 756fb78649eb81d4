"""Hostile and harmless requests: each has one result, however its bytes are cut, and none is smuggled."""

import pytest

from .corpus import CASES, Case
from .driver import at, at_line_ends, by_bytes, of_h11, ours, whole

NAMES = [case.name for case in CASES]
#: One test for each would take longer around them than in them.
GROUPS = [CASES[start::8] for start in range(8)]


def result(outcome) -> tuple[tuple[str, ...], int | None]:
    return tuple(outcome.served), outcome.status


def test_there_are_many_and_no_two_are_the_same() -> None:
    assert len(CASES) >= 300
    assert [name for name in NAMES if NAMES.count(name) > 1] == []
    data = [case.data for case in CASES]
    assert [case.name for case in CASES if data.count(case.data) > 1] == []


@pytest.mark.parametrize("group", GROUPS, ids=range(8))
def test_the_result_is_the_one_demanded_however_the_bytes_are_cut(group: list[Case]) -> None:
    wrong = []
    for case in group:
        ways = {"whole": whole, "at line ends": at_line_ends}
        if len(case.data) < 20_000:
            ways["by bytes"] = by_bytes
        for name, cut in ways.items():
            found = result(ours(cut(case.data)))
            if found != (case.served, case.status):
                wrong.append((case.name, name, found, (case.served, case.status)))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.parametrize("group", GROUPS, ids=range(8))
def test_no_place_to_cut_makes_a_difference(group: list[Case]) -> None:
    wrong = []
    for case in group:
        for place in range(1, min(len(case.data), 1000)):
            found = result(ours(at(place)(case.data)))
            if found != (case.served, case.status):
                wrong.append((case.name, place, found, (case.served, case.status)))
    assert wrong == []


@pytest.mark.parametrize("group", GROUPS, ids=range(8))
def test_what_h11_refuses_is_refused(group: list[Case]) -> None:
    wrong = []
    for case in group:
        theirs, served = of_h11(case.data), list(case.served)
        agrees = theirs.served[: len(served)] == served
        if agrees == bool(case.unlike_h11):
            wrong.append((case.name, theirs.served, theirs.status, served, case.status))
    assert wrong == []


def test_a_request_for_smuggled_is_never_served() -> None:
    for case in CASES:
        assert not any(line.startswith("GET /smuggled") for line in case.served)
