"""corolib.time: the sleep that lets others run."""

import time as stdlib

import pytest
from helpers import Recorder

from corolib import time
from corolib.hub import get_hub, get_hub_if_exists, spawn_raw

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    rec = Recorder()
    for name, seconds in (("c", 0.03), ("a", 0.01), ("b", 0.02)):
        spawn_raw(lambda name=name, seconds=seconds: (time.sleep(seconds), rec(name)))
    time.sleep(0.04)
    rec.check("abc")


def test_zero_lets_those_run_that_are_ready() -> None:
    rec = Recorder()
    spawn_raw(rec, "ready")
    time.sleep(0)
    rec.check(["ready"])


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), float("-inf")])
def test_a_length_that_is_none_is_refused(bad: float) -> None:
    get_hub()
    with pytest.raises(ValueError):
        time.sleep(bad)


@pytest.mark.parametrize("bad", ["1", None, [], 1j])
def test_what_is_no_number_is_refused(bad: object) -> None:
    get_hub()
    with pytest.raises(TypeError) as plain:
        stdlib.sleep(bad)
    with pytest.raises(TypeError) as caught:
        time.sleep(bad)
    assert str(caught.value) == str(plain.value)


def test_what_stands_for_an_integer_will_do() -> None:
    class One:
        def __index__(self) -> int:
            return 1

    rec = Recorder()
    spawn_raw(rec, "ready")
    time.sleep(One())
    rec.check(["ready"])


@pytest.mark.corolib(clock=False)
def test_a_thread_without_a_hub_sleeps_without_making_one() -> None:
    assert get_hub_if_exists() is None
    time.sleep(0.001)
    assert get_hub_if_exists() is None
    with pytest.raises(ValueError):
        time.sleep(-1)


def test_everything_else_is_the_standard_library_s() -> None:
    assert time.monotonic is stdlib.monotonic
    assert time.struct_time is stdlib.struct_time
    assert set(time.__all__) == {name for name in dir(stdlib) if not name.startswith("_")}
