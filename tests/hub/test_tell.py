"""tell(): a thread that has done its work wakes a hub of another one."""

from _thread import start_new_thread
from functools import partial

import pytest
from helpers import run_isolated

from corolib._hub import tell
from corolib.event import AsyncResult
from corolib.hub import get_hub

#: Seconds after which a test gives up.
PATIENCE = 20


def test_a_result_from_another_thread_arrives():
    for number in range(200):
        result = AsyncResult()
        start_new_thread(tell, (result.set, number))
        get_hub().external_enter()
        assert result.get(timeout=PATIENCE) == number
        get_hub().external_leave()


def test_one_that_tells_several_hubs_wakes_them_all():
    results = [AsyncResult() for _ in range(3)]
    arrived = [AsyncResult() for _ in range(3)]

    def wait(number):
        arrived[number].set(results[number].get(timeout=PATIENCE))

    def set_all(value):
        for result in results:
            result.set(value)

    for number in range(3):
        start_new_thread(wait, (number,))
    start_new_thread(tell, (set_all, 1))
    assert [each.get(timeout=PATIENCE) for each in arrived] == [1, 1, 1]


def test_it_gives_what_the_function_gives_and_raises_what_it_raises():
    assert tell(abs, -5) == 5
    assert tell(partial(tell, abs), -5) == 5
    with pytest.raises(ValueError, match="invalid literal"):
        tell(int, "x")
    with pytest.raises(TypeError, match="takes a function and its argument, got 1 arguments"):
        tell(abs)
    assert tell(abs, -6) == 6


def test_a_hub_may_go_while_it_is_told():
    """Its descriptor is not closed, nor another one written to in its place, while somebody is at it."""
    run_isolated(
        """
        import os
        from _queue import SimpleQueue
        from _thread import start_new_thread
        from corolib._hub import tell
        from corolib.event import AsyncResult

        def live(ended):
            result = AsyncResult()
            start_new_thread(tell, (result.set, None))
            result.get(timeout=20)
            ended.put(None)  # and its hub goes with the thread

        ended = SimpleQueue()
        for _ in range(50):
            for _ in range(20):
                start_new_thread(live, (ended,))
            files = []
            for _ in range(20):
                ended.get()
                files.append(os.open("/dev/null", os.O_RDWR))  # the number may have been the eventfd's
            for each in files:
                os.close(each)
        if os.fork() == 0:
            live(ended)
            os._exit(0)
        assert os.wait()[1] == 0
        """
    )
