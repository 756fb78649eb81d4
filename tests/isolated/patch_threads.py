"""Threads are greenlets: who they are, what order they run in, how they end."""

from corolib import monkey

monkey.patch_all()

import _thread
import os
import threading
import time

from helpers import Recorder

from corolib.hub import getcurrent

rec = Recorder()
main_greenlet = getcurrent()
native = monkey.get_original("_thread", "get_ident")
assert threading.main_thread() is threading.current_thread()
assert threading.main_thread().ident == threading.get_ident() == native()


def body(name: str) -> None:
    me = threading.current_thread()
    assert me.name == name, (me.name, name)
    assert me.ident == threading.get_ident() == _thread.get_ident() != native()
    assert getcurrent() is not main_greenlet
    assert threading.main_thread() is not me
    assert me.is_alive()
    rec((name, "begins"))
    go.wait()
    assert threading.current_thread() is me
    rec((name, "ends"))


go = threading.Event()
threads = [threading.Thread(target=body, args=(name,), name=name) for name in "abc"]
assert [each.ident for each in threads] == [None] * 3
for each in threads:
    assert not each.is_alive()
    each.start()
    assert each.is_alive()
assert set(threads) < set(threading.enumerate())
assert len(os.listdir("/proc/self/task")) == 1, "a native thread was started"
assert len({each.ident for each in threads}) == 3
go.set()
for each in threads:
    each.join()
    each.join()
    assert not each.is_alive()
assert threading.enumerate() == [threading.main_thread()]
rec.check([*((name, "begins") for name in "abc"), *((name, "ends") for name in "abc")])

# join() with a timeout, from several greenlets at once, also of the main thread and of oneself.
gate = threading.Event()
slow = threading.Thread(target=gate.wait)
slow.start()
slow.join(0.001)
assert slow.is_alive()
joiners = [threading.Thread(target=slow.join) for _ in range(3)]
for each in joiners:
    each.start()
gate.set()
for each in joiners:
    each.join()
    assert not slow.is_alive()


def joins_itself() -> None:
    try:
        threading.current_thread().join()
    except RuntimeError:
        rec("joined itself")


rec.items.clear()
thread = threading.Thread(target=joins_itself)
thread.start()
thread.join()
rec.check(["joined itself"])
try:
    thread.start()
except RuntimeError:
    pass
else:
    raise AssertionError("started twice")
try:
    threading.Thread().join()
except RuntimeError:
    pass
else:
    raise AssertionError("joined before the start")

# What run() raises goes to excepthook, once, and SystemExit and kills do not.
seen = []
threading.excepthook = lambda args: seen.append((args.exc_type, args.thread.name))


def fails(error: type[BaseException]) -> None:
    raise error


from corolib.hub import GreenletExit

for error in (ValueError, SystemExit, GreenletExit):
    thread = threading.Thread(target=fails, args=(error,), name=error.__name__)
    thread.start()
    thread.join()
assert seen == [(ValueError, "ValueError"), (SystemExit, "SystemExit")], seen

# Interrupting a join leaves the thread alive for the others.
from corolib.timeout import Timeout

gate.clear()
slow = threading.Thread(target=gate.wait)
slow.start()
try:
    with Timeout(0.001):
        slow.join()
except Timeout:
    rec("interrupted")
assert slow.is_alive()
gate.set()
slow.join()
assert not slow.is_alive()
rec.check(["joined itself", "interrupted"])

# _thread's own functions.
done = _thread.allocate_lock()
done.acquire()


def low_level(*args: object, **kwargs: object) -> None:
    rec((args, kwargs))
    done.release()
    _thread.exit()


rec.items.clear()
ident = _thread.start_new_thread(low_level, (1, 2), {"three": 3})
assert isinstance(ident, int)
done.acquire()
rec.check([((1, 2), {"three": 3})])
for bad in ((1, ()), (print, []), (print, (), 3)):
    try:
        _thread.start_new_thread(*bad)
    except TypeError:
        continue
    raise AssertionError(f"start_new_thread{bad} was accepted")

# A greenlet that threading has not started has a Thread while it lives, and no longer.
from corolib.hub import spawn_raw

idents = []


def stranger() -> None:
    me = threading.current_thread()
    assert me is threading.current_thread()
    assert me.daemon
    idents.append(me.ident)
    time.sleep(0)
    assert me is threading.current_thread()


before = set(threading._active)
strangers = [spawn_raw(stranger) for _ in range(10)]
time.sleep(0)
assert len(threading._active) == len(before) + 10
while not all(each.dead for each in strangers):
    time.sleep(0)
del strangers[:]
assert set(threading._active) == before, threading._active
assert len(os.listdir("/proc/self/task")) == 1
