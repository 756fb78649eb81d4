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
    done = run_isolated(SCRIPT.format(selector=selector, first=first), timeout=60)
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
        timeout=60,
    )


LOOPS = """
from corolib import monkey
monkey.patch_all()
import asyncio, sys, threading, time
import corolib
from corolib.threadpool import ThreadPoolExecutor as NativeExecutor

def nothing_is_noted():
    hooks = sys.get_asyncgen_hooks()
    return asyncio._get_running_loop() is None and hooks.firstiter is None and hooks.finalizer is None
"""


def test_threads_and_greenlets_have_loops_of_their_own() -> None:
    """Each sees its own as the running one, and its own current task; who has none sees none."""
    done = run_isolated(
        LOOPS
        + """
async def numbers(mine):
    try:
        for number in range(3):
            await asyncio.sleep(0.001)
            assert asyncio.get_running_loop() is mine
            yield number
    finally:
        ended.append(asyncio.get_running_loop() is mine)

async def main(name):
    mine, task = asyncio.get_running_loop(), asyncio.current_task()
    assert mine not in loops
    loops.append(mine)
    mine.slow_callback_duration = 1000  # in debug mode it would be told of, on a busy machine
    found = [number async for number in numbers(mine)]
    async for number in numbers(mine):
        break  # left to the loop's hook
    del number
    async def part():
        await asyncio.sleep(0.002)
        assert asyncio.get_running_loop() is mine and asyncio.current_task() is not task
        return len(found)
    counts = await asyncio.gather(part(), part(), asyncio.to_thread(lambda: nothing_is_noted() and 3))
    assert asyncio.get_running_loop() is mine and asyncio.current_task() is task
    return name, counts

def run(name):
    results.append(asyncio.run(main(name), debug=name == "debug"))
    assert nothing_is_noted()

loops, ended, results, seen = [], [], [], []
threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b", "debug")]
for each in threads: each.start()
greenlet = corolib.spawn(run, "greenlet")
def looks():
    while len(results) < 5:
        seen.append(nothing_is_noted())
        time.sleep(0.0005)
watcher = corolib.spawn(looks)
run("main")
for each in (*threads, greenlet, watcher): each.join()
print(sorted(results))
print(ended, set(seen))
"""
    )
    expected = [(name, [3, 3, 3]) for name in ("a", "b", "debug", "greenlet", "main")]
    assert (done.stdout, done.stderr) == (f"{expected}\n{[True] * 10} {{True}}\n", "")


def test_a_coroutine_that_waits_by_itself_and_loops_beside_it() -> None:
    """Its loop is the running one for itself, and for nobody else: others may begin one."""
    done = run_isolated(
        LOOPS
        + """
async def blocks(other):
    await asyncio.sleep(0.002)
    mine = asyncio.get_running_loop()
    for _ in range(20):
        time.sleep(0.001)  # lets greenlets run, not its own loop
        assert asyncio.get_running_loop() is mine
    await asyncio.sleep(0.001)
    assert asyncio.get_running_loop() is mine
    return "blocked"

async def beside():
    mine, turns = asyncio.get_running_loop(), 0
    while not done:
        await asyncio.sleep(0.001)
        assert asyncio.get_running_loop() is mine
        turns += 1
        corolib.spawn(lambda: begun.append((nothing_is_noted(), asyncio.run(asyncio.sleep(0, 1)))))
    return turns > 5

done, begun = [], []
other = corolib.spawn(asyncio.run, beside())
print(corolib.spawn(asyncio.run, blocks(other)).get())
done.append(True)
print(other.get(), nothing_is_noted(), set(begun))
"""
    )
    assert (done.stdout, done.stderr) == ("blocked\nTrue True {(True, 1)}\n", "")


def test_a_raw_greenlet_has_the_loop_of_who_made_it() -> None:
    """As without patching: libraries call what is synchronous in one, and await for it in the loop's."""
    done = run_isolated(
        LOOPS
        + """
from corolib._switch import getcurrent, greenlet

async def main():
    mine, task, above = asyncio.get_running_loop(), asyncio.current_task(), getcurrent()
    async def numbers():
        yield 1
        yield 2
    def call():
        seen.append(asyncio.get_running_loop() is mine and asyncio.current_task() is task)
        above.switch()
        time.sleep(0.001)  # by way of the hub
        seen.append(asyncio.get_running_loop() is mine and asyncio.current_task() is task)
        return asyncio.ensure_future(asyncio.sleep(0.001, "slept"))
    raw = greenlet(call)
    raw.switch()
    await asyncio.sleep(0.001)
    seen.append(asyncio.get_running_loop() is mine)
    slept = raw.switch()
    seen.append([number async for number in numbers()])
    return await slept

def look():
    while len(seen) < 8:
        if not nothing_is_noted(): seen.append("noted for others")
        time.sleep(0.0001)

seen = []
other = corolib.spawn(look)
print(asyncio.run(main()), corolib.spawn(asyncio.run, main()).get())
other.join()
print(seen)
"""
    )
    assert (done.stdout, done.stderr) == (f"slept slept\n{2 * [True, True, True, [1, 2]]}\n", "")


def test_loops_in_raw_greenlets_beside_who_made_them() -> None:
    """Playwright's synchronous calls: a loop in a raw greenlet, and notes that it makes by itself."""
    done = run_isolated(
        LOOPS
        + """
from corolib._switch import getcurrent, greenlet

def browse(number):
    assert nothing_is_noted()
    loop, me = asyncio.new_event_loop(), getcurrent()
    stop = loop.create_future()
    runner = greenlet(lambda: loop.run_until_complete(stop))
    for _ in range(3):
        task = loop.create_task(asyncio.sleep(0.001, number))
        task.add_done_callback(lambda _: me.switch())
        while not task.done():
            runner.switch()
        asyncio._set_running_loop(loop)
        time.sleep(0.001)
        assert asyncio.get_running_loop() is loop
    stop.set_result(None)
    runner.switch()
    assert runner.dead and nothing_is_noted()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    return number

print([each.get() for each in [corolib.spawn(browse, number) for number in range(3)]], browse("main"))
print(nothing_is_noted())
"""
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 2] main\nTrue\n", "")


def test_a_loop_in_a_native_thread_beside_greenlets() -> None:
    done = run_isolated(
        LOOPS
        + """
def in_thread():
    async def main():
        started.set_result(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return await future
    async def make(): return asyncio.get_running_loop().create_future()
    runner = asyncio.Runner()
    global future
    future = runner.run(make())
    with runner:
        return runner.run(main())

import concurrent.futures
started = concurrent.futures.Future()
with NativeExecutor(1) as executor:
    result = executor.submit(in_thread)
    turns = []
    counter = corolib.spawn(lambda: [turns.append(time.sleep(0.001)) for _ in range(5)])
    loop = started.result(60)
    counter.join()
    async def add(a, b):
        await asyncio.sleep(0.001)
        return a + b
    print(asyncio.run_coroutine_threadsafe(add(1, 2), loop).result(60), nothing_is_noted())
    loop.call_soon_threadsafe(future.set_result, "of the thread")
    print(result.result(60))
"""
    )
    assert (done.stdout, done.stderr) == ("3 True\nof the thread\n", "")


def test_what_a_loop_is_used_for_beside_greenlets() -> None:
    """Streams, subprocesses, signals, executors, a timeout and Ctrl-C, while a counter runs."""
    done = run_isolated(
        LOOPS
        + """
import os, signal
async def main():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\\n")
        print(await reader.readline())
        writer.close()
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await child.communicate(b"to a child"), child.returncode)
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await got.wait()
    print(await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001))
    print(await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, type=1) != [])
    try:
        async with asyncio.timeout(0.001): await asyncio.sleep(10)
    except TimeoutError:
        print("in time")
    corolib.spawn_later(0.005, os.kill, os.getpid(), signal.SIGINT)
    await asyncio.sleep(10)

turns = []
def count():
    while True: turns.append(time.sleep(0.001))
threading.Thread(target=count, daemon=True).start()
try: asyncio.run(main())
except KeyboardInterrupt: print("interrupted", len(turns) > 5)
"""
    )
    lines = "b'line\\n'\n(b'to a child', None) 0\nNone\nTrue\nin time\ninterrupted True\n"
    assert (done.stdout, done.stderr) == (lines, "")
