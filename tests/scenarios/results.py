"""Kill, Timeout and wake racing for who waits for an event, a result, or the end of others."""

from collections.abc import Iterator

from switchpoints import Boom, Run

from corolib import Greenlet, GreenletExit, Timeout, iwait, joinall, killall, sleep, wait, with_timeout
from corolib.event import AsyncResult, Event
from corolib.hub import get_hub
from corolib.timeout import Timeout as TimeoutClass


def event_set_for_all(run: Run) -> Iterator[None]:
    event, woken = Event(), []

    def waiter(name: str) -> None:
        assert event.wait()
        woken.append(name)

    run.spawn(waiter, "a")
    run.subject(waiter, "subject")
    run.spawn(waiter, "b")
    run.spawn(lambda: (sleep(0), event.set(), event.clear()))
    yield
    assert woken.count("a") == woken.count("b") == 1
    assert woken.count("subject") == run.done


def event_with_a_time_limit(run: Run) -> Iterator[None]:
    """Set at the very moment when the time is over: seen or not, and everybody else sees it."""
    event, seen = Event(), []
    run.subject(lambda: seen.append(event.wait(1)))
    others = [run.spawn(event.wait, 1), run.spawn(event.wait, 3)]
    run.spawn(lambda: (sleep(1), event.set()))
    yield
    assert event.is_set()
    assert all(each.value in (True, False) for each in others)


def event_again_and_again(run: Run) -> Iterator[None]:
    """The two wake each other in turn; if the subject goes, the other finds out by its limit."""
    ping, pong = Event(), Event()

    def subject() -> None:
        for _ in range(3):
            ping.wait()
            ping.clear()
            pong.set()

    def other() -> int:
        for turn in range(3):
            ping.set()
            if not pong.wait(5):
                return turn
            pong.clear()
        return 3

    run.subject(subject)
    peer = run.spawn(other)
    yield
    assert peer.value == 3 or not run.done or ping.is_set()


def result_for_all(run: Run) -> Iterator[None]:
    result: AsyncResult[int] = AsyncResult()
    got = []
    run.subject(lambda: got.append(result.get()))
    others = [run.spawn(result.get) for _ in range(2)]
    run.spawn(lambda: (sleep(1), result.set(7)))
    yield
    assert [each.value for each in others] == [7, 7]
    assert got == ([7] if run.done else [])


def result_that_is_a_failure(run: Run) -> Iterator[None]:
    result: AsyncResult[int] = AsyncResult()
    caught = []

    def subject() -> None:
        for limit in (1, None):
            try:
                result.get(timeout=limit)
            except KeyError as error:
                caught.append(error)
            except TimeoutClass as error:
                if error is run.limit:
                    raise

    run.subject(subject)
    run.spawn(lambda: (sleep(1), result.set_exception(KeyError("k"))))
    other = run.spawn(result.wait)
    yield
    assert other.value is None
    assert len(caught) <= 2


def link_to_a_result(run: Run) -> Iterator[None]:
    """A greenlet hands its end over to an AsyncResult by a link: exactly once, however it ends."""
    result: AsyncResult[object] = AsyncResult()
    calls = []
    subject = run.subject(lambda: [sleep(1), sleep(0)])
    subject.link(result)
    subject.rawlink(calls.append)
    yield
    assert result.ready()
    assert calls == [subject]
    assert subject.has_links() == 0


def join_of_one(run: Run) -> Iterator[None]:
    worker = run.spawn(lambda: (sleep(1), sleep(1), 5)[-1])
    got = []

    def subject() -> None:
        worker.join(1)
        worker.join(1)
        got.append(worker.get())

    run.subject(subject)
    other = run.spawn(worker.get)
    yield
    assert other.value == 5
    assert got == ([5] if run.done else [])
    assert worker.has_links() == 0


def joinall_of_many(run: Run) -> Iterator[None]:
    workers = [run.spawn(sleep, seconds) for seconds in (0, 1, 1, 2)]
    ready = []

    def subject() -> None:
        ready.append(len(joinall(workers, timeout=1)))
        ready.append(len(joinall(workers, count=3)))
        ready.append(len(joinall(workers)))

    run.subject(subject)
    yield
    assert all(each.has_links() == 0 for each in workers)
    assert not run.done or ready[1:] == [3, 4]


def joinall_of_one_that_fails(run: Run) -> Iterator[None]:
    def fail() -> None:
        sleep(1)
        raise KeyError

    failing = Greenlet.spawn(fail)
    caught = []

    def subject() -> None:
        try:
            joinall([failing, other], raise_error=True)
        except KeyError:
            caught.append(1)

    other = run.spawn(sleep, 2)
    run.subject(subject)
    get_hub().NOT_ERROR = (*get_hub().NOT_ERROR, KeyError)
    run.errors.clear()
    failing.rawlink(lambda _: run.errors.clear())
    yield
    assert caught == ([1] if run.done else [])
    assert failing.has_links() == other.has_links() == 0


def iwait_left_in_the_middle(run: Run) -> Iterator[None]:
    things = [Event(), AsyncResult(), run.spawn(sleep, 1), Event()]
    came = []

    def subject() -> None:
        with iwait(things, timeout=5) as ready:
            for each in ready:
                came.append(each)
                sleep(0)

    run.subject(subject)
    run.spawn(lambda: (sleep(0), things[0].set(), sleep(1), things[1].set(1)))
    yield
    assert things[0].linkcount() == things[1].linkcount() == things[3].linkcount() == 0
    assert things[2].has_links() == 0
    assert len(came) == len({id(each) for each in came})


def wait_for_the_first(run: Run) -> Iterator[None]:
    events = [Event() for _ in range(3)]
    got = []
    run.subject(lambda: got.append(wait(events, count=1)))
    run.spawn(lambda: (sleep(1), events[1].set(), events[2].set()))
    yield
    assert not run.done or (len(got[0]) == 1 and got[0][0] in events[1:])
    assert sum(each.linkcount() for each in events) == 0


def killall_by_the_subject(run: Run) -> Iterator[None]:
    """Those it kills die, also if it is killed itself in the middle; each has had one exception."""
    had = []

    def stubborn() -> None:
        try:
            sleep(100)
        except GreenletExit:
            had.append(1)
            sleep(1)

    victims = [run.spawn(stubborn) for _ in range(3)]
    run.spawn(sleep, 0)
    run.subject(lambda: (sleep(1), killall(victims)))
    yield
    assert len(had) <= 3
    assert not run.done or all(each.ready() for each in victims)
    killall([each for each in victims if not each.ready()])
    yield


def killed_by_two(run: Run) -> Iterator[None]:
    """Somebody kills the subject at the same moment as the harness: it ends once, with one of the two."""
    had = []

    def subject() -> None:
        try:
            sleep(2)
        except (GreenletExit, Boom) as error:
            had.append(error)
        sleep(0)

    greenlet = run.subject(subject)
    run.spawn(lambda: (sleep(1), greenlet.kill()))
    yield
    assert len(had) <= 1
    assert greenlet.dead


def greenlet_as_a_context(run: Run) -> Iterator[None]:
    inner = []

    def subject() -> None:
        with Greenlet.spawn(sleep, 2) as worker:
            inner.append(worker)
            sleep(1)

    run.subject(subject)
    yield
    assert all(each.ready() for each in inner)


def nested_timeouts_with_equal_deadlines(run: Run) -> Iterator[None]:
    """The outer one was started first, so it is due first; the inner one leaves nothing behind."""
    seen = []

    def subject() -> None:
        outer = Timeout(1)
        try:
            with outer:
                try:
                    with Timeout(1) as inner:
                        sleep(5)
                except TimeoutClass as error:
                    seen.append("inner" if error is inner else "outer" if error is outer else "harness")
                    raise
        except TimeoutClass as error:
            if error is not outer:
                raise
        sleep(1)  # where something left over would be raised
        seen.append("end")

    run.subject(subject)
    yield
    assert not run.done or seen == ["outer", "end"], seen


def nested_timeouts_the_inner_first(run: Run) -> Iterator[None]:
    seen = []

    def subject() -> None:
        with Timeout(3, False), Timeout(2, False), Timeout(1, False):
            sleep(5)
        seen.append(get_hub().now())
        sleep(5)
        seen.append("end")

    run.subject(subject)
    yield
    assert not run.done or seen[-1] == "end"


def timeout_and_wake_at_the_same_time(run: Run) -> Iterator[None]:
    """Either the value has come or the Timeout, never both, never neither."""
    result: AsyncResult[int] = AsyncResult()
    seen = []

    def subject() -> None:
        seen.append(with_timeout(1, result.get, timeout_value="late"))
        sleep(0)

    run.spawn(lambda: (sleep(1), result.set(5)))
    run.subject(subject)
    yield
    assert len(seen) <= 1
    assert not run.done or seen[0] in (5, "late")


def watcher_of_the_loop(run: Run) -> Iterator[None]:
    """hub.wait(watcher): the watcher is stopped whatever happens."""
    hub = get_hub()
    timers = [hub.loop.timer(1), hub.loop.timer(0), hub.loop.async_()]

    def subject() -> None:
        for watcher in timers:
            hub.wait(watcher)

    run.subject(subject)
    run.spawn(lambda: (sleep(3), timers[2].send()))
    yield
    assert not any(watcher.active for watcher in timers)


def spawned_later(run: Run) -> Iterator[None]:
    ran = []
    run.spawn(lambda: (sleep(0), later.start_later(1), sleep(2)))
    later = Greenlet(lambda: (ran.append("begun"), sleep(1), ran.append("ended")))
    run.subject(lambda: (later.join(), ran.append("joined")))
    yield
    assert ran[:2] == ["begun", "ended"]
    assert ("joined" in ran) == run.done


SCENARIOS = [
    event_set_for_all,
    event_with_a_time_limit,
    event_again_and_again,
    result_for_all,
    result_that_is_a_failure,
    link_to_a_result,
    join_of_one,
    joinall_of_many,
    joinall_of_one_that_fails,
    iwait_left_in_the_middle,
    wait_for_the_first,
    killall_by_the_subject,
    killed_by_two,
    greenlet_as_a_context,
    nested_timeouts_with_equal_deadlines,
    nested_timeouts_the_inner_first,
    timeout_and_wake_at_the_same_time,
    watcher_of_the_loop,
    spawned_later,
]
