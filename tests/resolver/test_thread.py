"""corolib.resolver and its thread kind: asking in the pool of the hub."""

import _socket
import threading
from collections.abc import Iterator

import pytest
from helpers import Recorder, run_isolated

from corolib import config
from corolib.greenlet import Greenlet, killall
from corolib.hub import get_hub, kill, sleep, spawn_raw
from corolib.resolver import ThreadResolver, get_resolver, thread


def test_each_hub_has_one_resolver_of_the_configured_kind() -> None:
    resolver = get_resolver()
    assert type(resolver) is ThreadResolver
    assert get_resolver() is resolver is get_hub().resolver
    others = []
    thread = threading.Thread(target=lambda: (others.append(get_resolver()), get_hub().destroy()))
    thread.start()
    thread.join()
    assert others[0] is not resolver


def test_the_pool_asks_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    rec = Recorder()
    go = threading.Event()

    def ask(*args: object) -> str:
        rec(("asked", *args))
        assert go.wait(60)
        return "10.1.1.1"

    monkeypatch.setattr(_socket, "gethostbyname", ask)
    greenlet = spawn_raw(lambda: rec(get_resolver().gethostbyname("name.invalid")))
    while not rec.items:
        sleep(0.001)
    rec("others run")
    go.set()
    while not greenlet.dead:
        sleep(0.001)
    rec.check([("asked", b"name.invalid"), "others run", "10.1.1.1"])


def test_errors_come_from_the_thread() -> None:
    with pytest.raises(_socket.gaierror):
        get_resolver().getaddrinfo("no.such.name.invalid", 80)


def test_a_look_up_that_nobody_waits_for_any_more_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go = threading.Event(), threading.Event()
    monkeypatch.setattr(_socket, "gethostbyname", lambda name: (began.set(), go.wait(60)))
    greenlet = spawn_raw(get_resolver().gethostbyname, "name.invalid")
    while not began.is_set():
        sleep(0.001)
    kill(greenlet)
    sleep(0)
    assert greenlet.dead
    go.set()
    monkeypatch.undo()
    assert get_resolver().gethostbyname("localhost") == "127.0.0.1"


def test_numeric_addresses_and_known_names_start_no_thread() -> None:
    run_isolated(
        """
        import os
        from corolib import socket
        for host in ("127.0.0.1", "::1", "localhost", None):
            socket.getaddrinfo(host, 80)
        socket.gethostbyname("localhost"); socket.gethostbyaddr("127.0.0.1"); socket.getfqdn("127.0.0.1")
        socket.getnameinfo(("127.0.0.1", 80), 0)
        assert len(os.listdir("/proc/self/task")) == 1
        """
    )


@pytest.mark.parametrize(
    ("word", "kind"),
    [("block", "BlockingResolver"), ("unknown,block", "BlockingResolver"), ("thread", "ThreadResolver")],
)
def test_the_kind_is_a_setting(word: str, kind: str) -> None:
    done = run_isolated(
        """
        from corolib.resolver import get_resolver
        print(type(get_resolver()).__name__, get_resolver().gethostbyname("localhost"))
        """,
        env={"COROLIB_RESOLVER": word},
    )
    assert done.stdout.split() == [kind, "127.0.0.1"]


def test_a_kind_that_is_not_there_is_an_error_that_names_the_others() -> None:
    done = run_isolated(
        "from corolib.resolver import get_resolver; get_resolver()",
        env={"COROLIB_RESOLVER": "nonsense"},
        check=False,
    )
    assert "expected thread, dns, block, dnspython, ares, package.module.name" in done.stderr


class Slow:
    """Stands in for the C library's gethostbyname(): each name is answered when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.gates: dict[bytes, threading.Event] = {}
        self.lock = threading.Lock()

    def __call__(self, name: bytes) -> str:
        with self.lock:
            self.asked.append(name)
            gate = self.gates.setdefault(name, threading.Event())
        assert gate.wait(60)
        if name.startswith(b"no"):
            raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
        return f"10.0.0.{len(name)}"

    def answer(self, name: bytes) -> None:
        with self.lock:
            self.gates.setdefault(name, threading.Event()).set()

    def wait_for(self, *names: bytes) -> None:
        while not set(names) <= set(self.asked):
            sleep(0.001)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    slow = Slow()
    monkeypatch.setattr(_socket, "gethostbyname", slow)
    yield slow
    for gate in slow.gates.values():
        gate.set()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadResolver]:
    """With two threads."""
    monkeypatch.setattr(config, "resolver_threads", 2)
    resolver = ThreadResolver()
    yield resolver
    resolver.close()


def names(resolver: ThreadResolver, *hosts: str) -> list[Greenlet[str]]:
    made = [Greenlet.spawn(resolver.gethostbyname, host) for host in hosts]
    sleep(0)
    return made


def test_equal_questions_are_asked_once(resolver: ThreadResolver, slow: Slow) -> None:
    first, other, second = names(resolver, "a.test", "bb.test", "a.test")
    slow.wait_for(b"a.test", b"bb.test")
    first.kill()  # the one who asked first; the others still get the answer
    (third,) = names(resolver, "a.test")
    slow.answer(b"a.test")
    assert (second.get(), third.get()) == ("10.0.0.6", "10.0.0.6")
    assert not other.ready()
    slow.answer(b"bb.test")
    assert other.get() == "10.0.0.7"
    assert sorted(slow.asked) == [b"a.test", b"bb.test"]
    (again,) = names(resolver, "a.test")
    assert again.get() == "10.0.0.6", "an answer is not kept: asked once more"
    assert slow.asked.count(b"a.test") == 2


def test_each_who_asked_gets_an_error_of_its_own(resolver: ThreadResolver, slow: Slow) -> None:
    asking = names(resolver, "no.test", "no.test")
    slow.answer(b"no.test")
    for each in asking:
        each.join()
    errors = [each.exception for each in asking]
    assert [type(error) for error in errors] == [_socket.gaierror, _socket.gaierror]
    assert errors[0].args == errors[1].args == (_socket.EAI_NONAME, "Name or service not known")
    assert errors[0] is not errors[1]
    assert slow.asked == [b"no.test"]


def test_each_who_asked_gets_a_list_of_its_own(
    resolver: ThreadResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_socket, "getaddrinfo", lambda *args: [("row",)])
    monkeypatch.setattr(_socket, "gethostbyname_ex", lambda *args: ("name", ["alias"], ["10.0.0.1"]))
    one, two = [Greenlet.spawn(resolver.getaddrinfo, "a.test", 80) for _ in range(2)]
    assert one.get() == two.get() == [("row",)]
    assert one.get() is not two.get()
    one, two = [Greenlet.spawn(resolver.gethostbyname_ex, "a.test") for _ in range(2)]
    assert one.get() == two.get() == ("name", ["alias"], ["10.0.0.1"])
    assert one.get()[1] is not two.get()[1]


def test_the_threads_are_the_resolver_s_own_and_bounded(resolver: ThreadResolver, slow: Slow) -> None:
    asking = names(resolver, "a.test", "bb.test", "ccc.test", "dddd.test")
    slow.wait_for(b"a.test", b"bb.test")
    assert get_hub().threadpool.apply(lambda: "free") == "free"
    assert len(slow.asked) == 2
    asking[2].kill()  # before it has a thread: it will never be asked
    for name in (b"a.test", b"bb.test", b"dddd.test"):
        slow.answer(name)
    assert [asking[at].get() for at in (0, 1, 3)] == ["10.0.0.6", "10.0.0.7", "10.0.0.9"]
    assert sorted(slow.asked) == [b"a.test", b"bb.test", b"dddd.test"]
    assert not resolver._questions
    assert not resolver._queue
    assert not resolver._running


def test_names_that_are_stuck_do_not_hold_up_the_others(
    resolver: ThreadResolver, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More names than there are threads whose servers do not answer."""
    monkeypatch.setattr(thread, "PATIENCE", 0.01)
    stuck = names(resolver, *(f"stuck{number}.test" for number in range(5)))
    slow.answer(b"well.test")
    (well,) = names(resolver, "well.test")
    assert well.get(timeout=30) == "10.0.0.9"
    assert not any(each.ready() for each in stuck)
    assert len(resolver._running) == 5
    killall(stuck)


def test_there_is_a_bound_to_threads_that_are_stuck(
    resolver: ThreadResolver, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "PATIENCE", 0.0)
    monkeypatch.setattr(thread, "EXCESS", 2)
    asking = names(resolver, *(f"stuck{number}.test" for number in range(6)))
    while len(resolver._running) < 4:
        sleep(0.001)
    sleep(0.01)
    assert len(resolver._running) == 4
    for number in range(6):
        slow.answer(b"stuck%d.test" % number)
    assert [each.get() for each in asking] == ["10.0.0.11"] * 6


def test_without_a_thread_it_is_an_error(resolver: ThreadResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("corolib.threadpool.start_new_thread", refuse)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            resolver.gethostbyname("a.test")
    assert not resolver._questions


def test_who_waits_in_the_child_of_a_fork_is_answered_there() -> None:
    """The thread that asked is not there any more: the question is asked once more, in the child."""
    run_isolated(
        """
        import _socket, os, threading
        from corolib.greenlet import Greenlet
        from corolib.hub import get_hub, sleep
        from corolib.resolver import get_resolver

        began, go = threading.Event(), threading.Event()
        me = os.getpid()

        def ask(name):
            if os.getpid() == me:
                began.set()
                go.wait()
            return f"in {os.getpid()}"

        _socket.gethostbyname = ask
        asking = Greenlet.spawn(get_resolver().gethostbyname, "a.test")
        while not began.is_set():
            sleep(0.001)
        child = os.fork()
        if not child:
            right = asking.get() == get_resolver().gethostbyname("b.test") == f"in {os.getpid()}"
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go.set()
        assert asking.get() == f"in {me}"
        """
    )
