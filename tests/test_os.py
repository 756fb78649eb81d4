"""corolib.os: children and descriptors that greenlets wait for."""

import errno
import os
import signal
import threading

import pytest
from ends import turns_before_others
from helpers import Recorder, run_isolated

from corolib import _ev
from corolib import os as green_os
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet, joinall
from corolib.hub import get_hub, sleep
from corolib.timeout import Timeout


def child_that_ends(status=0, wait_for=None):
    """The number of a child of ours, forked natively; it ends once `wait_for` (a descriptor) is closed."""
    pid = os.fork()
    if pid == 0:
        try:
            if wait_for is not None:
                os.read(wait_for, 1)
        finally:
            os._exit(status)
    return pid


class Held:
    """A child that ends when it is told to."""

    writers: set[int] = set()

    def __init__(self, status=0, fork=os.fork, **options):
        reader, self.writer = os.pipe()
        self.writers.add(self.writer)
        self.pid = fork(**options)
        if isinstance(self.pid, tuple):
            self.pid, self.terminal = self.pid
        if self.pid == 0:
            try:
                for writer in self.writers:
                    os.close(writer)
                os.read(reader, 1)
            finally:
                os._exit(status)
        os.close(reader)

    def end(self):
        self.writers.remove(self.writer)
        os.close(self.writer)


# -- waitpid -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["pidfd", "without pidfd"])
def ways(request, monkeypatch):
    """With a pidfd, and as on a system that has none."""
    if request.param == "without pidfd":
        monkeypatch.setattr(green_os, "pidfd_open", None)
        monkeypatch.setattr(_ev.kinds, "pidfd_open", None)
    elif green_os.pidfd_open is None:
        pytest.skip("no pidfd_open here")


def test_waitpid_lets_others_run(ways):
    rec = Recorder()
    held = Held(3)
    waiter = Greenlet.spawn(green_os.waitpid, held.pid, 0)
    waiter.rawlink(lambda _: rec("ended"))
    for turn in range(3):
        sleep(0.001)
        rec(turn)
    held.end()
    pid, status = waiter.get()
    assert pid == held.pid and os.waitstatus_to_exitcode(status) == 3
    sleep(0)
    rec.check([0, 1, 2, "ended"])
    with pytest.raises(ChildProcessError):
        green_os.waitpid(pid, 0)


def test_waitpid_with_wnohang_never_switches():
    held = Held()
    other = Greenlet.spawn(lambda: None)
    assert green_os.waitpid(held.pid, os.WNOHANG) == (0, 0)
    assert not other.ready()
    held.end()
    assert green_os.waitpid(held.pid, 0) == (held.pid, 0)
    other.join()


@pytest.mark.parametrize("group", [-1, 0])
def test_waitpid_of_any_child_lets_others_run(group):
    held = [Held(1), Held(2)]
    waiter = Greenlet.spawn(green_os.waitpid, group, 0)
    sleep(0.001)
    assert not waiter.ready()
    held[1].end()
    assert waiter.get()[0] == held[1].pid
    held[0].end()
    assert green_os.waitpid(group, 0)[0] == held[0].pid
    with pytest.raises(ChildProcessError):
        green_os.waitpid(group, 0)


def test_waitpid_sees_a_stop():
    held = Held()
    waiter = Greenlet.spawn(green_os.waitpid, held.pid, os.WUNTRACED)
    sleep(0)
    os.kill(held.pid, signal.SIGSTOP)
    pid, status = waiter.get()
    assert pid == held.pid and os.WIFSTOPPED(status)
    os.kill(held.pid, signal.SIGCONT)
    held.end()
    assert green_os.waitpid(held.pid, 0) == (held.pid, 0)


def test_a_killed_waitpid_takes_nothing(ways):
    sleep(0.001)  # the hub has its own descriptors from here on
    held = Held(4)
    before = set(os.listdir("/proc/self/fd"))
    waiter = Greenlet.spawn(green_os.waitpid, held.pid, 0)
    sleep(0.001)
    waiter.kill()
    with pytest.raises(Timeout), Timeout(0.001):
        green_os.waitpid(held.pid, 0)
    assert set(os.listdir("/proc/self/fd")) == before
    held.end()
    assert os.waitpid(held.pid, 0) == (held.pid, 4 << 8)


def test_somebody_else_reaps_the_child(ways):
    """As in the standard library: who comes too late gets ECHILD, and does not hang."""
    held = Held()
    waiter = Greenlet.spawn(green_os.waitpid, held.pid, 0)
    waiter.rawlink(lambda _: None)
    sleep(0.001)
    held.end()
    assert os.waitpid(-1, 0)[0] == held.pid
    with pytest.raises(ChildProcessError):
        waiter.get()


def test_two_wait_for_one_child(ways):
    held = Held(7)
    waiters = [Greenlet.spawn(green_os.waitpid, held.pid, 0) for _ in range(2)]
    get_hub().handle_error = lambda *error: None
    sleep(0.001)
    held.end()
    joinall(waiters)
    results = sorted(each.successful() for each in waiters)
    assert results == [False, True]
    (lost,) = [each for each in waiters if not each.successful()]
    assert isinstance(lost.exception, ChildProcessError)


def test_sigchld_ignored(ways):
    """The kernel reaps the child then: ECHILD once it has ended, as in the standard library."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        held = Held()
        waiter = Greenlet.spawn(green_os.waitpid, held.pid, 0)
        sleep(0.001)
        assert not waiter.ready()
        held.end()
        get_hub().handle_error = lambda *error: None
        waiter.join()
        assert isinstance(waiter.exception, ChildProcessError)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_without_a_hub_waitpid_makes_none():
    run_isolated("""
        import os
        from corolib import os as green_os
        from corolib.hub import get_hub_if_exists
        pid = os.posix_spawn("/bin/true", ["true"], {})
        assert green_os.waitpid(pid, 0) == (pid, 0)
        assert get_hub_if_exists() is None
    """)


@pytest.mark.parametrize(
    ("which", "options"),
    [
        (lambda pid: (os.P_PID, pid), os.WEXITED),
        (lambda pid: (os.P_PID, pid), os.WEXITED | os.WNOWAIT),
        (lambda pid: (os.P_ALL, 0), os.WEXITED),
        (lambda pid: (os.P_PGID, os.getpgrp()), os.WEXITED | os.WSTOPPED),
    ],
)
def test_waitid_lets_others_run(ways, which, options):
    held = Held(5)
    assert green_os.waitid(*which(held.pid), options | os.WNOHANG) is None
    waiter = Greenlet.spawn(green_os.waitid, *which(held.pid), options)
    sleep(0.001)
    assert not waiter.ready()
    held.end()
    found = waiter.get()
    assert (found.si_pid, found.si_status, found.si_code) == (held.pid, 5, os.CLD_EXITED)
    if options & os.WNOWAIT:
        assert os.waitpid(held.pid, 0) == (held.pid, 5 << 8), "its status is left"
    get_hub().handle_error = lambda *error: None
    with pytest.raises(ChildProcessError):
        green_os.waitid(os.P_PID, held.pid, os.WEXITED)


def test_waitpid_asks_for_a_number():
    with pytest.raises(TypeError):
        green_os.waitpid("1", 0)


# -- children that are watched -------------------------------------------------------------------------------


def test_fork_and_watch(ways):
    ended = Event()
    found = []

    def callback(watcher):
        found.append((watcher.pid, watcher.rpid, watcher.rstatus))
        ended.set()

    held = Held(5, green_os.fork_and_watch, callback=callback)
    assert green_os.waitpid(held.pid, os.WNOHANG) == (0, 0)
    held.end()
    get_hub().external_enter()
    ended.wait()
    get_hub().external_leave()
    assert found == [(held.pid, held.pid, 5 << 8)]
    # Reaped, and kept for who asks: once.
    assert green_os.waitpid(held.pid, os.WNOHANG) == (held.pid, 5 << 8)
    with pytest.raises(ChildProcessError):
        green_os.waitpid(held.pid, 0)


def test_waitpid_for_a_watched_child_that_still_runs(ways):
    held = Held(6, green_os.fork_and_watch, ref=True)
    waiter = Greenlet.spawn(green_os.waitpid, held.pid, 0)
    sleep(0.001)
    held.end()
    assert waiter.get() == (held.pid, 6 << 8)
    with pytest.raises(ChildProcessError):
        green_os.waitpid(-1, 0)
    assert get_hub().join() is True
    assert green_os._watched == {}


def test_waitpid_of_any_child_gives_watched_ones_that_have_ended_first():
    first, second = Held(1, green_os.fork_and_watch, ref=True), Held(2, green_os.fork_and_watch, ref=True)
    second.end()
    while not green_os._watched[second.pid].rpid:
        sleep(0.001)
    first.end()
    assert get_hub().join() is True
    assert green_os.waitpid(-1, 0) == (first.pid, 1 << 8)
    assert green_os.waitpid(-1, os.WNOHANG) == (second.pid, 2 << 8)
    with pytest.raises(ChildProcessError):
        green_os.waitpid(-1, os.WNOHANG)


def test_a_watched_child_reaped_by_waitpid_keeps_its_status():
    """waitpid(-1) in some handler does no harm to those who watch."""
    statuses = []
    held = Held(9, green_os.fork_and_watch, callback=lambda w: statuses.append(w.rstatus), ref=True)
    other = get_hub().loop.child(held.pid)
    other.start(lambda: statuses.append(other.rstatus))
    held.end()
    assert os.waitid(os.P_PID, held.pid, os.WEXITED | os.WNOWAIT).si_pid == held.pid
    assert green_os.waitpid(-1, os.WNOHANG) == (held.pid, 9 << 8)
    assert get_hub().join() is True
    assert statuses == [9 << 8, 9 << 8]
    with pytest.raises(ChildProcessError):
        green_os.waitpid(held.pid, os.WNOHANG)


def test_a_thread_that_takes_the_status_of_a_watched_child_tells_it():
    """Between the system call and its being told, the hub that watches may ask as well."""
    for _ in range(20):
        told = AsyncResult()
        held = Held(9, green_os.fork_and_watch, callback=lambda w, told=told: told.set(w.rstatus), ref=True)
        found = []

        def wait(pid=held.pid, found=found):
            try:
                found.append(green_os.waitpid(pid, 0))
            except ChildProcessError:
                found.append(None)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        held.end()
        assert told.get() == 9 << 8
        for thread in threads:
            thread.join()
        assert found.count((held.pid, 9 << 8)) == 1 and found.count(None) == 3


@pytest.mark.parametrize("which", ["its number", "its group", "our group", "any"])
def test_threads_without_a_hub_block_for_every_kind_of_children(which):
    held = Held(7)
    if which == "its group":
        os.setpgid(held.pid, held.pid)
    pid = {"its number": held.pid, "its group": -held.pid, "our group": 0, "any": -1}[which]
    found = []
    thread = threading.Thread(target=lambda: found.append(green_os.waitpid(pid, os.WUNTRACED)))
    thread.start()
    os.kill(held.pid, signal.SIGSTOP)
    thread.join()
    assert found == [(held.pid, signal.SIGSTOP << 8 | 0x7F)]
    thread = threading.Thread(target=lambda: found.append(green_os.waitpid(pid, os.WCONTINUED)))
    thread.start()
    os.kill(held.pid, signal.SIGCONT)
    thread.join()
    assert found[1:] == [(held.pid, 0xFFFF)]
    thread = threading.Thread(target=lambda: found.append(green_os.waitpid(pid, 0)))
    thread.start()
    held.end()
    thread.join()
    assert found[2:] == [(held.pid, 7 << 8)]


def test_statuses_are_kept_for_a_minute(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(green_os, "monotonic", lambda: now[0])
    held = [Held(number, green_os.fork_and_watch, ref=True) for number in range(3)]
    held[0].end()
    while held[0].pid not in green_os._ended:
        sleep(0.001)
    now[0] += 59
    held[1].end()
    while held[1].pid not in green_os._ended:
        sleep(0.001)
    now[0] += 2
    held[2].end()
    assert get_hub().join() is True
    assert list(green_os._watched) == [held[1].pid, held[2].pid]
    assert green_os.waitpid(-1, 0)[0] == held[1].pid and green_os.waitpid(-1, 0)[0] == held[2].pid


def test_a_watcher_does_not_keep_join_waiting_unless_told_to():
    held = Held(0, green_os.fork_and_watch)
    assert get_hub().join() is True
    held.end()
    assert green_os.waitpid(held.pid, 0) == (held.pid, 0)


def test_forkpty():
    held = Held(3, green_os.forkpty)
    held.end()
    assert green_os.waitpid(held.pid, 0) == (held.pid, 3 << 8)
    os.close(held.terminal)
    held = Held(4, green_os.forkpty_and_watch)
    assert held.pid in green_os._watched
    held.end()
    assert green_os.waitpid(held.pid, 0) == (held.pid, 4 << 8)
    os.close(held.terminal)


@pytest.mark.parametrize("spawn", [green_os.posix_spawn, green_os.posix_spawnp])
def test_posix_spawn(spawn):
    pid = spawn("/bin/sh", ["sh", "-c", "exit 3"], os.environ)
    assert green_os.waitpid(pid, 0) == (pid, 3 << 8)


def test_the_parents_children_are_not_watched_in_the_child_of_a_fork():
    done = run_isolated("""
        import os, time
        from corolib import os as green_os
        from corolib.hub import get_hub, sleep
        reader, writer = os.pipe()
        first = green_os.fork_and_watch(lambda watcher: print("callback in", os.getpid() == home), ref=True)
        if first == 0:
            os.close(writer); os.read(reader, 1); os._exit(0)
        home = os.getpid()
        second = green_os.fork()
        if second == 0:
            assert green_os._watched == {}
            os.close(writer)
            # It ends in a moment: libev will say so, here as well.
            while get_hub().loop.activecnt:
                sleep(0.01)
            os._exit(7)
        os.close(writer); os.close(reader)
        assert get_hub().join()
        assert os.waitstatus_to_exitcode(green_os.waitpid(second, 0)[1]) == 7
        print("end")
    """)
    assert done.stdout == "callback in True\nend\n"


# -- descriptors ---------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_make_nonblocking(pipe):
    assert green_os.make_nonblocking(pipe[0]) is True
    assert not os.get_blocking(pipe[0])
    assert green_os.make_nonblocking(pipe[0]) is False
    with pytest.raises(OSError):
        green_os.make_nonblocking(10_000_000)


@pytest.mark.parametrize("kind", ["nb", "tp", "any", "any of a non-blocking one"])
def test_reading_and_writing(pipe, kind):
    reader, writer = pipe
    if kind in ("nb", "any of a non-blocking one"):
        green_os.make_nonblocking(reader)
        green_os.make_nonblocking(writer)
    read = {"nb": green_os.nb_read, "tp": green_os.tp_read}.get(kind, green_os.read)
    write = {"nb": green_os.nb_write, "tp": green_os.tp_write}.get(kind, green_os.write)
    payload = os.urandom(300_000)

    def send():
        left = memoryview(payload)
        while left:
            left = left[write(writer, left) :]
        os.close(writer)

    sender = Greenlet.spawn(send)
    received = b""
    while data := read(reader, 70_000):
        received += data
    assert received == payload
    sender.get()
    get_hub().threadpool.kill() if kind == "tp" else None


def test_a_read_that_waits_lets_others_run_and_can_be_killed(pipe):
    green_os.make_nonblocking(pipe[0])
    for read in (green_os.nb_read, green_os.read):
        waiter = Greenlet.spawn(read, pipe[0], 10)
        sleep(0.001)
        assert not waiter.ready()
        waiter.kill()
    waiter = Greenlet.spawn(green_os.nb_read, pipe[0], 10)
    sleep(0)
    os.write(pipe[1], b"x")
    assert waiter.get() == b"x"


@pytest.mark.parametrize("way", ["nb_read", "nb_write"])
def test_others_run_now_and_then_where_there_is_always_something(pipe, way):
    os.write(pipe[1], b"x" * 20)
    for end in pipe:
        green_os.make_nonblocking(end)

    def operation():
        if way == "nb_read":
            assert green_os.nb_read(pipe[0], 1) == b"x"
        else:
            assert green_os.nb_write(pipe[1], b"x") == 1

    assert 2 <= turns_before_others(operation, 0.002) <= 4


def test_reading_and_writing_a_regular_file(tmp_path):
    sleep(0)  # there is a hub
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    data = b"x" * 100_000
    assert green_os.write(fd, data) == len(data)
    os.lseek(fd, 0, 0)
    assert green_os.read(fd, 200_000) == data
    os.close(fd)


def test_close_wakes_who_waits(pipe):
    green_os.make_nonblocking(pipe[0])
    get_hub().handle_error = lambda *error: None
    waiter = Greenlet.spawn(green_os.nb_read, pipe[0], 1)
    sleep(0.001)
    green_os.close(pipe[0])
    waiter.join()
    assert waiter.exception.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        green_os.close(pipe[0])
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError):
        green_os.close(-1)
    with pytest.raises(TypeError):
        green_os.close("1")


@pytest.mark.parametrize("how", ["closerange", "dup2"])
def test_whatever_closes_a_number_wakes_who_waits_for_it(pipe, how):
    get_hub().handle_error = lambda *error: None
    green_os.make_nonblocking(pipe[0])
    waiter = Greenlet.spawn(green_os.nb_read, pipe[0], 1)
    sleep(0.001)
    if how == "closerange":
        green_os.closerange(pipe[0], pipe[0] + 1)
        green_os.closerange(1 << 20, 1 << 30)  # nothing there, and it takes no time
    else:
        with pytest.raises(OSError):
            green_os.dup2(1 << 20, pipe[0])
        assert green_os.dup2(pipe[0], pipe[0]) == pipe[0]
        sleep(0.001)
        assert not waiter.ready()
        assert green_os.dup2(pipe[1], pipe[0], False) == pipe[0]
        assert os.fstat(pipe[0]).st_ino == os.fstat(pipe[1]).st_ino
    waiter.join()
    assert waiter.exception.errno == errno.EBADF
    if how == "closerange":
        with pytest.raises(OSError):
            os.fstat(pipe[0])


def test_the_rest_is_the_standard_librarys():
    assert green_os.getpid is os.getpid and green_os.path is os.path
    with pytest.raises(AttributeError):
        green_os.no_such_name
    assert set(green_os.__implements__) == {
        "close",
        "closerange",
        "dup2",
        "fork",
        "forkpty",
        "posix_spawn",
        "posix_spawnp",
        "waitid",
        "waitpid",
    }
    assert errno.EAGAIN in green_os.ignored_errors
    assert callable(green_os._read) and callable(green_os._watch_child)


# -- patched -------------------------------------------------------------------------------------------------


def test_patched_os():
    run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, subprocess
        from corolib import os as green_os
        from corolib import spawn, sleep
        for name in green_os.__implements__:
            assert getattr(os, name) is getattr(green_os, name), name
            assert monkey.is_object_patched("os", name)
        gate, opener = os.pipe()
        os.set_inheritable(gate, True)
        def let_one_end_later():
            sleep(0.001)
            os.write(opener, b"\\n")
        # subprocess asks waitpid(), and so do spawnv() and system's like: the child ends if others run.
        spawn(let_one_end_later)
        assert subprocess.run(["sh", "-c", "read x; exit 3"], stdin=gate).returncode == 3
        spawn(let_one_end_later)
        assert os.spawnvp(os.P_WAIT, "sh", ["sh", "-c", f"read x <&{gate}; exit 4"]) == 4
        pid = os.fork()
        if pid == 0:
            sleep(0.01)
            os._exit(5)
        assert os.wait() == (pid, 5 << 8)
        """,
        options=("-W", "error"),
    )


def test_many_children_at_once():
    """A hundred that end together: each status is right, no descriptor is left."""
    sleep(0.001)  # the hub has its own descriptors from here on
    before = len(os.listdir("/proc/self/fd"))
    children = [(child_that_ends(number), number) for number in range(100)]
    waiters = [(Greenlet.spawn(green_os.waitpid, pid, 0), pid, number) for pid, number in children]
    for waiter, pid, number in waiters:
        assert waiter.get() == (pid, number << 8)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_child_that_has_ended_is_found_without_waiting(monkeypatch):
    monkeypatch.setattr(green_os, "sleep", lambda seconds: pytest.fail("slept"))
    pid = child_that_ends(2)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    sleep(0)
    assert green_os.waitpid(-1, 0) == (pid, 2 << 8)


def test_close_is_a_plain_function_where_a_class_keeps_it():
    """As the function in C that it replaces is; one in Python would be called with the instance."""

    class Holder:
        close = green_os.close

    near, far = os.pipe()
    Holder().close(near)
    for closed in (near, -1):
        with pytest.raises(OSError, match="Bad file descriptor"):
            Holder().close(closed)
    Holder().close(far)
    with pytest.raises(OverflowError, match="a descriptor is at most"):
        green_os.close(2**40)
    for wrong in ("1", 1.0, None):
        with pytest.raises(TypeError):
            green_os.close(wrong)
