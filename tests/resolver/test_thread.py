"""corolib.resolver and its thread kind: asking in the pool of the hub."""

import _socket
import threading

import pytest
from helpers import Recorder, run_isolated

from corolib.hub import get_hub, kill, sleep, spawn_raw
from corolib.resolver import ThreadResolver, get_resolver


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
        assert go.wait(10)
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
    monkeypatch.setattr(_socket, "gethostbyname", lambda name: (began.set(), go.wait(10)))
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
    assert "expected thread, block, package.module.name" in done.stderr
