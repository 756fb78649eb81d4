"""An event loop of asyncio in a greenlet, whatever selector it has."""

import pytest
from helpers import run_isolated

SCRIPT = """
import {first}
from corolib import monkey
monkey.patch_all()
import asyncio, selectors, threading, time

class AnswersAtOnce(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(0) if timeout == 0 else []

class Mine:
    "Not even derived from one."
    def __init__(self):
        self.mine = selectors.DefaultSelector()
    def __getattr__(self, name):
        return getattr(self.mine, name)
    def select(self, timeout=None):
        return [(key, key.events) for key in self.mine.get_map().values() if key.events & 2]

async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    def thread():
        time.sleep(0.01)
        loop.call_soon_threadsafe(future.set_result, "from a thread")
    threading.Thread(target=thread).start()
    print(await future, await loop.run_in_executor(None, lambda: time.sleep(0.01) or "from an executor"))

loop = asyncio.SelectorEventLoop({selector}())
loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.parametrize("selector", ["AnswersAtOnce", "Mine", "selectors.SelectSelector"])
@pytest.mark.parametrize("first", ["sys", "asyncio"])
def test_others_run_beside_a_loop(selector: str, first: str) -> None:
    done = run_isolated(SCRIPT.format(selector=selector, first=first), timeout=30)
    assert (done.stdout, done.stderr) == ("from a thread from an executor\n", "")


def test_without_a_hub_a_loop_is_what_it_is() -> None:
    """In a native thread, for example."""
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import asyncio
        from corolib.hub import get_hub_if_exists
        from corolib._native import allocate_lock, start_new_thread
        done = allocate_lock(); done.acquire()
        def body():
            loop = asyncio.SelectorEventLoop()
            class Own:
                def __init__(self, mine): self.mine = mine
                def __getattr__(self, name): return getattr(self.mine, name)
                def select(self, timeout=None): return []
            loop._selector = Own(loop._selector)
            seen.append(loop.run_until_complete(asyncio.sleep(0.001, "slept")))
            loop._selector = loop._selector.mine
            seen.append(get_hub_if_exists())
            loop.close()
            done.release()
        seen = []
        start_new_thread(body, ())
        done.acquire()
        assert seen == ["slept", None], seen
        """,
        timeout=30,
    )
