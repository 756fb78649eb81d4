"""corolib.tools.monitor: who keeps a hub from running, memory, monitoring functions."""

import io
import os
import sys
import threading
import types

import pytest
from helpers import in_thread, run_isolated

from corolib import _native, config, events
from corolib._switch import getcurrent
from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep
from corolib.tools import monitor as monitor_module
from corolib.tools.monitor import MonitorWarning, PeriodicMonitoringThread, Stretch


@pytest.fixture
def seen():
    """Events, as they come."""
    found = []
    events.subscribers.append(found.append)
    yield found
    events.subscribers.remove(found.append)


@pytest.fixture
def settings(monkeypatch):
    """Set config.name = value for the test."""

    def set_one(name, value):
        before = getattr(config, name)
        config.set(name, value)
        changed.append((name, before))

    changed = []
    yield set_one
    for name, value in reversed(changed):
        config.set(name, value)


@pytest.fixture
def monitor():
    """That of the hub of this test."""
    get_hub().exception_stream = io.StringIO()
    made = get_hub().start_periodic_monitoring_thread()
    yield made
    made.kill()


def until(condition):
    """Busy, without a wait."""
    while not condition():
        pass


def reports(seen):
    """On the hub of this test: the thread of an earlier one may be about to end with a last report."""
    hub = get_hub()
    return [each for each in seen if isinstance(each, events.EventLoopBlocked) and each.hub is hub]


def wait_for(event):
    """Until the monitor's thread sets it, which does not count as one that wakes others."""
    get_hub().external_enter()
    event.wait()
    get_hub().external_leave()


# -- when a stretch is reported ------------------------------------------------------------------------------


def test_a_stretch_is_reported_at_once_twice_four_times_the_limit():
    stretch = Stretch()
    looks = [(at / 2, stretch.look((0.0, 0), at / 2, 1.0)) for at in range(20)]
    assert [found for at, found in looks if found is not None] == [1.0, 2.0, 4.0, 8.0]


def test_looked_at_each_half_of_the_limit_it_is_reported_before_twice_the_limit():
    for begun in range(10):
        stretch = Stretch()
        at, limit = 0.0, 1.0
        begun /= 10
        while True:
            at += limit / 2
            # Before that somebody else has run.
            found = stretch.look((0.0, 7 if at >= begun else 6), at, limit)
            if found is not None:
                break
        assert limit <= at - begun < 2 * limit and found <= at - begun


def test_a_change_of_what_runs_begins_anew():
    stretch = Stretch()
    assert [stretch.look((0.0, entry), entry * 0.6, 1.0) for entry in range(5)] == [None] * 5
    assert stretch.look((0.0, 4), 3.5, 1.0) == pytest.approx(1.1)
    assert stretch.look(None, 4.0, 1.0) is None
    assert stretch.look((4.0, 0), 4.9, 1.0) is None
    assert stretch.look((4.0, 0), 5.5, 1.0) == 1.5


def test_an_ignored_stretch_is_not_reported():
    stretch = Stretch()
    stretch.ignored = (0.0, 0)
    assert stretch.look((0.0, 0), 5.0, 1.0) is None
    stretch.ignored = None
    assert stretch.look((0.0, 0), 5.0, 1.0) == 5.0


# -- the thread ----------------------------------------------------------------------------------------------


def test_a_blocked_hub_is_reported_with_the_culprits_stack(seen, monitor, settings):
    settings("max_blocking_time", 0.005)
    monitor.add_monitoring_function(monitor.monitor_blocking, 0.002)

    def culprit():
        until(lambda: reports(seen))

    blocker = Greenlet.spawn(culprit)
    blocker.join()
    blocked = reports(seen)[0]
    assert blocked.greenlet is blocker and blocked.hub is get_hub() and blocked.blocking_time >= 0.005
    text = "\n".join(blocked.info)
    assert f"<Greenlet at {id(blocker):#x}: " in text and " has kept <Hub at " in text
    assert ", in culprit" in text
    assert "* Threads" in text and "* Greenlets" in text
    until(lambda: "in culprit" in get_hub().exception_stream.getvalue())


def test_reports_are_not_printed_if_they_are_not_wanted(seen, monitor, settings):
    settings("max_blocking_time", 0.005)
    settings("print_blocking_reports", False)
    monitor.add_monitoring_function(monitor.monitor_blocking, 0.002)
    Greenlet.spawn(until, lambda: reports(seen)).join()
    assert get_hub().exception_stream.getvalue() == ""


def test_a_callback_that_blocks_is_found_too(seen, monitor, settings):
    settings("max_blocking_time", 0.005)
    monitor.add_monitoring_function(monitor.monitor_blocking, 0.002)
    get_hub().run_callback(until, lambda: reports(seen))
    sleep(0.001)
    blocked = reports(seen)[0]
    assert blocked.greenlet is get_hub()


def test_who_asks_for_it_may_block(monitor, settings):
    settings("max_blocking_time", 0.001)
    monitor.add_monitoring_function(monitor.monitor_blocking, None)
    sleep(0)
    get_hub().run_callback(id, None)
    sleep(0)
    found = []

    def body():
        monitor.ignore_current_greenlet_blocking()
        _native.sleep(0.003)
        found.append(monitor.monitor_blocking(get_hub()))
        monitor.monitor_current_greenlet_blocking()
        while (event := monitor.monitor_blocking(get_hub())) is None:
            _native.sleep(0.001)
        found.append(event)

    Greenlet.spawn(body).join()
    assert found[0] is None and isinstance(found[1], events.EventLoopBlocked)


def test_a_hub_that_sleeps_or_has_not_run_is_not_blocked(monitor, settings):
    settings("max_blocking_time", 0.001)
    monitor.add_monitoring_function(monitor.monitor_blocking, None)
    _native.sleep(0.003)
    assert monitor.monitor_blocking(get_hub()) is None  # never run
    hub = get_hub()
    seen = []

    def look():
        until(lambda: hub.polling)
        _native.sleep(0.003)
        seen.extend(monitor.monitor_blocking(hub) for _ in range(2))
        hub.run_callback(event.set)

    event = Event()
    thread = threading.Thread(target=look)
    thread.start()
    event.wait()
    thread.join()
    assert seen == [None, None]


def test_monitoring_functions_are_called_in_the_thread(seen, monitor):
    calls = []
    done = Event()

    def note(hub):
        calls.append((hub, _native.get_ident()))
        if len(calls) == 3:
            hub.run_callback(done.set)

    monitor.add_monitoring_function(note, 0.001)
    wait_for(done)
    assert {each[0] for each in calls} == {get_hub()}
    assert {each[1] for each in calls} == {monitor.monitor_thread_ident} != {_native.get_ident()}
    (entry,) = [each for each in monitor.monitoring_functions() if each.function is note]
    assert entry.period == monitor.min_sleep_time
    monitor.add_monitoring_function(note, 5)
    (entry,) = [each for each in monitor.monitoring_functions() if each.function is note]
    assert entry.period == 5
    monitor.add_monitoring_function(note, None)
    monitor.add_monitoring_function(note, None)
    assert [each.function for each in monitor.monitoring_functions()] == [monitor.monitor_blocking]
    assert 0 < monitor.calculate_sleep_time() <= 0.05
    monitor.add_monitoring_function(monitor.monitor_blocking, None)
    assert monitor.calculate_sleep_time() == monitor.inactive_sleep_time
    (started,) = [each for each in seen if isinstance(each, events.PeriodicMonitorThreadStartedEvent)]
    assert started.monitor is monitor
    assert isinstance(monitor, events.IPeriodicMonitorThread)


def test_bad_monitoring_functions_are_refused(monitor):
    with pytest.raises(TypeError, match="must be callable, not int"):
        monitor.add_monitoring_function(1, 1)
    with pytest.raises(ValueError, match="expected more than 0 seconds, found 0"):
        monitor.add_monitoring_function(id, 0)


def test_a_function_that_fails_is_reported_and_the_others_go_on(monitor):
    done = Event()

    def fail(hub):
        monitor.add_monitoring_function(fail, None)
        raise ZeroDivisionError

    def succeed(hub):
        if "ZeroDivisionError" in hub.exception_stream.getvalue():
            hub.run_callback(done.set)

    monitor.add_monitoring_function(fail, 0.001)
    monitor.add_monitoring_function(succeed, 0.001)
    wait_for(done)


def test_there_is_one_for_a_hub_and_it_ends_with_it():
    hub = get_hub()
    monitor = hub.start_periodic_monitoring_thread()
    assert hub.start_periodic_monitoring_thread() is monitor is hub.periodic_monitoring_thread
    assert monitor.hub is hub and repr(monitor).startswith("<PeriodicMonitoringThread at ")
    until(lambda: monitor.monitor_thread_ident is not None)
    hub.destroy()
    assert not monitor.should_run and repr(monitor).endswith(" killed>")
    until(lambda: monitor.monitor_thread_ident not in monitor_module._hub.threads()[0])


def test_it_does_not_put_off_a_loop_exit(monitor):
    until(lambda: monitor.monitor_thread_ident is not None)
    with pytest.raises(LoopExit):
        Event().wait()


def test_in_a_patched_program_by_a_setting():
    done = run_isolated(
        """
        from corolib import monkey; monkey.patch_all()
        import threading, time
        from corolib import events
        seen = []
        events.subscribers.append(seen.append)
        time.sleep(0)
        time.sleep(0.001)
        def hog():
            while not any(isinstance(each, events.EventLoopBlocked) for each in seen):
                pass
        thread = threading.Thread(target=hog)
        thread.start()
        thread.join()
        """,
        env={"COROLIB_MONITOR_THREAD": "1", "COROLIB_MAX_BLOCKING_TIME": "0.01"},
    )
    assert ", in hog\n" in done.stderr and "has kept" in done.stderr


def test_the_child_of_a_fork_has_a_thread_of_its_own(monitor):
    until(lambda: monitor.monitor_thread_ident is not None)
    sleep(0)
    pid = os.fork()
    if pid == 0:
        called = []
        try:
            monitor.add_monitoring_function(called.append, 0.001)
            until(lambda: called)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# -- memory --------------------------------------------------------------------------------------------------


def test_memory_over_and_under_a_limit(seen, monitor, settings, monkeypatch):
    used = [50]
    monkeypatch.setattr(monitor_module, "_memory_reader", lambda: lambda: (used[0], "info"))
    assert monitor.monitor_memory_usage() is None  # no limit
    settings("max_memory_usage", 100)

    def at(amount):
        used[0] = amount
        event = monitor.monitor_memory_usage(get_hub())
        return event and (type(event).__name__, event.mem_usage, event.max_allowed)

    assert at(100) is None
    assert at(150) == ("MemoryUsageThresholdExceeded", 150, 100)
    assert at(150) is None and at(140) is None  # no more than before
    assert at(160) == ("MemoryUsageThresholdExceeded", 160, 100)
    assert at(90) == ("MemoryUsageUnderThreshold", 90, 100)
    assert seen[-1].max_memory_usage == 160
    assert at(80) is None
    assert at(110) == ("MemoryUsageThresholdExceeded", 110, 100)
    assert len([each for each in seen if type(each).__name__.startswith("Memory")]) == 4


def test_memory_is_watched_if_there_is_a_limit(settings, monkeypatch):
    settings("max_memory_usage", "1gb")
    settings("memory_monitor_period", 0.5)
    monkeypatch.setattr(PeriodicMonitoringThread, "min_memory_monitor_period", 0.25)
    monitor = get_hub().start_periodic_monitoring_thread()
    until(lambda: len(monitor.monitoring_functions()) == 2)
    assert [each.period for each in monitor.monitoring_functions()][1] == 0.5


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="the system does not tell")
def test_what_the_system_says_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    used, info = monitor_module._memory_reader()()
    assert 1_000_000 < used == info.uss <= info.rss
    held = bytearray(b"x") * 80_000_000  # written to: what is not is not in use
    assert monitor_module._memory_reader()()[0] > used + 30_000_000
    del held


def test_what_psutil_says_comes_first(monkeypatch):
    class AccessDenied(Exception):
        pass

    class Process:
        def memory_full_info(self):
            if refused:
                raise AccessDenied
            return types.SimpleNamespace(uss=7, rss=9)

        def memory_info(self):
            return types.SimpleNamespace(rss=9)

    refused = []
    fake = types.SimpleNamespace(AccessDenied=AccessDenied, Process=Process)
    monkeypatch.setitem(sys.modules, "psutil", fake)
    read = monitor_module._memory_reader()
    assert read()[0] == 7
    refused.append(True)
    assert read()[0] == 9


def test_memory_cannot_be_watched_if_nothing_tells(monitor, monkeypatch):
    assert monitor.can_monitor_memory_usage()
    monkeypatch.setattr(monitor_module, "_memory_reader", lambda: None)
    assert not monitor.can_monitor_memory_usage()
    with pytest.raises(MonitorWarning, match="psutil"):
        monitor.install_monitor_memory_usage()


def test_a_monitor_can_be_had_in_any_thread():
    def other():
        monitor = get_hub().start_periodic_monitoring_thread()
        return monitor.hub is get_hub(), getcurrent() is get_hub().parent

    assert in_thread(other) == (True, True)
