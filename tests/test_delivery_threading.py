"""Exact delivery in a patched program (isolated/delivery_threading.py), and what makes it so."""

from helpers import ROOT, Recorder, run_isolated

from corolib import Timeout, kill, sleep, spawn
from corolib._hub import shield
from corolib.event import Event
from corolib.testing import settle


def test_nothing_is_lost_in_a_patched_program() -> None:
    run_isolated(ROOT / "tests/isolated/delivery_threading.py")


def test_a_shielded_greenlet_has_its_kill_at_the_next_wait() -> None:
    rec, event = Recorder(), Event()

    def shielded() -> None:
        was = shield(True)
        rec(event.wait())
        sleep(0)
        rec(shield(was))
        rec("unshielded")
        sleep(0)
        rec("never")

    greenlet = spawn(shielded)
    settle()
    kill(greenlet)
    settle()
    assert not greenlet.ready()
    event.set()
    greenlet.join()
    rec.check([True, True, "unshielded"])


def test_a_shield_does_not_keep_a_time_limit_of_the_wait_itself() -> None:
    rec = Recorder()

    def shielded() -> None:
        try:
            with Timeout(0.001):
                was = shield(True)
                try:
                    rec(Event().wait(0.002))
                finally:
                    shield(was)
                sleep(0)
        except Timeout:
            rec("timeout")

    spawn(shielded).join()
    rec.check([False, "timeout"])
