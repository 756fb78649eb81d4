"""Tests that leak, each one thing: what tests/test_leakcheck.py shows to the leak runner."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from corolib._switch import getcurrent, greenlet

kept = []
held = object()


def park():
    child = greenlet(getcurrent().switch)
    child.switch()
    return child


def test_references():
    # On a free-standing object: no block is left behind with it.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def test_blocks():
    # Some, so that a cache that gives back one block at the wrong moment does not hide them.
    kept.extend(object() for _ in range(5))


def test_descriptors():
    os.dup(0)


def test_maps():
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    # Private and anonymous. Every second one is unreadable, so that neighbours do not become one mapping.
    for protection in (0, 3):
        assert libc.mmap(None, 4096, protection, 0x22, -1, 0) not in (None, ctypes.c_void_p(-1).value)


def test_threads():
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def test_heap_bytes():
    for _ in range(10):
        ctypes.CDLL(None).malloc(600)


def test_greenlets():
    kept.append(greenlet(len))


def test_chunks():
    kept.append(park())


def test_pinned_lanes():
    child = greenlet(getcurrent().switch, pin=True)
    child.switch()
    kept.append(child)


def test_dropped_by_another_thread():
    """No leak: the next run ends what this one leaves to be ended."""
    holder = [park()]
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()


def test_clean(tmp_path, monkeypatch, capsys):
    """Uses and gives back all that is watched."""
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("LEAKS", "none")
    print("some output")
    child = park()
    child.switch()
    thread = threading.Thread(target=park)
    thread.start()
    thread.join()
    os.close(os.dup(0))
    cycle = []
    cycle.append(cycle)


def test_a_cache_that_fills_up():
    if len(kept) < 100:
        kept.append([object() for _ in range(4)])
        kept.extend([None] * 24)


def test_only_once():
    assert "once" not in kept
    kept.append("once")


def test_process():
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.leaky(True, reason="to show the mark")
def test_marked():
    kept.append(object())
