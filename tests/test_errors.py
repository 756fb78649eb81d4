"""corolib.errors: what the classes are, and what a deadlock report looks like."""

import pytest
from helpers import run_isolated

from corolib import errors
from corolib._switch import GreenletExit


@pytest.mark.parametrize("name", ["BlockingSwitchOutError", "ConcurrentObjectUseError", "InvalidSwitchError"])
def test_misuse_is_an_assertion_error(name):
    assert issubclass(getattr(errors, name), AssertionError)


def test_use_from_another_thread_is_a_runtime_error():
    assert issubclass(errors.InvalidThreadUseError, RuntimeError)


def test_loop_exit_lists_who_waits():
    error = errors.LoopExit("blocks for ever", "hub", ("a waits for b", "b waits for a"))
    assert error.hub == "hub" and error.args == ("blocks for ever", "hub", error.waiting)
    assert str(error) == "blocks for ever\n    a waits for b\n    b waits for a"
    assert str(errors.LoopExit("blocks for ever")) == "blocks for ever"


def test_everything_public_exists():
    assert all(hasattr(errors, name) for name in errors.__all__)


def test_a_destroyed_hub_ends_as_one_that_is_killed():
    assert issubclass(errors.HubDestroyed, GreenletExit)
    assert errors.HubDestroyed(False).destroy_loop is False and errors.HubDestroyed().destroy_loop is True


def test_imports_the_engine_only():
    run_isolated("""
        import sys
        import corolib.errors
        names = {name.split(".")[1] for name in sys.modules if name.startswith("corolib.")}
        assert names == {"errors", "_switch"}, names
    """)
