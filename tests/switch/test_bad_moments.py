"""Python code that runs where nobody expects it: destructors, collections, trace functions and signal
handlers that switch in the middle of somebody else's step.
"""

import gc
import sys
import threading
import weakref

import needed
import pytest
from helpers import Recorder, run_isolated

from corolib._switch import GreenletExit, getcurrent, gettrace, greenlet, settrace, stats


class Oops(Exception):
    pass


class Unraisable:
    """Collects what goes to sys.unraisablehook."""

    def __enter__(self):
        self.caught = []
        self.old, sys.unraisablehook = sys.unraisablehook, lambda args: self.caught.append(args.exc_type)
        return self.caught

    def __exit__(self, *args):
        sys.unraisablehook = self.old


# --- a collection in the middle of a switch ---------------------------------------------------------------

COLLECTIONS = """
    import gc, sys, weakref
    from corolib._switch import error, get_lanes, getcurrent, greenlet

    rounds = int(sys.argv[1])
    main = getcurrent()
    errors = []
    sys.unraisablehook = errors.append
    switched = 0

    def side_run(back):
        while True:
            back = back.switch("back")

    side = greenlet(side_run)

    def detour(*_):
        # Wherever this is called from, go elsewhere and come back.
        global switched
        if getcurrent() is not side:
            assert side.switch(getcurrent()) == "back"
            switched += 1

    class Cycle:
        def __init__(self):
            self.me = self

    class Dying(Cycle):
        __del__ = detour

    def watched():
        cycle = Cycle()
        cycle.watcher = weakref.ref(cycle, detour)
        return weakref.ref(cycle, detour)

    def worker(number):
        value, made = 0, []
        while True:
            if value % 8 == 0:
                Dying()
                made = [watched()]
            # Two arguments: the switch packs a tuple, and that allocation is where a collection can begin.
            got = main.switch(number, value)
            assert got == (number, value + 1), (got, number, value)
            value += 1

    gc.set_threshold(1)
    workers = [greenlet(worker) for _ in range(5)]
    for number, child in enumerate(workers):
        assert child.switch(number) == (number, 0)
    for value in range(rounds):
        for number, child in enumerate(workers):
            got = child.switch(number, value + 1)
            assert got == (number, value + 1), (got, number, value)
    gc.disable()
    # Most of the five dead in eight rounds: when each is found depends on where the collections fall.
    assert switched >= rounds // 8 * 3, switched
    # With few lanes, a destructor may find the one taken that it needs: by the collection that has called it.
    refused = [each for each in errors if type(each.exc_value) is error and "garbage collection" in str(each)]
    assert len(errors) == (0 if get_lanes() > 4 else len(refused)), errors[:3]
"""


def test_collections_in_the_middle_of_switches_send_nothing_astray():
    run_isolated(COLLECTIONS, 2000)


@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_ten_million_switches_with_collections_in_their_middle():
    run_isolated(COLLECTIONS, 1_000_000, timeout=800)


# --- starting what is being started -----------------------------------------------------------------------


def test_a_destructor_of_the_callable_that_switches_when_it_is_cleared():
    main = getcurrent()
    record = Recorder()

    class Callable:
        def __init__(self, name):
            self.name = name

        def __call__(self):
            record(f"{self.name} runs")

        def __del__(self):
            record(f"{self.name} goes")
            try:
                child.switch()
            except AttributeError:
                record("has nothing to run")

    child = greenlet(Callable("first"))
    del child.run
    record.check(["first goes", "has nothing to run"])
    assert not child.dead

    # Replaced by another one: the destructor of the old one starts the greenlet with the new one.
    child.run = Callable("second")
    record.items.clear()
    child.run = lambda: record("third runs") or main.switch() or record("third ends")
    record.check(["second goes", "third runs"])
    child.switch()
    record.check(["second goes", "third runs", "third ends"])
    assert child.dead


@pytest.mark.parametrize("end", ["returns", "thrown at", "dropped"])
def test_a_destructor_of_the_callable_that_switches_to_its_own_greenlet(end):
    record = Recorder()

    class Callable:
        def __call__(self):
            record("runs")

        def __del__(self):
            record(type(own[0].switch()) if own else None)

    own = [greenlet(Callable())]
    if end == "returns":
        own[0].switch()
        record.check(["runs", tuple])
    elif end == "thrown at":
        with pytest.raises(Oops):
            own[0].throw(Oops)
        record.check([tuple])
    else:
        own.clear()
        record.check([None])
    assert not own or own[0].dead


@pytest.mark.parametrize("look_up", ["property", "__getattr__", "__getattribute__"])
@pytest.mark.parametrize("first", ["switch", "throw"])
def test_a_look_up_of_run_that_starts_the_greenlet_starts_it_once(look_up, first):
    main = getcurrent()
    starts = []

    def run(*args):
        starts.append(args)
        try:
            return main.switch("parked")
        except Oops:
            return "caught"

    def found(self):
        if not self.looked:
            self.looked = True
            assert self.switch("inner") == "parked"
        return run

    class Plain(greenlet):
        looked = False

    if look_up == "property":
        Plain.run = property(found)
    elif look_up == "__getattr__":

        class Plain(greenlet):
            looked = False

            def __getattr__(self, name):
                return found(self) if name == "run" else object.__getattribute__(self, name)

    else:

        class Plain(greenlet):
            looked = False

            def __getattribute__(self, name):
                return found(self) if name == "run" else greenlet.__getattribute__(self, name)

    child = Plain()
    # The inner switch starts it, and the outer one finds it parked.
    if first == "switch":
        assert child.switch("outer") == "outer"
    else:
        assert child.throw(Oops) == "caught"
    assert starts == [("inner",)]
    assert child.dead


# --- trace functions that switch --------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
def test_a_tracer_that_switches_between_three_greenlets(fresh):
    """Whoever the tracer visits on the way, each value arrives where it was sent."""
    main = getcurrent()
    record = Recorder()

    def visited():
        while True:
            record("visited")
            main.switch()

    def run(value="none"):
        while True:
            record(value)
            value = main.switch("reply to " + value)

    third = greenlet(visited)
    second = greenlet(run)
    if not fresh:
        third.switch()
        second.switch("start")
        record.items.clear()

    def tracer(event, pair):
        # Visit the third at the arrival in the second, and come back to it from there by way of main.
        if pair[1] is second:
            settrace(None)
            third.switch()
            record("back")

    settrace(tracer)
    third_parent_is_asked = second.switch("one")
    # The third parks by switching to main, which takes that for the answer of the second.
    assert third_parent_is_asked == ()
    assert gettrace() is None
    # The second still stands in its tracer; the value of the first switch waits there.
    assert second.switch() == "reply to one"
    record.check(["visited", "back", "one"])
    assert second.switch("two") == "reply to two"
    settrace(None)


def test_a_tracer_that_switches_without_end_is_stopped():
    # In an interpreter of its own: those that stay parked in the tracer refer to each other.
    run_isolated(
        """
        from corolib._switch import getcurrent, gettrace, greenlet, settrace
        main = getcurrent()

        def run():
            while True:
                main.switch("run")

        first, second = greenlet(run), greenlet(run)
        first.switch()
        second.switch()

        def tracer(event, pair):
            (second if getcurrent() is first else first).switch()

        settrace(tracer)
        try:
            for _ in range(3):  # the error can have ended one of the two first
                first.switch()
        except RecursionError:
            pass
        else:
            raise AssertionError
        assert gettrace() is None
        assert greenlet(lambda: "works").switch() == "works"
        """
    )


@pytest.mark.parametrize("count", [2, 3])
def test_a_trace_function_of_the_interpreter_that_switches_around(count):
    run_isolated(
        """
        import sys
        from corolib._switch import getcurrent, greenlet

        count = int(sys.argv[1])
        main = getcurrent()
        visits = 0

        def run(number, back):
            global visits
            while True:
                visits += 1
                # On to the next one; the last goes back to whom the tracer was called in.
                last = number + 1 == count
                back = back.switch(back) if last else ring[number + 1].switch(number + 1, back)
                if type(back) is tuple:
                    back = back[1]

        ring = [greenlet(run) for _ in range(count)]

        def tracer(frame, event, arg):
            me = getcurrent()
            if me not in ring:
                first = ring[0]
                assert (first.switch(0, me) if not first else first.switch(me)) is me
            return tracer

        def work(depth):
            return 1 + work(depth - 1) if depth else 0

        child = greenlet(work)
        sys.settrace(tracer)
        total = work(20) + child.switch(20)
        sys.settrace(None)
        assert total == 40
        assert visits > 80, visits
        """,
        count,
    )


def test_a_tracer_that_sets_another_one_and_drops_itself():
    record = Recorder()

    class Tracer:
        def __init__(self, name):
            self.name = name

        def __call__(self, event, pair):
            record(self.name)
            if self.name < 3:
                settrace(Tracer(self.name + 1))  # drops the last reference to this one
            record(self.name)

        def __del__(self):
            record(-self.name)

    settrace(Tracer(1))
    for _ in range(2):
        greenlet(lambda: None).switch()
    settrace(None)
    record.check([1, 1, -1, 2, 2, -2, 3, 3, 3, 3, -3])


TRACER_KEEPS = """
    import sys, threading
    from corolib._switch import getcurrent, greenlet, settrace

    switches = int(sys.argv[1])
    main = getcurrent()
    kept = [()] * 1000
    count = 0
    over = threading.Event()
    wrong = []

    def tracer(*args):
        global count
        kept[count % 1000] = args
        count += 1

    def read():
        while not over.is_set():
            for args in kept[::50]:
                if args and not (args[0] in ("switch", "throw") and len(args[1]) == 2 and repr(args)):
                    wrong.append(args)

    def run():
        while True:
            main.switch()

    reader = threading.Thread(target=read)
    reader.start()
    sys.setswitchinterval(1e-4)
    settrace(tracer)
    try:
        child = greenlet(run)
        while count < switches:
            child.switch()
    finally:
        settrace(None)
        over.set()
        reader.join()
    assert wrong == []
    assert all(len(pair) == 2 and child in pair and main in pair for _, pair in kept)
"""


@pytest.mark.parametrize(
    "switches",
    [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.hang_after(400)])],
)
def test_a_tracer_may_keep_its_arguments_while_another_thread_reads_them(switches):
    run_isolated(TRACER_KEEPS, switches, timeout=300)


# --- dropping ---------------------------------------------------------------------------------------------


class Plain(greenlet):
    pass


class Slotted(greenlet):
    __slots__ = ("mark",)


class Finalized(greenlet):
    finalized = 0

    def __del__(self):
        type(self).finalized += 1


class Referenced(greenlet):
    __slots__ = ("mark",)

    def __init__(self, *args):
        super().__init__(*args)
        self.mark = weakref.ref(self, lambda _: None)


class Resurrecting(greenlet):
    """Comes back to life once, and is dropped for good at the next turn."""

    saved: list = []

    def __del__(self):
        if self not in self.saved:
            self.saved.append(self)


def drop_from_outside(kind):
    child = kind(getcurrent().switch)
    child.switch()


def drop_from_itself(kind):
    holder = []

    def run():
        holder.clear()

    holder.append(kind(run))
    holder[0].switch()


def drop_from_a_child(kind):
    holder = []

    def run():
        greenlet(holder.clear).switch()

    holder.append(kind(run))
    holder[0].switch()


def drop_by_the_collector(kind):
    child = kind(getcurrent().switch)
    child.switch()
    child.__dict__["me"] = child


def drop_unstarted(kind):
    kind(len)


def drop_finished(kind):
    kind(lambda: None).switch()


DROPS = [
    *(drop_from_outside, drop_from_itself, drop_from_a_child, drop_by_the_collector),
    *(drop_unstarted, drop_finished),
]


def check_drops(kind, drop, rounds):
    def turn():
        drop(kind)
        Resurrecting.saved.clear()

    def settle():
        for _ in range(2):  # the second time for those that came back to life
            gc.collect()
            Resurrecting.saved.clear()
        gc.collect()

    for _ in range(10):
        turn()
    settle()
    before, parked = sys.getrefcount(kind), stats()["greenlets"]
    for number in range(rounds):
        turn()
        if drop is drop_by_the_collector and number % 1000 == 0:
            gc.collect()
    settle()
    assert sys.getrefcount(kind) == before
    assert stats()["greenlets"] == parked


KINDS = [Plain, Slotted, Finalized, Referenced, Resurrecting]


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("kind", KINDS)
def test_dropping_a_subclass_leaves_the_count_of_its_type_as_it_was(kind, drop):
    check_drops(kind, drop, 300)


@pytest.mark.slow
@pytest.mark.hang_after(600)
@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_drops(kind, drop):
    check_drops(kind, drop, 100_000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_dropped_by_another_thread_leaves_the_count_of_its_type(kind):
    rounds = 50
    told, done = threading.Semaphore(0), threading.Semaphore(0)
    box = []

    def dropping():
        for _ in range(rounds):
            told.acquire()
            box.clear()
            Resurrecting.saved.clear()
            done.release()

    gc.collect()
    before, parked = sys.getrefcount(kind), stats()["greenlets"]
    thread = threading.Thread(target=dropping)
    thread.start()
    for _ in range(rounds):
        box.append(kind(getcurrent().switch))
        box[0].switch()
        told.release()
        done.acquire()
        getcurrent()  # ends what the other one has dropped
        Resurrecting.saved.clear()
    thread.join()
    gc.collect()
    assert sys.getrefcount(kind) == before
    assert stats()["greenlets"] == parked


@pytest.mark.parametrize("then", ["return", "raise", "spawn", "switch away"])
def test_what_a_dropped_greenlet_may_do_with_its_last_breath(then):
    main = getcurrent()
    record = Recorder()
    before = stats()["greenlets"]

    def elsewhere():
        main.switch()
        record("elsewhere")
        return "back"

    side = greenlet(elsewhere)
    side.switch()

    def run():
        try:
            main.switch()
        except GreenletExit:
            record("exit")
            if then == "raise":
                raise Oops from None
            if then == "spawn":
                record(greenlet(lambda: "spawned").switch())
            if then == "switch away":
                side.parent = getcurrent()  # who gets its result
                record(side.switch())
        record("end")

    child = greenlet(run)
    child.switch()
    reference = weakref.ref(child)
    with Unraisable() as caught:
        del child
    assert caught == ([Oops] if then == "raise" else [])
    middle = {"spawn": ["spawned"], "switch away": ["elsewhere", "back"]}.get(then, [])
    record.check(["exit", *middle, *(["end"] if then != "raise" else [])])
    if not side.dead:
        side.switch()
    side = run = None
    gc.collect()
    assert reference() is None
    assert stats()["greenlets"] == before


# --- signals ----------------------------------------------------------------------------------------------

SIGNALS = """
    import signal, sys
    from corolib._switch import getcurrent, greenlet

    wanted = int(sys.argv[1])
    main = getcurrent()
    handled = 0

    def side_run(back):
        while True:
            back = back.switch("back")

    side = greenlet(side_run)

    def handler(number, frame):
        global handled
        if getcurrent() is not side:
            assert side.switch(getcurrent()) == "back"
            handled += 1

    def worker(number):
        turn = 0
        while True:
            assert main.switch((number, turn)) == turn
            sorted(range(5), key=lambda n: -n)
            turn += 1

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    workers = [greenlet(worker) for _ in range(100)]
    for number, child in enumerate(workers):
        assert child.switch(number) == (number, 0)
    turn = 0
    while handled < wanted:
        for number, child in enumerate(workers):
            assert child.switch(turn) == (number, turn + 1)
        turn += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""


@pytest.mark.parametrize(
    "signals",
    [150, pytest.param(60_000, marks=[pytest.mark.slow, pytest.mark.hang_after(700)])],
)
def test_a_signal_handler_may_switch(signals):
    """A timer of a millisecond; the long run is a minute of it."""
    run_isolated(SIGNALS, signals, timeout=600)


# --- blocking -----------------------------------------------------------------------------------------------

BLOCKING = """
    import gc, sys
    import corolib
    from corolib.lock import RLock
    from corolib.queue import Queue
    from corolib.event import Event

    how, greenlets, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    errors = []
    sys.unraisablehook = lambda args: errors.append(args.exc_value)
    entered = left = 0
    lock, queue, event = RLock(), Queue(), Event()

    def locked():
        with lock:
            corolib.sleep(0)

    def queued():
        queue.put(1)
        assert queue.get() == 1

    actions = {
        "sleep": lambda: corolib.sleep(0),
        "longer": lambda: corolib.sleep(0.0001),
        "lock": locked,
        "queue": queued,
        "spawn": lambda: corolib.spawn(int).get(),
        "event": lambda: event.wait(0.0001),
    }
    action = actions[how]

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            global entered, left
            entered += 1
            action()
            left += 1

    def work(number):
        for turn in range(turns):
            Cycle()
            corolib.sleep(0)
            # What the destructor waits for is in use where it comes.
            if turn % 3 == 0:
                locked()
            elif turn % 3 == 1:
                with lock:
                    [Cycle() for _ in range(3)]
            else:
                queued()
        return number

    gc.set_threshold(3)
    workers = [corolib.spawn(work, number) for number in range(greenlets)]
    assert [worker.get() for worker in workers] == list(range(greenlets))
    gc.set_threshold(700, 10, 10)
    gc.collect()
    corolib.sleep(0.001)
    # Each destructor has come back, by the normal way or by an error that was told.
    assert entered == left + len(errors), (entered, left, errors[:3])
    # Blocking is refused, in words, only where the collection has interrupted the loop itself.
    assert all(type(error).__name__ == "BlockingSwitchOutError" for error in errors), errors[:3]
    print(entered)
"""


SLOW = [pytest.mark.slow, pytest.mark.hang_after(300)]


@pytest.mark.parametrize("how", ["sleep", "longer", "lock", "queue", "spawn", "event"])
@pytest.mark.parametrize(("greenlets", "turns"), [(20, 30), pytest.param(50, 200, marks=SLOW)])
def test_destructors_called_by_the_collector_may_block(how, greenlets, turns):
    """Nobody is left waiting: neither the destructor, nor whom the collection has interrupted."""
    needed.hub()
    done = run_isolated(BLOCKING, how, greenlets, turns, timeout=250)
    assert int(done.stdout) >= greenlets * turns


def test_a_destructor_that_waits_for_what_its_own_greenlet_holds_is_told_as_a_deadlock():
    needed.hub()
    done = run_isolated(
        """
        import gc
        import corolib
        from corolib.lock import Semaphore
        gc.disable()
        semaphore = Semaphore(1)

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                semaphore.acquire()

        def work():
            with semaphore:
                Cycle()
                gc.collect()

        corolib.spawn(work).get()
        """,
        check=False,
    )
    assert done.returncode == 1
    assert "waits for Semaphore" in done.stderr
    assert "in __del__" in done.stderr
