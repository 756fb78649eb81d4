"""The fuzzer (fuzz.py), a little of it: the long runs are for its command line."""

import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from corolib.server.http1 import Refused

from . import fuzz


def run(seed: int, batches: int) -> Counter[str]:
    tally: Counter[str] = Counter()
    for number in range(batches):
        assert fuzz.run_batch(seed, number, fuzz.BATCH, tally) == ""
    return tally


def test_two_batches():
    tally = run(1000, 2)
    assert tally["requests served"] > 100  # what it makes is not wrong beyond recognition
    assert tally["refused 400"] > 100


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.hang_after(600)
def test_many_batches():
    run(2000, 40)


def test_it_finds_a_reader_that_lets_too_much_pass(monkeypatch):
    """The tests above are only as good as this."""

    class Lax:
        """Takes a head that is refused for one without fields."""

        def __init__(self, environ, limits):
            self.real = make_reader(environ, limits)

        def head(self, *data):
            try:
                return self.real.head(*data)
            except Refused:
                return {"REQUEST_METHOD": "GET", "REQUEST_URI": "/"}

        keep_alive = False
        complete = True
        buffered = 0

        def body(self):
            return b""

        def close(self):
            self.real.close()

    make_reader = fuzz.make_reader
    monkeypatch.setattr(fuzz, "make_reader", Lax)
    assert "we serve what h11 does not" in fuzz.run_batch(1000, 0, 100, Counter())


def test_processes_find_the_same_as_one():
    def said(*arguments: str) -> str:
        what = [sys.executable, fuzz.__file__, "--seed", "7", "--first", "2", "--count", "2000", *arguments]
        ran = subprocess.run(what, capture_output=True, text=True, timeout=100)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.partition(" s: ")[2]

    alone = said()
    assert "'connections': 1000," in alone
    assert said("--jobs", "2") == alone


def test_a_batch_can_be_repeated():
    assert fuzz.Maker(Random("1:2")).connection() == fuzz.Maker(Random("1:2")).connection()
