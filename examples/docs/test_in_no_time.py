"""Run by pytest: an hour passes in no time."""

from corolib import Timeout, sleep
from corolib.testing import VirtualClock


def patiently(call, patience):
    """The result of call(), or None if that takes too long."""
    with Timeout(patience, False):
        return call()


def test_who_is_too_slow_is_given_up():
    with VirtualClock() as clock:
        assert patiently(lambda: sleep(3600), patience=30) is None
        assert clock.elapsed == 30


def test_who_is_in_time_is_heard():
    with VirtualClock():
        assert patiently(lambda: sleep(29) or "here", patience=30) == "here"
