"""corolib.greenlet: start, result, links, killing at every point of a life, joinall and killall."""

import gc
import io
import threading
import traceback
from contextvars import ContextVar
from weakref import ref

import pytest
from helpers import Recorder, run_isolated

from corolib._switch import greenlet as raw_greenlet
from corolib.event import Event
from corolib.greenlet import Greenlet, SpawnedLink, joinall, killall
from corolib.hub import GreenletExit, get_hub, getcurrent, sleep, spawn_raw
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture(autouse=True)
def stream():
    get_hub().exception_stream = stream = io.StringIO()
    return stream


def boom(error=None):
    raise error if error is not None else ValueError("boom")


# -- start and result ----------------------------------------------------------------------------------------


def test_it_runs_when_the_caller_waits():
    rec = Recorder()
    made = Greenlet.spawn(lambda *args, **kwargs: (rec((args, kwargs)), 5)[1], 1, b=2)
    assert made.started and bool(made) and not made.ready() and not made.dead
    assert made.args == (1,) and made.kwargs == {"b": 2}
    rec("before")
    assert made.get() == 5
    rec.check(["before", ((1,), {"b": 2})])
    assert made.ready() and made.successful() and made.dead and not made.started and not made
    assert made.value == 5 and made.exception is None and made.exc_info == ()
    assert made.args == () and made.kwargs == {}


def test_made_first_and_started_later():
    rec = Recorder()
    made = Greenlet(rec, 1)
    sleep(0)
    assert not made.started and not made.ready() and not made
    made.start()
    made.start()
    made.join()
    made.start()
    sleep(0)
    rec.check([1])


def test_started_after_some_time():
    rec = Recorder()
    later = Greenlet.spawn_later(0.003, rec, "later")
    soon = Greenlet(rec, "soon")
    soon.start_later(0.001)
    soon.start()  # ignored: it is started already
    assert later.started and soon.started
    joinall([later, soon])
    rec.check(["soon", "later"])
    for bad in ("x", None):
        with pytest.raises(TypeError):
            Greenlet.spawn_later(bad, int)


def test_what_is_not_callable_is_refused():
    for make in (Greenlet, Greenlet.spawn):
        with pytest.raises(TypeError, match="callable"):
            make(5)


def test_a_subclass_overrides_run():
    class Mine(Greenlet):
        def __init__(self, a):
            super().__init__()
            self.a = a

        def _run(self):
            return self.a

    class Plain(Greenlet):
        def _run(self, a, b=0):
            return a + b

    assert Mine.spawn(3).get() == 3
    made = Plain(None, 1, b=2)
    assert "Plain._run(1, b=2)>" in repr(made)
    made.start()
    assert made.get() == 3


def test_a_failure_is_kept_reported_and_raised(stream):
    failed = Greenlet.spawn(boom)
    failed.join()
    assert failed.ready() and not failed.successful() and failed.value is None
    kind, error, tb = failed.exc_info
    assert kind is ValueError and error is failed.exception and tb is not None
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            failed.get()
        assert caught.value is error
    assert stream.getvalue().count("ValueError: boom") == 1 and "failed with ValueError" in stream.getvalue()


def test_a_failure_raised_again_does_not_grow(stream):
    """Each raise would add to the traceback of the last one, and keep what its frames hold."""
    failed = Greenlet.spawn(lambda: 1 / 0)
    failed.join()
    before = failed.exc_info[2]

    def frames(raising):
        with pytest.raises(ZeroDivisionError) as caught:
            raising()
        return len(traceback.extract_tb(caught.value.__traceback__))

    assert len({frames(failed.get) for _ in range(4)}) == 1
    assert len({frames(lambda: joinall([failed], raise_error=True)) for _ in range(4)}) == 1
    assert failed.exc_info[2] is before
    cancelled = Greenlet(int)
    cancelled.kill(ZeroDivisionError())
    assert len({frames(cancelled.get) for _ in range(4)}) == 1


def test_greenlet_exit_is_a_success(stream):
    error = GreenletExit("bye")
    ended = Greenlet.spawn(boom, error)
    assert ended.get() is error and ended.value is error and ended.successful() and ended.exception is None
    assert stream.getvalue() == ""


def test_a_recursion_error_reaches_get(stream):
    def deeper():
        deeper()

    with pytest.raises(RecursionError):
        Greenlet.spawn(deeper).get()


def test_get_and_join_with_a_time_limit():
    made = Greenlet.spawn(sleep, 10)
    assert made.join(timeout=0.001) is None and not made.ready()
    with pytest.raises(Timeout, match=r"^0\.001 seconds$"):
        made.get(timeout=0.001)
    with pytest.raises(Timeout) as caught:
        made.get(block=False)
    assert str(caught.value) == ""
    with pytest.raises(KeyError), Timeout(0.001, KeyError):
        made.join()
    made.kill()


def test_it_runs_in_a_copy_of_the_context_it_was_made_in():
    var = ContextVar("var", default=0)
    var.set(1)
    made = Greenlet.spawn(lambda: (var.get(), var.set(3), var.get()))
    var.set(2)
    assert made.get()[0] == 1 and var.get() == 2


def test_joined_from_another_thread():
    made = Greenlet.spawn_later(0.005, int, "5")
    got = []
    thread = threading.Thread(target=lambda: got.append(made.get()))
    thread.start()
    while thread.is_alive():
        sleep(0.001)
    assert got == [5]


# -- what it is ----------------------------------------------------------------------------------------------


def test_names_and_numbers():
    first, second = Greenlet(int), Greenlet(int)
    assert (first.minimal_ident, second.minimal_ident) == (0, 1)
    assert second.name == "Greenlet-1" and "'Greenlet-1'" in repr(second)
    first.name = "mine"
    assert first.name == "mine" and "'mine'" in repr(first)
    del first
    gc.collect()
    assert Greenlet(int).name == "Greenlet-0"


def test_repr_has_no_name_that_nobody_asked_for():
    assert "Greenlet-" not in repr(Greenlet(int))


def test_hub_and_loop():
    made = Greenlet(int)
    assert made.hub is get_hub() and made.loop is get_hub().loop and made.parent is get_hub()


def test_attributes_can_be_set():
    made = Greenlet(int)
    made.entry = 5
    assert made.entry == 5


def test_a_type_argument():
    made: Greenlet[int] = Greenlet[int].spawn(int, "3")
    assert made.get() == 3


def test_a_finished_one_is_freed_at_once():
    gc.collect()
    gc.disable()
    try:
        made = Greenlet.spawn(sleep, 0)
        made.join()
        gone = ref(made)
        del made
        assert gone() is None
    finally:
        gc.enable()


# -- links ---------------------------------------------------------------------------------------------------


def test_rawlinks_are_called_in_the_hub_in_order():
    rec = Recorder()
    made = Greenlet.spawn(int)
    for n in range(3):
        made.rawlink(lambda source, n=n: rec((n, source is made, getcurrent() is get_hub())))
    assert made.has_links() == 3
    made.join()
    sleep(0)
    made.rawlink(lambda source: rec("late"))
    sleep(0)
    rec.check([(0, True, True), (1, True, True), (2, True, True), "late"])


def test_links_run_in_a_greenlet_of_their_own_and_may_wait():
    rec = Recorder()
    made = Greenlet.spawn(int, "3")
    made.link(lambda source: (sleep(0), rec(source.get()), rec(getcurrent() is get_hub())))
    made.join()
    sleep(0.001)
    rec.check([3, False])


def test_links_on_success_and_on_failure():
    rec = Recorder()
    good, bad = Greenlet.spawn(int), Greenlet.spawn(boom)
    for made in (good, bad):
        made.link_value(lambda source: rec(("value", source is good)))
        made.link_exception(lambda source: rec(("exception", source is bad)))
    joinall([good, bad])
    sleep(0.001)
    rec.check([{("value", True), ("exception", True)}])


def test_links_taken_back():
    rec = Recorder()
    made = Greenlet.spawn(int)
    other = Recorder()
    for link in (made.rawlink, made.link, made.link_value, made.link_exception):
        link(rec)
        link(other)
    for _ in range(4):
        made.unlink(rec)
    made.unlink(rec)
    assert made.has_links() == 4
    made.unlink_all()
    assert made.has_links() == 0
    made.join()
    sleep(0.001)
    rec.check([])
    other.check([])


def test_a_link_may_take_back_a_later_one():
    rec = Recorder()
    made = Greenlet.spawn(int)

    def first(source):
        rec("first")
        source.unlink(second)

    def second(source):
        rec("second")

    made.rawlink(first)
    made.rawlink(second)
    made.join()
    sleep(0)
    rec.check(["first"])


def test_a_link_that_fails_is_reported_and_the_others_are_called(stream):
    rec = Recorder()
    made = Greenlet.spawn(int)
    made.rawlink(lambda source: 1 / 0)
    made.rawlink(rec)
    made.join()
    sleep(0)
    rec.check([made])
    assert "ZeroDivisionError" in stream.getvalue()


def test_a_link_must_be_callable():
    for link in (Greenlet(int).rawlink, Greenlet(int).link):
        with pytest.raises(TypeError, match="a link must be callable, not int: 5"):
            link(5)


def test_spawned_links_are_equal_to_their_callback():
    assert SpawnedLink(print) == print and SpawnedLink(print) == SpawnedLink(print)
    assert SpawnedLink(print) != repr and hash(SpawnedLink(print)) == hash(print)
    assert "print" in repr(SpawnedLink(print))


# -- spawn callbacks and the tree ----------------------------------------------------------------------------


def test_spawn_callbacks_see_every_start():
    seen = []
    other = []

    class Mine(Greenlet):
        pass

    Greenlet.add_spawn_callback(seen.append)
    Greenlet.add_spawn_callback(seen.append)
    Greenlet.add_spawn_callback(other.append)
    try:
        made = [Greenlet.spawn(int), Mine.spawn(int), Greenlet.spawn_later(0, int), Greenlet(int)]
        assert seen == made[:3]
        made[3].start_later(0)
        made[3].start()
        assert seen == made
        joinall(made)
    finally:
        Greenlet.remove_spawn_callback(seen.append)
    Greenlet.remove_spawn_callback(seen.append)
    Greenlet.spawn(int).join()
    assert len(seen) == 4 and len(other) == 5
    Greenlet.remove_spawn_callback(other.append)
    assert not {"start", "spawn"} & set(vars(Greenlet))


def test_without_tracking_there_is_no_tree():
    made = Greenlet(int)
    assert made.spawning_greenlet is None and made.spawn_tree_locals is None


def test_where_it_was_made_is_known_without_tracking():
    def maker(depth):
        return Greenlet(int) if depth == 0 else maker(depth - 1)

    def lines(made):
        found, site = [], made.spawning_stack
        while site is not None:
            found.append((site.f_code.co_name, site.f_lineno - first))
            site = site.f_back
        return found

    first = maker.__code__.co_firstlineno
    me = "test_where_it_was_made_is_known_without_tracking"
    assert lines(maker(9)) == [("maker", 1)] * 4
    assert lines(maker(0))[:2] == [("maker", 1), (me, 13)]
    # Through functions in C, and a generator.
    assert lines(next(iter(sorted([0], key=lambda _: 0))) or Greenlet.spawn(int))[0] == (me, 15)
    made = next(Greenlet.spawn_later(1000, int) for _ in range(1))
    assert lines(made)[:2] == [("<genexpr>", 16), (me, 16)]
    made.kill()


def test_the_tree():
    run_isolated(
        """
        from corolib.greenlet import Greenlet
        from corolib.hub import getcurrent, spawn_raw, sleep

        def child():
            return getcurrent().spawn_tree_locals

        def parent():
            me = getcurrent()
            me.spawn_tree_locals["who"] = "parent"
            made = Greenlet.spawn(child)
            assert made.spawning_greenlet() is me
            names = []
            site = made.spawning_stack
            while site is not None:
                names.append(site.f_code.co_name)
                site = site.f_back
            assert names == ["parent"], names
            assert made.spawning_stack.f_lineno > 0
            assert made.get() is me.spawn_tree_locals

        class Mine(Greenlet):
            def __init__(self, *args):
                super().__init__(*args)
                self.extra = 1

        made = Mine.spawn(parent)
        assert made.spawning_greenlet() is getcurrent() and made.extra == 1
        made.get()
        assert made.spawn_tree_locals == {"who": "parent"}
        assert Greenlet.spawn(int).spawn_tree_locals == {}

        def raw():
            first, second = Greenlet(int), Greenlet(int)
            trees.append(first.spawn_tree_locals is second.spawn_tree_locals)

        trees = []
        spawn_raw(raw)
        sleep(0)
        assert trees == [True]

        def deep(n):
            return Greenlet(int) if n == 0 else deep(n - 1)

        site, count = deep(50).spawning_stack, 0
        while site is not None:
            site, count = site.f_back, count + 1
        assert count == Greenlet.spawning_stack_limit
    """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
    )


# -- joinall and killall -------------------------------------------------------------------------------------


def test_joinall():
    made = [Greenlet.spawn(sleep, 0.001 * n) for n in range(3)]
    assert joinall(iter(made)) == made
    assert joinall([]) == []
    assert joinall(made, timeout=0) == made


def test_joinall_with_a_time_limit():
    short, long = Greenlet.spawn(sleep, 0), Greenlet.spawn(sleep, 10)
    assert joinall([long, short], timeout=0.005) == [short]
    assert joinall([short, long], timeout=0.005) == [short]
    long.kill()


def test_joinall_with_a_count():
    made = [Greenlet.spawn(sleep, 0.001 * n) for n in (3, 1, 2)]
    assert joinall(made, count=2) == [made[1], made[2]]
    made[0].join()


def test_joinall_raises_the_first_failure_at_once():
    bad, good = Greenlet.spawn(boom), Greenlet.spawn(sleep, 10)
    with pytest.raises(ValueError, match="boom"):
        joinall([good, bad], raise_error=True)
    assert not good.ready() and good.has_links() == 0
    good.kill()
    assert joinall([bad]) == [bad]


def test_joinall_of_other_things():
    event = Event()
    get_hub().run_callback(event.set)
    made = Greenlet.spawn(int)
    assert set(joinall([event, made])) == {event, made}


def test_killall():
    rec = Recorder()
    waiting = Greenlet.spawn(sleep, 10)
    sleep(0)
    fresh = Greenlet.spawn(rec, "ran")
    done = Greenlet.spawn(int)
    done.join()
    raw = spawn_raw(sleep, 10)
    sleep(0)
    killall(iter([waiting, fresh, done, raw]))
    assert waiting.dead and fresh.dead and raw.dead and done.value == 0
    killall([])


def test_killall_of_raw_ones_alone():
    rec = Recorder()

    def work():
        try:
            sleep(10)
        finally:
            rec("ended")

    raws = [spawn_raw(work), spawn_raw(work), spawn_raw(rec, "never ran")]
    sleep(0)
    raws.append(spawn_raw(rec, "never"))
    killall(raws)
    rec("after")
    assert all(each.dead for each in raws)
    rec.check(["never ran", "ended", "ended", "after"])


def test_killall_without_waiting():
    made = [Greenlet.spawn(sleep, 10) for _ in range(3)]
    sleep(0)
    killall(made, block=False)
    assert not any(each.dead for each in made)
    joinall(made)


def test_killall_with_a_time_limit():
    def stubborn():
        for _ in range(2):
            try:
                sleep(0.02)
            except KeyError:
                pass

    made = Greenlet.spawn(stubborn)
    sleep(0)
    with pytest.raises(Timeout):
        killall([made], KeyError, timeout=0.001)
    made.join()


def test_killall_of_a_lot_with_oneself_among_them():
    rec = Recorder()

    def work():
        killall([other, getcurrent()])
        rec("not reached")

    other = Greenlet.spawn(sleep, 10)
    me = Greenlet.spawn(work)
    joinall([me, other])
    assert isinstance(me.value, GreenletExit) and isinstance(other.value, GreenletExit)
    rec.check([])


def test_many():
    made = [Greenlet.spawn(int, n) for n in range(5000)]
    joinall(made)
    assert [each.value for each in made] == list(range(5000))


def test_switched_to_by_hand_it_starts_only_once():
    rec = Recorder()
    main = getcurrent()
    made = Greenlet.spawn(lambda: (rec("ran"), main.switch()))
    made.switch()
    assert isinstance(made, raw_greenlet) and not made.ready()
    sleep(0)
    made.kill()
    rec.check(["ran"])
