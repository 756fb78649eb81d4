"""Memory runs out in the middle of a switch: who was to be resumed gets its delivery later."""

from helpers import run_isolated

#: One lane, so that every switch between two greenlets saves a slice; one that is too large for what memory
#: there is while `hungry()`.
PRELUDE = """
    import resource
    from contextlib import contextmanager
    from corolib import _hub, spawn, spawn_raw, sleep, get_hub

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]

    @contextmanager
    def hungry():
        resource.setrlimit(resource.RLIMIT_AS, (1, hard))
        try:
            yield
        finally:
            feed()

    def feed():
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

    def deep(levels, function):
        # Calls through C, so that the stack is used. A debug build of 3.13 allows 500 of them, three a level.
        return sorted([0], key=lambda _: deep(levels - 1, function))[0] if levels else function() or 0

    log = []
    values = [object(), object()]

    def waiter():
        try:
            log.append(("got", values.index(_hub.park("value"))))
        except KeyError:
            log.append("raised")
        sleep(0)

"""


def run(script: str) -> str:
    return run_isolated(PRELUDE + script, env={"COROLIB_LANES": "1"}).stdout


def test_a_hand_over_from_greenlet_to_greenlet_that_fails_loses_nothing() -> None:
    out = run("""
    first, second = spawn(waiter), spawn(waiter)
    sleep(0)

    def giver():
        _hub.wake(first, values[0])
        _hub.wake_error(second, KeyError())
        try:
            with hungry():
                sleep(0)
        except MemoryError:
            log.append("no memory")
        log.append("on")

    spawn(deep, 100, giver).join()
    first.join()
    second.join()
    print(log[:2], {*log[2:]} == {("got", 0), "raised"})
    """)
    assert out == "['no memory', 'on'] True\n"


def test_a_resumption_by_the_hub_that_fails_loses_nothing() -> None:
    out = run("""
    hub = get_hub()
    errors = []
    hub.handle_error = lambda *error: errors.append(error)
    first, second = spawn(waiter), spawn(waiter)
    sleep(0)

    def hog():
        hub.run_callback(starve)
        _hub.park("the end")
        log.append("hog")

    def starve():
        resource.setrlimit(resource.RLIMIT_AS, (1, hard))
        _hub.wake(first, values[1])
        _hub.wake_error(second, KeyError())
        hub.run_callback(log.append, "starved")
        hub.run_callback(lambda: hub.run_callback(feed))

    deeply = spawn(deep, 100, hog)
    first.join()
    second.join()
    _hub.wake(deeply)
    deeply.join()
    print(log, errors)
    """)
    assert out == "['starved', ('got', 1), 'raised', 'hog'] []\n"


def test_a_start_that_fails_is_made_later() -> None:
    out = run("""
    hub = get_hub()
    errors = []
    hub.handle_error = lambda *error: errors.append(error)

    def hog():
        hub.run_callback(starve)
        _hub.park("the end")

    def starve():
        resource.setrlimit(resource.RLIMIT_AS, (1, hard))
        hub.run_callback(log.append, "starved")
        hub.run_callback(lambda: hub.run_callback(feed))

    # Made while there is memory, to be started when there is none.
    deeply = spawn(deep, 100, hog)
    sleep(0)
    green = spawn(log.append, "green")
    raw = spawn_raw(log.append, "raw")
    green.join()
    sleep(0)
    _hub.wake(deeply)
    deeply.join()
    print(sorted(log), errors)
    """)
    assert out == "['green', 'raw', 'starved'] []\n"
