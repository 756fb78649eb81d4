"""Contexts: who carries a copy of the caller's, and how another one is chosen."""

from contextvars import ContextVar, copy_context
from threading import Thread

import pytest

from corolib._switch import greenlet
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep, spawn_raw
from corolib.lock import Semaphore
from corolib.pool import Group, Pool
from corolib.threadpool import ThreadPool, ThreadPoolExecutor

var: ContextVar[str] = ContextVar("var", default="nothing")


@pytest.fixture(autouse=True)
def unset():
    token = var.set("nothing")
    yield
    var.reset(token)


def other_context():
    made = copy_context()
    made.run(var.set, "chosen")
    return made


def look(*ignored):
    return var.get()


def finish(made):
    """The result of what was just started, while the caller goes on to change its own context."""
    var.set("changed after")
    return made.get()


@pytest.fixture(params=["thread pool", "executor", "thread pool, unstarted thread"])
def threads(request):
    if request.param == "executor":
        with ThreadPoolExecutor(2) as executor:
            yield lambda function, *args: executor.submit(function, *args).result()
        return
    pool = ThreadPool(2)
    if request.param == "thread pool":
        pool.apply(int)
    yield lambda function, *args: pool.spawn(function, *args).get()
    pool.kill()


@pytest.mark.parametrize(
    "start",
    [
        Greenlet.spawn,
        lambda function: Greenlet.spawn_later(0, function),
        lambda function: started(Greenlet(function)),
        lambda function: started(Greenlet(run=function)),
        lambda function: Group().spawn(function),
        lambda function: Pool(1).spawn(function),
        lambda function: Pool(1).apply_async(function),
        lambda function: full_pool().apply_async(function),
    ],
)
def test_a_greenlet_has_a_copy_of_the_context_it_was_made_in(start):
    def run():
        found = var.get()
        var.set("inside")
        return found

    var.set("outside")
    assert finish(start(run)) == "outside"
    assert var.get() == "changed after"


def started(made):
    made.start()
    return made


def full_pool():
    """Whose one place becomes free in a moment."""
    pool = Pool(1)
    pool.spawn(sleep, 0)
    return pool


@pytest.mark.parametrize("name", ["map", "imap", "imap_unordered"])
def test_the_calls_of_a_pool_have_a_copy_each(name):
    def run(n):
        found = var.get()
        var.set(f"inside {n}")
        return found

    var.set("outside")
    assert list(getattr(Pool(1), name)(run, range(3))) == ["outside"] * 3
    assert var.get() == "outside"


def test_a_native_thread_works_in_a_copy_of_the_callers_context(threads):
    var.set("outside")
    assert threads(look) == "outside"
    threads(var.set, "inside")
    assert threads(look) == "outside" and var.get() == "outside"


def test_a_callback_has_a_copy_of_the_context_of_who_asked_for_it():
    found = []

    def call():
        found.append(var.get())
        var.set("inside")

    hub = get_hub()
    for ask in (hub.run_callback, hub.loop.run_callback, hub.loop.run_callback_threadsafe):
        var.set("outside")
        ask(call)
        var.set("changed after")
        sleep(0)
    assert found == ["outside"] * 3
    thread = Thread(target=lambda: (var.set("of the thread"), hub.run_callback_threadsafe(call)))
    thread.start()
    thread.join()
    sleep(0)
    assert found[3:] == ["of the thread"]


@pytest.mark.parametrize(
    ("make", "fire"),
    [
        (lambda: Greenlet(int), Greenlet.start),
        (Event, Event.set),
        (AsyncResult, AsyncResult.set),
        (lambda: Semaphore(0), Semaphore.release),
    ],
)
def test_a_raw_link_has_a_copy_of_the_context_it_was_made_in(make, fire):
    found = []
    source = make()
    for n in range(2):
        var.set(f"outside {n}")
        source.rawlink(lambda _: (found.append(var.get()), var.set("inside")))
    var.set("changed after")
    fire(source)
    sleep(0)
    sleep(0)
    assert found == ["outside 0", "outside 1"] and var.get() == "changed after"


def test_a_link_has_a_copy_of_the_context_it_was_made_in():
    def call(_):
        sleep(0)
        found.append(var.get())
        var.set("inside")

    found = []
    source = Greenlet.spawn(int)
    for n, link in enumerate((source.link, source.link_value, source.link)):
        var.set(f"outside {n}")
        link(call)
    var.set("changed after")
    for _ in range(4):
        sleep(0)
    assert found == [f"outside {n}" for n in range(3)] and var.get() == "changed after"


def test_context_chooses_another_one_and_is_not_passed_on():
    def run(*args, **kwargs):
        found.append((var.get(), args, kwargs))

    found = []
    chosen = other_context()
    hub = get_hub()
    Greenlet.spawn(run, 1, context=chosen, x=2).join()
    Greenlet.spawn_later(0, run, 1, context=chosen).join()
    for made in (Greenlet(run, 1, context=chosen), Greenlet(run=run, context=chosen)):
        made.start()
        made.join()
    Group().spawn(run, context=chosen).join()
    spawn_raw(run, 1, context=chosen, x=2)
    sleep(0)
    hub.run_callback(run, 1, context=chosen)
    sleep(0)
    assert [each[0] for each in found] == ["chosen"] * 7
    assert [each[1:] for each in found] == [
        ((1,), {"x": 2}),
        ((1,), {}),
        ((1,), {}),
        ((), {}),
        ((), {}),
        ((1,), {"x": 2}),
        ((1,), {}),
    ]


def test_what_runs_in_the_chosen_context_is_seen_there():
    chosen = other_context()
    Greenlet.spawn(var.set, "left there", context=chosen).join()
    assert chosen[var] == "left there" and var.get() == "nothing"


@pytest.mark.parametrize("context", [None, "a text", {}])
def test_a_context_argument_that_is_none_of_contextvars_is_the_functions_own(context):
    def run(context):
        return context

    assert Greenlet.spawn(run, context=context).get() is context
    found = []
    spawn_raw(found.append, context) if context is None else found.append(context)
    sleep(0)
    assert found == [context]


def test_a_raw_greenlet_begins_with_an_empty_context():
    found = []
    var.set("outside")
    spawn_raw(lambda: found.append(var.get()))
    sleep(0)
    greenlet(lambda: found.append(var.get())).switch()
    inside = greenlet(lambda: found.append(var.get()))
    inside.gr_context = copy_context()
    inside.switch()
    assert found == ["nothing", "nothing", "outside"]
    assert var.get() == "outside"
