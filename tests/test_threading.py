"""corolib.threading: what replaces names of threading. The whole of it at work is tested in tests/monkey."""

import threading as stdlib

import pytest
from helpers import run_isolated

from corolib import event, local, thread, threading


def test_what_is_replaced_is_there_and_is_what_corolib_has() -> None:
    for name in threading.__implements__:
        assert hasattr(threading, name), name
        assert hasattr(stdlib, name), name
    assert threading.Lock is threading._allocate_lock is thread.LockType
    assert threading.RLock is threading._CRLock is thread.RLock
    assert issubclass(threading.Event, event.Event)
    assert threading.local is local.local
    assert threading.get_ident is thread.get_ident


def test_names_that_threading_took_from_thread_are_all_replaced() -> None:
    """A new Python that takes another name that blocks or identifies has to be looked at."""
    from_thread = {
        name
        for name, value in vars(stdlib).items()
        if getattr(value, "__module__", None) == "_thread" and name not in threading.__implements__
    }
    harmless = {
        # Objects, which patch_threads() and patch_locks() exchange.
        *("_active_limbo_lock", "_shutdown_locks_lock", "_thread_local_info"),
        "ExceptHookArgs",
        "RLock",  # made by threading's factory
        "ThreadError",
        "__excepthook__",
        "_daemon_threads_allowed",
        "_excepthook",
        "_get_main_thread_ident",
        "_is_main_interpreter",
        "_set_sentinel",
        "excepthook",
        "get_native_id",
        "stack_size",
    }
    assert from_thread <= harmless, from_thread - harmless


def test_an_event_has_what_the_standard_one_has() -> None:
    flag = threading.Event()
    assert repr(flag).endswith(": unset>")
    flag.set()
    assert repr(flag).endswith(": set>")
    with pytest.warns(DeprecationWarning, match="use is_set"):
        assert flag.isSet()


def test_the_main_thread_keeps_its_identity() -> None:
    run_isolated(
        """
        import threading
        before = threading.main_thread(), threading.get_ident(), threading.current_thread()
        from corolib import monkey
        monkey.patch_all()
        assert before == (threading.main_thread(), threading.get_ident(), threading.current_thread())
        from corolib.threading import main_native_thread
        assert main_native_thread() is threading.main_thread()
        """
    )


def test_native_threads_of_a_pool_are_known_by_their_own_identity_and_forgotten() -> None:
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import gc, threading, time
        from corolib._native import get_ident
        from corolib.threadpool import ThreadPool
        pool = ThreadPool(1)

        def look():
            me = threading.current_thread()
            assert me is threading.current_thread()
            assert me.ident == threading.get_ident() == get_ident()
            lock = threading.RLock()
            with lock, lock:
                pass
            return me.ident

        ident = pool.apply(look)
        assert ident in threading._active
        assert pool.apply(look) == ident
        pool.kill()
        deadline = time.monotonic() + 60
        while ident in threading._active and time.monotonic() < deadline:
            time.sleep(0.01)
            gc.collect()
        assert list(threading._active) == [threading.main_thread().ident]
        """
    )


def test_a_lock_that_a_native_thread_holds_is_waited_for_by_greenlets() -> None:
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import threading
        from corolib.threadpool import ThreadPool
        lock, held, order = threading.Lock(), threading.Event(), []
        go_on = monkey.get_original("_thread", "allocate_lock")()
        go_on.acquire()

        def hold():
            with lock:
                held.set()
                go_on.acquire()
                order.append("native")

        def take():
            with lock:
                order.append("greenlet")

        task = ThreadPool(1).spawn(hold)
        held.wait()
        threads = [threading.Thread(target=take) for _ in range(3)]
        for each in threads: each.start()
        order.append("others run")
        go_on.release()
        for each in threads: each.join()
        assert order == ["others run", "native", *["greenlet"] * 3], order
        """
    )
