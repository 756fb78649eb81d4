"""Several native threads: wake-ups across them, none lost or doubled; a hub per thread, ending with it."""

import _thread

from helpers import Recorder, run_isolated

from corolib import _hub
from corolib._switch import getcurrent
from corolib.errors import InvalidThreadUseError
from corolib.hub import get_hub


def run_thread(function, *args):
    """Start a native thread; the lock that is returned is free once it has ended."""
    done = _thread.allocate_lock()
    done.acquire()

    def body():
        try:
            function(*args)
        finally:
            done.release()

    _thread.start_new_thread(body, ())
    return done


def test_each_call_from_each_thread_is_made_once_and_in_its_threads_order():
    hub, main, rec = get_hub(), getcurrent(), Recorder()
    threads, calls = 8, 500

    def call(thread, number):
        rec((thread, number))
        if len(rec.items) == threads * calls:
            _hub.wake(main)

    def run(thread):
        for number in range(calls):
            hub.run_callback_threadsafe(call, thread, number)

    done = [run_thread(run, thread) for thread in range(threads)]
    _hub.park("calls", external=True)
    for lock in done:
        lock.acquire()
    for thread in range(threads):
        assert [number for which, number in rec.items if which == thread] == list(range(calls))


def test_ping_pong_between_hubs_of_two_threads():
    rounds = 2000
    here, there = _hub.WaitList(), _hub.WaitList()
    ping, pong = [0], [0]

    def wait_for(counter, waiters, value):
        while counter[0] < value:
            # A wake-up between the look and the wait is nobody's. Were they lost, it would take for ever.
            waiters.wait(timeout=0.1)

    def other():
        for value in range(1, rounds + 1):
            wait_for(ping, there, value)
            pong[0] = value
            here.wake()
        get_hub().destroy()

    done = run_thread(other)
    for value in range(1, rounds + 1):
        ping[0] = value
        there.wake()
        wait_for(pong, here, value)
    done.acquire()
    assert ping == pong == [rounds]


def test_interrupt_from_another_thread():
    main = getcurrent()
    done = run_thread(lambda: _hub.interrupt(main, KeyError("from thread")))
    try:
        _hub.park("interrupt", external=True, timeout=60)
    except KeyError as error:
        assert error.args == ("from thread",)
    else:
        # The thread was quicker than our wait: then it is pending.
        raise AssertionError("no interrupt arrived")
    done.acquire()


def test_a_deadlock_is_not_reported_while_another_thread_may_wake_us():
    main = getcurrent()
    go = _thread.allocate_lock()
    go.acquire()

    def other():
        go.acquire()
        while not _hub.wake(main, "late"):
            pass

    done = run_thread(other)
    get_hub().run_callback(go.release)
    assert _hub.park("nothing of this thread") == "late"
    done.acquire()


def test_what_belongs_to_a_thread_is_refused_in_another():
    hub, rec = get_hub(), Recorder()

    def other():
        for attempt in (hub.destroy, hub.switch, lambda: _hub.set_hub(hub)):
            try:
                attempt()
            except InvalidThreadUseError as error:
                rec(type(error))
        get_hub().destroy()

    run_thread(other).acquire()
    rec.check([InvalidThreadUseError] * 3)


def test_hubs_of_many_threads_come_and_go():
    done = run_isolated(
        """
        import _thread, gc
        import corolib.hub
        from corolib import _hub

        def body(lock):
            _hub.spawn_raw(_hub.sleep, 3600)
            _hub.sleep(0.001)
            lock.release()

        for _ in range(20):
            locks = [_thread.allocate_lock() for _ in range(5)]
            for lock in locks:
                lock.acquire()
                _thread.start_new_thread(body, (lock,))
            for lock in locks:
                lock.acquire()
            gc.collect()
        print("end")
        """
    )
    assert done.stdout == "end\n"
    assert done.stderr == ""


def test_the_interpreter_ends_quietly_with_hubs_in_other_threads():
    done = run_isolated(
        """
        import _thread
        from corolib import _hub
        from corolib.hub import get_hub

        ready = _thread.allocate_lock()
        ready.acquire()

        def body():
            hub = get_hub()
            hub.run_callback(ready.release)
            _hub.sleep(3600)

        _thread.start_new_thread(body, ())
        ready.acquire()
        _hub.sleep(0.001)
        """
    )
    assert done.stderr == ""
