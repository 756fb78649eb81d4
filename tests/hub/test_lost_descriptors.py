"""The loop's own descriptors are closed behind its back, as by a daemon that closes all it does not know, and
their numbers are used for something else.
"""

import pytest
from helpers import run_isolated

SETUP = """
import os, signal, _socket, time
import corolib
from corolib import _hub
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, reinit, sleep
from corolib.os import waitpid

close = _socket.close  # as C code closes: nobody is told

def numbers(kind):
    links = {int(fd): f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
    return sorted(fd for fd, link in links.items() if os.path.islink(link) and kind in os.readlink(link))

def close_all(how):
    "All that is ours: how many."
    ours = numbers("eventpoll") + numbers("eventfd") + numbers("pipe:")
    ours = [fd for fd in ours if fd > 2]
    for fd in ours: how(fd)
    return ours

def works():
    "The loop waits for a descriptor, for a time, for another thread, and for a signal."
    near, far = (_hub.Socket(fileno=end.detach()) for end in _socket.socketpair())
    reader = Greenlet.spawn(near.recv, 10)
    sleep(0.001)
    far.send(b"x")
    assert reader.get(timeout=20) == b"x"
    assert get_hub().threadpool.apply(abs, (-5,)) == 5
    told = []
    handler = corolib.signal_handler(signal.SIGUSR1, told.append, 1)
    get_hub().loop.timer(0.001).start(os.kill, os.getpid(), signal.SIGUSR1)
    while not told: sleep(0.001)
    handler.cancel()
    near.close(), far.close()
"""


@pytest.mark.parametrize("how", ["close", "_hub.close"])
@pytest.mark.parametrize("moment", ["", "reinit()"])
def test_whoever_closes_them_the_loop_makes_new_ones(how, moment):
    run_isolated(
        SETUP
        + f"""
works()
assert len(close_all({how})) >= 4
{moment}
works()
works()
assert len(numbers("eventpoll")) == 1, numbers("eventpoll")
"""
    )


def test_a_change_after_the_epoll_was_closed_does_not_end_the_process():
    """libev asserts that the kernel takes the change, and most builds have their assertions on."""
    run_isolated(
        SETUP
        + """
sleep(0.001)
(epoll,) = numbers("eventpoll")
read, write = os.pipe()
def later():
    close(epoll)
    watcher = _hub.io(get_hub(), read, 1)
    os.write(write, b"x")
    watcher.wait(20)
    return "woken"
assert Greenlet.spawn(later).get(timeout=20) == "woken"
works()
"""
    )


@pytest.mark.parametrize("what", ["a file", "another epoll"])
def test_what_has_the_numbers_now_is_left_alone(what, tmp_path):
    run_isolated(
        SETUP
        + f"""
import select
works()
waiting = Greenlet.spawn(sleep, 0.01)  # there before and after
ours = close_all(close)
path = {str(tmp_path)!r}
others = []
while not set(ours) <= {{each if type(each) is int else each.fileno() for each in others}}:
    if {what!r} == "a file":
        others.append(os.open(os.path.join(path, str(len(others))), os.O_CREAT | os.O_RDWR))
    else:
        others.append(select.epoll())
numbers_of_others = [each if type(each) is int else each.fileno() for each in others]
works()
waiting.get()
for fd in numbers_of_others:
    if {what!r} == "a file":
        assert os.fstat(fd).st_size == 0 and os.readlink(f"/proc/self/fd/{{fd}}").startswith(path)
    else:
        assert "eventpoll" in os.readlink(f"/proc/self/fd/{{fd}}")
"""
    )


def test_watchers_of_libev_come_along():
    done = run_isolated(
        SETUP
        + """
import subprocess, sys
hub = get_hub()
loop = hub.loop
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
seen = []
watchers = [loop.child(child.pid), loop.signal(signal.SIGUSR2), loop.signal(signal.SIGUSR2), loop.async_(),
            loop.stat(os.devnull), loop.prepare(), loop.check(), loop.fork()]
for number, watcher in enumerate(watchers): watcher.start(seen.append, number)
loop._loop.ref()
sleep(0.001)
seen.clear()
before = loop.iteration, loop.activecnt, [each.active for each in watchers]
stdin = child.stdin.fileno()
for fd in numbers("eventpoll") + numbers("event") + numbers("pipe:") + numbers("pidfd") + numbers("inotify"):
    if fd not in (1, 2, stdin):
        try: close(fd)
        except OSError: pass  # found under two names
sleep(0)
watchers[3].send()
os.kill(os.getpid(), signal.SIGUSR2)
child.communicate(b"\\n")
while not {0, 1, 2, 3, 5, 6} <= set(seen): sleep(0.001)
assert watchers[0].rstatus == 0 and watchers[0].rpid == child.pid
assert loop.iteration > before[0]
assert loop.activecnt == before[1] - 1  # the child
for watcher in watchers: watcher.stop()
loop._loop.unref()
works()
"""
    )
    assert done.stderr == ""


def test_a_child_of_a_fork_may_close_all_and_open_what_it_likes(tmp_path):
    """What a daemon does. The hub of the child has descriptors of its own by the time the fork returns: it
    must not close numbers later on that are another's by then.
    """
    run_isolated(
        SETUP
        + f"""
works()
pid = os.fork()
if pid == 0:
    status = 1
    try:
        os.closerange(3, 256)  # of the standard library: not told
        names = [os.path.join({str(tmp_path)!r}, str(number)) for number in range(9)]
        files = [os.open(name, os.O_CREAT | os.O_RDWR) for name in names]
        works()
        for fd in files: os.write(fd, b"log")
        works()
        for name in names:
            with open(name) as file: assert file.read() == "log", name
        status = 0
    finally:
        os._exit(status)
assert waitpid(pid, 0)[1] == 0
works()
"""
    )


def test_without_descriptors_for_new_ones_it_tries_again():
    run_isolated(
        SETUP
        + """
import resource
works()
close_all(close)
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True: held.append(os.dup(0))
except OSError: pass
done = []
def release():
    for fd in held: os.close(fd)
    done.append(True)
Greenlet.spawn(release)
sleep(0.01)
assert done
works()
"""
    )
