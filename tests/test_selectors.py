"""corolib.selectors: selectors that let others run."""

import selectors as stdlib

import pytest
from helpers import Recorder, run_isolated

from corolib import selectors, socket
from corolib.hub import get_hub, sleep, spawn_raw

KINDS = [
    selectors.DefaultSelector,
    selectors.EpollSelector,
    selectors.PollSelector,
    selectors.SelectSelector,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def selector(request):
    get_hub()
    with request.param() as made:
        yield made


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_select_waits_while_others_run(selector, pair) -> None:
    near, far = pair
    key = selector.register(near, selectors.EVENT_READ, "data")
    assert isinstance(selector, stdlib.BaseSelector)
    spawn_raw(lambda: (sleep(0.001), far.send(b"x")))
    assert selector.select() == [(key, selectors.EVENT_READ)]
    key = selector.modify(near, selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert selector.select(10) == [(key, selectors.EVENT_READ | selectors.EVENT_WRITE)]
    near.recv(1)
    assert selector.select(0) == [(key, selectors.EVENT_WRITE)]
    selector.unregister(near)
    assert selector.select(0) == []
    assert selector.select(0.001) == []


def test_select_lets_others_run_even_if_something_is_ready(selector, pair) -> None:
    rec = Recorder()
    selector.register(pair[0], selectors.EVENT_WRITE)
    for timeout in (0, None, 5, -1):
        spawn_raw(rec, timeout)
        assert len(selector.select(timeout)) == 1
    rec.check([0, None, 5, -1])


def test_errors_are_the_standard_library_s(selector, pair) -> None:
    near, _ = pair
    selector.register(near, selectors.EVENT_READ)
    with pytest.raises(KeyError):
        selector.register(near, selectors.EVENT_READ)
    with pytest.raises(ValueError):
        selector.register(near, 0)
    with pytest.raises(ValueError):
        selector.register("no file", selectors.EVENT_READ)
    selector.unregister(near)
    with pytest.raises(KeyError):
        selector.unregister(near)


def test_the_names_are_all_there() -> None:
    assert {name for name in dir(stdlib) if name.endswith("Selector")} - {"_PollLikeSelector"} == {
        name for name in selectors.__all__ if name.endswith("Selector")
    }
    assert issubclass(selectors.DefaultSelector, stdlib.DefaultSelector)


def test_patching_leaves_a_closed_selector_alone():
    """The child of a fork server has one, and patches."""
    run_isolated("""
        import selectors
        closed = [selectors.EpollSelector(), selectors.PollSelector()]
        for each in closed:
            each.close()
        from corolib import monkey
        monkey.patch_all()
        assert [each.get_map() for each in closed] == [None, None]
    """)
