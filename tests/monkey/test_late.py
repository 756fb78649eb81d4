"""Patching twice, and patching when something has been made, taken or started already."""

import pytest
from helpers import run_isolated


def run(script: str, *options: str) -> str:
    done = run_isolated(script, options=options, timeout=60)
    return done.stdout + done.stderr


def test_patching_twice_changes_nothing() -> None:
    output = run(
        """
        from corolib import monkey
        assert monkey.patch_all()
        import socket, threading, time
        before = vars(time).copy(), vars(socket).copy(), vars(threading).copy()
        saved = {module: dict(names) for module, names in monkey.saved.items()}
        lock = threading.Lock()
        assert monkey.patch_all()
        monkey.patch_thread(); monkey.patch_socket(); monkey.patch_select(); monkey.patch_time()
        monkey.patch_queue(); monkey.patch_dns(); monkey.patch_selectors()
        assert before == (vars(time), vars(socket), vars(threading))
        assert saved == monkey.saved
        assert monkey.get_original("time", "sleep") is not time.sleep
        thread = threading.Thread(target=print, args=("works",)); thread.start(); thread.join()
        """,
        "-W",
        "error",
    )
    assert output == "works\n"


def test_other_arguments_add_and_warn() -> None:
    output = run(
        """
        from corolib import monkey
        monkey.patch_all(thread=False, queue=False, socket=False, dns=False, select=False)
        import _thread, time
        assert monkey.is_module_patched("time")
        assert not monkey.is_module_patched("_thread") and not monkey.is_module_patched("socket")
        monkey.patch_all()
        assert monkey.is_module_patched("threading")
        """
    )
    assert output.count("MonkeyPatchWarning") == 1
    assert "other arguments" in output
    assert "<string>:7" in output, "the warning is to name the line of the caller"


def test_names_that_a_module_has_taken_before_are_listed() -> None:
    output = run(
        """
        import sys, types
        from time import sleep
        from threading import Lock, Thread
        module = types.ModuleType("package.module")
        from socket import create_connection
        module.connect = create_connection
        sys.modules["package.module"] = module
        from corolib import monkey
        monkey.patch_all()
        monkey.patch_all()
        """
    )
    assert output.count("MonkeyPatchWarning") == 1
    assert "__main__.sleep (time.sleep)" in output
    assert "package.module.connect (socket.create_connection)" in output
    assert "__main__.Lock (" in output
    assert "Thread (" not in output, "Thread works: it is made of what was replaced"


def test_a_native_thread_that_runs_is_named_and_can_be_joined_and_stays_itself() -> None:
    output = run(
        """
        import threading, time, _thread
        go, began = _thread.allocate_lock(), _thread.allocate_lock()
        go.acquire(); began.acquire()
        native_ident = []

        def body():
            began.release()
            go.acquire()
            assert threading.current_thread() is early
            assert threading.get_ident() == early.ident
            print("native thread ends")

        early = threading.Thread(target=body, name="Early")
        early.start()
        began.acquire()
        from corolib import monkey
        monkey.patch_all()
        late = threading.Thread(target=lambda: (early.join(), print("joined", early.is_alive())))
        late.start()
        early.join(0.02)
        assert early.is_alive()
        counter = []
        ticker = threading.Thread(target=lambda: [counter.append(time.sleep(0.001)) for _ in range(10)])
        ticker.start(); ticker.join()
        go.release()
        late.join()
        """
    )
    assert "native threads run already (Early)" in output
    assert output.startswith("native thread ends\njoined False\n")


def test_a_native_thread_that_has_ended_is_none_that_runs() -> None:
    """Up to Python 3.12, who imports `threading` first passes for the main thread, and stays in its table."""
    output = run(
        """
        import sys, warnings
        warnings.simplefilter("error")
        import _thread
        for name in [name for name in sys.modules if name == "threading" or name.startswith("concurrent")]:
            del sys.modules[name]
        ended = []
        def first():
            import threading
            ended.append(threading.main_thread().name)
        _thread.start_new_thread(first, ())
        while not ended or _thread._count():
            pass
        from corolib import monkey
        monkey.patch_all()
        print(ended)
        """
    )
    assert output == "['MainThread']\n"


def test_the_exit_waits_for_a_native_thread_started_before() -> None:
    output = run(
        """
        import threading, time, warnings
        warnings.simplefilter("ignore")
        early = threading.Thread(target=lambda: (time.sleep(0.2), print("native thread ends")))
        early.start()
        from corolib import monkey
        monkey.patch_all()
        """
    )
    assert output == "native thread ends\n"


def test_locks_made_before_are_exchanged_wherever_they_are_kept() -> None:
    run(
        """
        import threading

        class Holder:
            shared = threading.Lock()
            def __init__(self):
                self.own = threading.Lock()
                self.again = threading.RLock()

        class Slotted:
            __slots__ = ("lock",)

        module_lock = threading.Lock()
        held = threading.Lock(); held.acquire()
        mine = threading.RLock(); mine.acquire(); mine.acquire()
        holder, slotted = Holder(), Slotted()
        vars(holder)
        slotted.lock = same = threading.Lock()
        listed = [threading.Lock()]
        condition, event, semaphore = threading.Condition(), threading.Event(), threading.Semaphore()

        def closure():
            lock = threading.Lock()
            return lambda: lock
        get = closure()

        from corolib import monkey, thread
        monkey.patch_all()
        assert type(module_lock) is type(Holder.shared) is type(holder.own) is type(get()) is thread.LockType
        assert type(holder.again) is thread.RLock
        assert slotted.lock is same and type(same) is thread.LockType
        assert type(listed[0]) is thread.LockType
        assert type(held) is not thread.LockType, "somebody holds it"
        assert type(mine) is thread.RLock and mine._recursion_count() == 2
        mine.release(); mine.release()
        assert not mine.locked()
        Holder.shared.acquire(); assert Holder.shared.locked()
        for kept in (condition, event._cond, semaphore._cond):
            assert type(kept._lock) in (thread.LockType, thread.RLock)
        threads = [threading.Thread(target=event.wait) for _ in range(3)]
        for each in threads: each.start()
        event.set()
        for each in threads: each.join()
        """
    )


def test_native_locks_of_corolib_stay_native() -> None:
    run(
        """
        from corolib import _native, monkey
        from corolib.hub import get_hub
        from corolib.threadpool import ThreadPool
        pool = ThreadPool(2)
        assert pool.apply(len, ("abc",)) == 3
        monkey.patch_all()
        assert pool.apply(len, ("abc",)) == 3
        assert get_hub().threadpool.apply(len, ("abc",)) == 3
        import threading
        assert _native.allocate_lock is not threading.Lock
        """
    )


def test_patching_threads_elsewhere_than_in_the_main_thread_is_refused() -> None:
    output = run(
        """
        import _thread, time
        from corolib import monkey
        done = _thread.allocate_lock(); done.acquire()
        def body():
            try: monkey.patch_all()
            except RuntimeError as error: print(error)
            finally: done.release()
        _thread.start_new_thread(body, ())
        done.acquire()
        assert not monkey.is_anything_patched()
        """
    )
    assert output == "patch_thread() must be called in the main thread\n"


def test_a_module_that_patches_while_it_is_imported_can_be_imported_by_threads(tmp_path) -> None:
    (tmp_path / "application.py").write_text(
        "from corolib import monkey\n"
        "monkey.patch_all()\n"
        "import threading, time\n"
        "def body():\n"
        "    import application\n"
        "    seen.append(application.ready)\n"
        "seen, ready = [], False\n"
        "threads = [threading.Thread(target=body) for _ in range(3)]\n"
        "for each in threads: each.start()\n"
        "time.sleep(0.01)\n"
        "ready = True\n"
    )
    output = run(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import application
        for each in application.threads: each.join()
        print(application.seen)
        """
    )
    assert output == "[True, True, True]\n"


def test_threads_that_import_the_same_slow_module_all_get_all_of_it(tmp_path) -> None:
    (tmp_path / "slow.py").write_text("import time\nbegan = True\ntime.sleep(0.01)\ndone = True\n")
    output = run(
        f"""
        from corolib import monkey
        monkey.patch_all()
        import sys, threading
        sys.path.insert(0, {str(tmp_path)!r})
        def body():
            import slow
            print(slow.done)
        threads = [threading.Thread(target=body) for _ in range(5)]
        for each in threads: each.start()
        for each in threads: each.join()
        """
    )
    assert output == "True\n" * 5


def test_patching_in_a_greenlet_while_the_loop_runs() -> None:
    output = run(
        """
        import corolib, threading, time
        order = []
        def other():
            for n in range(3):
                order.append(n)
                corolib.sleep(0.001)
        def late():
            from corolib import monkey
            monkey.patch_all()
            mine = threading.Thread(target=lambda: (time.sleep(0.001), order.append("thread")))
            mine.start(); mine.join()
            assert threading.current_thread() is not threading.main_thread()
            with threading.Lock(): time.sleep(0)
            return "patched"
        greenlets = [corolib.spawn(other), corolib.spawn(late)]
        corolib.joinall(greenlets, raise_error=True)
        assert greenlets[1].value == "patched" and set(order) == {0, 1, 2, "thread"}
        assert threading.current_thread() is threading.main_thread()
        """,
        "-W",
        "error",
    )
    assert output == ""


@pytest.mark.parametrize("selector", ["Epoll", "Poll", "Select"])
def test_patching_in_a_coroutine_of_a_loop_that_runs(selector: str) -> None:
    """Its selector is cooperative from then on, and so threads run beside it."""
    output = run(
        """
        import asyncio, selectors
        async def main():
            from corolib import monkey
            monkey.patch_all()
            import threading, time
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            def body():
                time.sleep(0.001)
                loop.call_soon_threadsafe(done.set_result, "from a thread")
            threading.Thread(target=body).start()
            slept = await loop.run_in_executor(None, lambda: time.sleep(0.001) or "and an executor")
            print(await done, slept)
        loop = asyncio.SelectorEventLoop(selectors.SELECTORSelector())
        loop.run_until_complete(main())
        loop.close()
        """.replace("SELECTOR", selector)
    )
    assert output == "from a thread and an executor\n"


def test_patching_after_all_that_is_patched_was_imported_and_used() -> None:
    """Handlers of logging, a queue with items, a context of TLS, an executor: they work on, cooperatively."""
    output = run(
        """
        import concurrent.futures, logging, queue, select, selectors, socket, ssl, subprocess, sys, threading
        logging.basicConfig(stream=sys.stdout, format="%(threadName)s %(message)s")
        log, jobs, results = logging.getLogger(), queue.Queue(maxsize=1), queue.SimpleQueue()
        context = ssl.create_default_context()
        executor = concurrent.futures.ThreadPoolExecutor(1)
        condition = threading.Condition()
        jobs.put("made before")
        from corolib import monkey
        monkey.patch_all()
        from corolib.ssl import SSLSocket
        import time
        def body():
            for _ in range(3):
                log.warning(jobs.get())
                jobs.task_done()
        thread = threading.Thread(target=body, name="late"); thread.start()
        for n in range(2): jobs.put(f"item {n}")
        jobs.join(); thread.join()
        def notify():
            with condition: condition.notify()
        with condition:
            threading.Thread(target=notify).start()
            assert condition.wait(20)
        assert executor.submit(lambda: time.sleep(0.001) or "executor").result(20) == "executor"
        assert context.sslsocket_class is SSLSocket
        assert subprocess.run(["echo", "child"], capture_output=True, text=True).stdout == "child\\n"
        """,
        "-W",
        "error",
    )
    assert output == "late made before\nlate item 0\nlate item 1\n"


def test_thread_locals_and_simple_queues_made_before_are_exchanged() -> None:
    run(
        """
        import queue, threading
        class Holder:
            local = threading.local()
        local, items = threading.local(), queue.SimpleQueue()
        local.value = "main"
        items.put(1); items.put(2)
        put = items.put
        from corolib import monkey
        monkey.patch_all()
        import time
        def body(n):
            assert not hasattr(local, "value")
            local.value = Holder.local.value = n
            time.sleep(0.001)
            assert local.value == Holder.local.value == n
        threads = [threading.Thread(target=body, args=(n,)) for n in range(3)]
        for each in threads: each.start()
        for each in threads: each.join()
        assert local.value == "main"
        assert [items.get(), items.get()] == [1, 2]
        threading.Thread(target=lambda: (time.sleep(0.001), put(3))).start()
        assert items.get() == 3, "it would have blocked the thread"
        """,
        "-W",
        "error",
    )


def test_a_simple_queue_from_where_it_is_made_is_exchanged_too() -> None:
    run_isolated(
        """
        import sys
        from _queue import SimpleQueue
        assert "queue" not in sys.modules
        jobs = SimpleQueue()
        jobs.put(1)
        from corolib import monkey, queue
        monkey.patch_all()
        assert type(jobs) is queue.SimpleQueue and jobs.get() == 1
        """
    )
