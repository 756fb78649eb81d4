"""gRPC, which waits in C: on corolib as it waits with gevent, and with the adapter of corolib.ext."""

from collections.abc import Callable
from typing import Any

import pytest
from compat.standing_in import HERE, run_as_gevent
from helpers import run_isolated
from programs.conftest import scripted
from programs.running import PLAIN_NETWORK, needs

from corolib.compat._grpc import Threads

#: What the program that uses all of it writes.
EVERYTHING = [
    "echo True",
    "NOT_FOUND no such here",
    "DEADLINE_EXCEEDED",
    "[0, 1, 2, 3, 4]",
    "b'6'",
    "[b'1!', b'2!']",
    "together True",
    "futures True",
    "killed True",
    "cancelled True",
    "CANCELLED",
    "together True",
    "[b'plain', b'2']",
    "sent",
    "by a greenlet True",
]
#: Stands for gRPC's module that is written in Cython, and takes what that takes.
STAND_IN = """
    import sys
    import threading
    from types import ModuleType, SimpleNamespace

    kept = SimpleNamespace()

    def init_grpc_gevent():
        import gevent
        import gevent.pool
        kept.threads = gevent.hub.get_hub().threadpool
        kept.group = gevent.pool.Group()

    package, below = ModuleType("grpc"), ModuleType("grpc._cython")
    below.cygrpc = SimpleNamespace(init_grpc_gevent=init_grpc_gevent, threading=threading)
    sys.modules |= {"grpc": package, "grpc._cython": below}

    import corolib
    from corolib.ext.grpc import install
"""


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of the real gRPC."""
    for mark in (pytest.mark.slow, pytest.mark.outside, pytest.mark.hang_after(300)):
        test = mark(test)
    return test


@real
def test_everything_as_with_gevent() -> None:
    needs(modules=("grpc",))
    with scripted(HERE / "programs" / "grpc_server.py") as (port,):
        assert run_as_gevent("use_grpc.py", "alias", port).splitlines() == EVERYTHING


@real
@pytest.mark.parametrize("where", ["server elsewhere", "server in the same process"])
def test_everything_with_the_adapter(where: str) -> None:
    needs(modules=("grpc",))
    with scripted(HERE / "programs" / "grpc_server.py") as (port,):
        ports = [port] if where == "server elsewhere" else []
        done = run_isolated(HERE / "programs" / "use_grpc.py", "adapter", *ports, env=PLAIN_NETWORK)
    assert done.stdout.splitlines() == EVERYTHING


@real
def test_tasks_of_an_event_loop_with_the_adapter() -> None:
    needs(modules=("grpc",))
    with scripted(HERE / "programs" / "grpc_server.py") as (port,):
        done = run_isolated(HERE / "programs" / "use_grpc_aio.py", port, env=PLAIN_NETWORK)
    ours, *rest = sorted(done.stdout.splitlines(), key=lambda line: line != "greenlets' {b'x'}")
    assert ours == "greenlets' {b'x'}"
    assert rest == ["a task's True", "[b'0', b'1', b'2']", "DEADLINE_EXCEEDED", "b'served!'"]


def test_the_adapter_lends_the_name_for_that_moment_and_gives_it_back() -> None:
    run_isolated(
        STAND_IN
        + """
    sys.modules["gevent"] = before = ModuleType("gevent")
    install(3)
    assert sys.modules["gevent"] is before
    assert not {"gevent.hub", "gevent.pool"} & {*sys.modules}
    """
    )


def test_the_adapter_gives_each_hub_threads_of_its_own_as_many_as_are_asked_for() -> None:
    run_isolated(
        STAND_IN
        + """
    from corolib._native import allocate_lock, get_ident, start_new_thread
    from corolib.event import AsyncResult
    from corolib.hub import get_hub_if_exists

    install(2)
    # A thread without a hub: where it is.
    told = AsyncResult()

    def alone():
        told.set((get_ident(), kept.threads.apply(get_ident, ()), get_hub_if_exists()))

    start_new_thread(alone, ())
    thread, waiter, hub = told.get()
    assert thread == waiter != get_ident() and hub is None

    gate, inside = allocate_lock(), []

    def wait():
        inside.append(get_ident())
        with gate:
            return get_ident()

    gate.acquire()
    jobs = [corolib.spawn(kept.threads.apply, wait, ()) for _ in range(3)]
    while len(inside) < 2:
        corolib.sleep(0.001)
    assert len(set(inside)) == 2 and get_ident() not in inside
    assert len(corolib.get_hub().threadpool) == 0, "the hub's own are left alone"
    gate.release()
    corolib.joinall(jobs, raise_error=True)
    assert len(inside) == 3 and {job.value for job in jobs} == {*inside}

    # Of another hub, in another thread.
    def elsewhere():
        corolib.sleep(0)
        return get_ident(), kept.threads.apply(get_ident, ())

    thread, waiter = corolib.get_hub().threadpool.apply(elsewhere)
    assert len({thread, waiter, get_ident()}) == 3 and waiter not in inside
    """
    )


def test_what_the_adapter_spawns_is_run_where_there_are_greenlets_and_where_not() -> None:
    run_isolated(
        STAND_IN
        + """
    from corolib._native import get_ident, start_new_thread
    from corolib.event import AsyncResult
    from corolib.hub import get_hub_if_exists

    install()
    # This thread has a hub since then.
    here, native = AsyncResult(), AsyncResult()
    kept.group.spawn(lambda: here.set(get_ident()))
    assert here.get() == get_ident()
    start_new_thread(kept.group.spawn, (lambda: native.set((get_ident(), get_hub_if_exists())),))
    thread, hub = native.get()
    assert thread != get_ident() and hub is None
    """
    )


def test_the_thread_that_waits_for_an_event_loop_is_native_and_the_others_are_as_they_were() -> None:
    run_isolated(
        STAND_IN
        + """
    from corolib._native import allocate_lock, get_ident
    from corolib import monkey

    monkey.patch_all()
    install()
    install()
    seen, gate = [], allocate_lock()
    gate.acquire()

    def _poll_wrapper():
        with gate:
            seen.append(get_ident())

    def other():
        seen.append(get_ident())

    seen_of = below.cygrpc.threading
    assert seen_of._real is threading and seen_of.Condition is threading.Condition
    poller = seen_of.Thread(target=_poll_wrapper, daemon=True)
    poller.start()
    poller.join(0.001)
    assert not seen
    gate.release()
    poller.join()
    poller.join(timeout=1)
    green = seen_of.Thread(target=other)
    green.start()
    green.join()
    assert isinstance(green, threading.Thread)
    assert seen[0] != get_ident() == seen[1]
    """
    )


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_the_adapter_says_what_it_expects(threads: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"expected .*, found {threads!r}"):
        Threads(threads)
