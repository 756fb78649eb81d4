"""corolib._native: originals, whatever has been patched."""

import sys
import threading

import pytest
from helpers import run_isolated

from corolib import _native, queue


def test_original_is_what_stands_there():
    assert _native.original("time", "sleep") is _native.sleep
    assert _native.originals("_thread", "get_ident", "allocate_lock") == (
        _native.get_ident,
        _native.allocate_lock,
    )


def test_original_of_a_patched_name_is_what_was_saved(monkeypatch):
    monkeypatch.setitem(_native.saved, "time", {"sleep": "the old one"})
    assert _native.original("time", "sleep") == "the old one"
    assert _native.original("time", "monotonic") is _native.monotonic


def test_original_of_a_name_that_does_not_exist():
    with pytest.raises(AttributeError):
        _native.original("time", "no_such_name")


def test_in_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(_native.in_main_thread()))
    thread.start()
    thread.join()
    assert found == [False]
    assert _native.in_main_thread()


def test_in_main_thread_leaves_the_wakeup_descriptor_alone():
    run_isolated("""
        import os, signal
        from corolib._native import in_main_thread

        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        assert in_main_thread()
        assert signal.set_wakeup_fd(-1) == write
    """)


def test_after_a_fork_in_a_thread_that_thread_is_the_main_one():
    run_isolated(
        """
        import os, threading
        from corolib._native import in_main_thread

        def fork():
            assert not in_main_thread()
            child = os.fork()
            if child == 0:
                os._exit(0 if in_main_thread() else 1)
            status.append(os.waitpid(child, 0)[1])

        status = []
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        assert status == [0], status
    """,
        options=["-W", "ignore::DeprecationWarning"],
    )


@pytest.mark.parametrize(
    "module",
    [
        "_native",
        "_config",
        "local",
        "hub",
        "timeout",
        "_waiting",
        "event",
        "lock",
        "queue",
        "greenlet",
        "pool",
        "threadpool",
    ],
)
def test_importing_pulls_in_no_stdlib_module_that_patching_must_come_before(module):
    run_isolated(f"""
        import sys
        import corolib.{module}
        early = {{"socket", "ssl", "threading", "logging", "subprocess", "queue", "selectors", "asyncio"}}
        assert not early & set(sys.modules), early & set(sys.modules)
    """)


def test_native_names_are_those_of_c_modules():
    for name in ("allocate_lock", "get_ident", "sleep", "select", "start_new_thread"):
        assert type(getattr(_native, name)).__name__ in ("builtin_function_or_method", "type"), name
    assert sys.modules["_queue"].Empty is queue.Empty
