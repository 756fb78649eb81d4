"""What of eventlet has a shape of its own: green threads, their pools, events, tpool, servers."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import Recorder, run_isolated

from corolib import compat
from corolib.testing import settle


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    compat.install(["eventlet"])
    yield
    compat.uninstall()


def test_green_threads() -> None:
    import eventlet

    from corolib import GreenletExit

    note = Recorder()
    thread = eventlet.spawn(divmod, 7, 2)
    thread.link(lambda me, word: note((me is thread, word)), "linked")
    assert thread.wait() == (3, 1)
    settle()
    note.check([(True, "linked")])
    later = eventlet.spawn_after(10, note, "never")
    later.cancel()
    killed = eventlet.spawn(eventlet.sleep, 10)
    settle()
    killed.kill()
    thrown = eventlet.spawn(eventlet.sleep, 10)
    settle()
    eventlet.kill(thrown, ValueError, ValueError("thrown"), None)
    for each in (later, killed):
        with pytest.raises(GreenletExit):
            each.wait()
    with pytest.raises(ValueError, match="thrown"):
        thrown.wait()
    assert note.items == [(True, "linked")]


def test_a_thread_of_a_local_timer_ends_with_its_owner() -> None:
    from eventlet import greenthread

    note = Recorder()
    owner = greenthread.spawn(greenthread.spawn_after_local, 0.001, note, "owner is over")
    assert owner.wait().wait() is None
    assert greenthread.spawn_after_local(0.001, note, "owner lives").wait() is None
    note.check(["owner lives"])


def test_a_green_pool_has_places() -> None:
    import eventlet
    from eventlet.event import Event

    note = Recorder()
    pool = eventlet.GreenPool(2)
    go = Event()

    def work(word: str) -> str:
        note(word)
        go.wait()
        return word

    first, _ = pool.spawn(work, "a"), pool.spawn_n(work, "b")
    outside = eventlet.spawn(pool.spawn, work, "c")
    settle()
    assert (pool.running(), pool.free(), pool.waiting()) == (2, 0, 1)
    note.check(["a", "b"])
    pool.resize(3)
    settle()
    assert (pool.size, pool.running(), pool.free(), pool.waiting()) == (3, 3, 0, 0)
    pool.resize(1)
    assert pool.free() == -2
    go.send()
    pool.waitall()
    assert (first.wait(), outside.wait().wait()) == ("a", "c")
    assert (pool.running(), pool.free()) == (0, 1)
    assert pool.spawn(lambda: pool.spawn(work, "inside").wait()).wait() == "inside"


def test_maps_and_piles_are_in_order() -> None:
    import eventlet

    pool = eventlet.GreenPool(3)
    assert list(pool.imap(pow, range(10), [2] * 10)) == [n * n for n in range(10)]
    assert list(pool.starmap(divmod, [(7, 2), (9, 4)])) == [(3, 1), (2, 1)]
    pile = eventlet.GreenPile(pool)
    for delay in (0.003, 0.001, 0):
        pile.spawn(lambda delay=delay: eventlet.sleep(delay) or delay)
    assert list(pile) == [0.003, 0.001, 0]
    assert list(pile) == []


def test_an_event_is_sent_once() -> None:
    import eventlet
    from eventlet.event import Event

    event = Event()
    assert event.wait(0.001) is None
    assert event.poll("not yet") == "not yet"
    waiting = eventlet.spawn(event.wait)
    settle()
    event.send("news")
    assert waiting.wait() == event.wait() == event.poll() == event.poll_result() == "news"
    assert event.ready() and event.has_result() and not event.has_exception()
    with pytest.raises(AssertionError, match="already"):
        event.send("more")
    event.reset()
    event.send_exception(ValueError("bad news"))
    assert event.has_exception() and event.poll_result("none") == "none"
    for ask in (event.wait, event.poll_exception):
        with pytest.raises(ValueError, match="bad news"):
            ask()
    event.reset()
    event.send_exception(KeyError)
    with pytest.raises(KeyError):
        event.wait()
    with pytest.raises(AssertionError, match="not been sent"):
        Event().reset()


def test_semaphores_and_queues() -> None:
    import eventlet

    semaphore = eventlet.Semaphore(1)
    semaphore.acquire()
    waiting = eventlet.spawn(semaphore.acquire)
    settle()
    assert semaphore.balance == -1 and not semaphore.bounded()
    semaphore.release()
    assert waiting.wait()
    capped = eventlet.CappedSemaphore(1, 1)
    assert capped.balance == 1 and not capped.release(blocking=False)
    giving = eventlet.spawn(capped.release)
    settle()
    assert not giving.dead
    assert capped.acquire() and giving.wait()
    with capped:
        assert capped.balance == 0
    queue = eventlet.Queue(1)
    queue.put(1)
    putting = eventlet.spawn(queue.put, 2)
    settle()
    assert queue.putting() == 1 and queue.getting() == 0
    queue.resize(5)
    assert [queue.get(), queue.get()] == [1, 2]
    assert putting.wait() is None


def test_trampoline_waits_for_a_descriptor() -> None:
    from eventlet import Timeout, hubs, spawn

    reader, writer = os.pipe()
    try:
        with pytest.raises(Timeout):
            hubs.trampoline(reader, read=True, timeout=0.001)
        with pytest.raises(ValueError, match="late"):
            hubs.trampoline(reader, read=True, timeout=0.001, timeout_exc=ValueError("late"))
        waiting = spawn(hubs.trampoline, reader, read=True)
        hubs.trampoline(writer, write=True)
        settle()
        assert not waiting.dead
        os.write(writer, b"x")
        waiting.wait()
    finally:
        os.close(reader)
        os.close(writer)


def test_tpool_works_in_native_threads() -> None:
    from eventlet import tpool

    from corolib._native import get_ident

    assert tpool.execute(get_ident) != get_ident()

    class Thing(list[int]):
        def where(self) -> int:
            return get_ident()

        def twin(self) -> "Thing":
            return Thing(self)

    proxy = tpool.Proxy(Thing([1, 2]), autowrap=(Thing,))
    assert proxy.where() != get_ident()
    assert isinstance(proxy.twin(), tpool.Proxy)
    proxy[0] = 5
    assert (proxy[0], len(proxy), list(proxy)) == (5, 2, [5, 2])
    with pytest.raises(IndexError):
        proxy[7]


def test_serve_and_connect() -> None:
    import eventlet

    listener = eventlet.listen(("127.0.0.1", 0))

    def handle(connection: Any, address: object) -> None:
        data = connection.recv(100)
        if data == b"stop":
            raise eventlet.StopServe
        connection.sendall(data.upper())

    server = eventlet.spawn(eventlet.serve, listener, handle, concurrency=5)
    client = eventlet.connect(listener.getsockname())
    client.sendall(b"hello")
    assert client.recv(100) == b"HELLO"
    assert client.recv(100) == b""
    last = eventlet.connect(listener.getsockname())
    last.sendall(b"stop")
    assert server.wait() is None
    for each in (client, last, listener):
        each.close()


def test_a_web_server() -> None:
    import eventlet
    from eventlet import wsgi

    def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["x"].encode()]

    listener = eventlet.listen(("127.0.0.1", 0))
    server = eventlet.spawn(wsgi.server, listener, site, environ={"x": "ok"}, log_output=False)
    client = eventlet.connect(listener.getsockname())
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while part := client.recv(1000):
        answer += part
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"ok")
    client.close()
    server.kill()
    settle()
    listener.close()
    with pytest.raises(TypeError, match="no nonsense"):
        wsgi.server(listener, site, nonsense=1)


def test_patching_with_eventlet_s_words() -> None:
    run_isolated(
        """
        from corolib import compat
        compat.install(["eventlet"])
        import eventlet
        from eventlet import patcher
        eventlet.monkey_patch(time=True, socket=True)
        import time, socket, threading
        from eventlet.green import socket as green
        assert socket.socket is green.socket
        assert patcher.is_monkey_patched("time") and patcher.is_monkey_patched(socket)
        assert not patcher.is_monkey_patched("threading")
        assert patcher.original("time").sleep.__module__ == "time"
        assert patcher.original("time") is not time
        try:
            eventlet.monkey_patch(nonsense=True)
        except TypeError as error:
            assert "nonsense" in str(error)
        else:
            raise AssertionError
        """
    )


def test_times_out_as_eventlet_says() -> None:
    import eventlet

    assert eventlet.is_timeout(TimeoutError()) and eventlet.is_timeout(eventlet.Timeout())
    assert not eventlet.is_timeout(ValueError())
    with eventlet.Timeout(0.001, False):
        eventlet.sleep(10)
    assert eventlet.with_timeout(0.001, eventlet.sleep, 10, timeout_value="late") == "late"
