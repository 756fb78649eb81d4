"""Child processes when things go wrong, or are many: crowds that end at once, statuses that others take,
pipes that are left open, failures half-way through a start, threads.
"""

import os
import resource
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers import in_thread, run_isolated

import corolib
from corolib import subprocess
from corolib._native import original
from corolib.subprocess import DEVNULL, PIPE, Popen, TimeoutExpired


def shell(script: str, *arguments: object, **options: object) -> Popen:
    return Popen(["sh", "-c", script, *map(str, arguments)], **options)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def wait_for_a_child() -> None:
    """One that is sure not to have ended yet: what a hub makes at its first real wait is there afterwards."""
    with Popen(["cat"], stdin=PIPE) as child:
        corolib.spawn(child.stdin.close)
        child.wait()


def no_child_is_left() -> bool:
    try:
        original("os", "waitpid")(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def all_children() -> set[int]:
    """Those of this process that nobody has reaped; earlier tests may have left some."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in lists for pid in each.read_text().split()}


# A waiter takes a descriptor, so a thousand are also more than most machines allow.
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.outside])])
def test_children_that_end_all_at_once(count):
    gate, opener = os.pipe()
    children = [shell("read x; exit $0", number % 256, stdin=gate) for number in range(count)]
    os.close(gate)
    waiting = [corolib.spawn(child.wait) for child in children]
    corolib.sleep(0)
    os.close(opener)
    corolib.joinall(waiting)
    assert [each.value for each in waiting] == [number % 256 for number in range(count)]
    assert not all_children() & {child.pid for child in children}


def test_a_child_that_has_ended_before_anybody_waits():
    reading, writing = os.pipe()
    with Popen(["sh", "-c", "exit 7"], pass_fds=[writing]) as child:
        os.close(writing)
        assert os.read(reading, 1) == b""  # nobody has the other end any more: it has ended
        os.close(reading)
        assert child.wait() == 7


def test_somebody_else_reaps_all_children_meanwhile():
    """Statuses go to whoever is first, and nobody waits for ever: who comes too late is told 0, as in the
    standard library.
    """
    reap = original("os", "waitpid")
    gate, opener = os.pipe()
    children = [shell("read x; exit $0", number + 1, stdin=gate) for number in range(20)]
    os.close(gate)
    waiting = [corolib.spawn(child.wait) for child in children]
    taken = {}

    def reaper() -> None:
        while len(taken) + len(told) < len(children):
            try:
                pid, status = reap(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                taken[pid] = os.waitstatus_to_exitcode(status)
            else:
                done.wait(0.001)

    told: list[int] = []
    done = threading.Event()
    thread = threading.Thread(target=reaper)
    thread.start()
    os.close(opener)
    corolib.joinall(waiting)
    done.set()
    thread.join()
    for number, child in enumerate(children):
        if child.pid in taken:
            assert taken[child.pid] == number + 1
            assert child.returncode == 0
        else:
            assert child.returncode == number + 1


def test_what_has_ended_is_never_sent_a_signal(monkeypatch):
    """Its number may be another process's by then."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
    with shell("exit 3") as waited_for:
        waited_for.wait()
    with shell("exit 3") as taken:
        original("os", "waitpid")(taken.pid, 0)
    with shell("exit 3", stdout=PIPE) as unseen:
        assert unseen.stdout.read() == b""
        original("os", "waitid")(os.P_PID, unseen.pid, os.WEXITED | os.WNOWAIT)
        for child in (waited_for, taken, unseen):
            child.kill()
            child.terminate()
            child.send_signal(signal.SIGUSR1)
    assert sent == []
    assert [child.returncode for child in (waited_for, taken, unseen)] == [3, 0, 3]


def test_a_child_that_closes_its_input_early():
    with shell("exec <&-; echo done", stdin=PIPE, stdout=PIPE) as child:
        assert child.communicate(b"x" * 1_000_000) == (b"done\n", None)
    with shell("exec <&-; echo closed; read x <&3", stdin=PIPE, stdout=PIPE, bufsize=0) as child:
        assert child.stdout.readline() == b"closed\n"
        with pytest.raises(BrokenPipeError):
            child.stdin.write(b"x" * 1_000_000)


def test_a_grandchild_keeps_the_pipe_open():
    with shell("sleep 1000 & echo $!; exit 5", stdout=PIPE) as child:
        assert child.wait() == 5
        output = None
        while not output:  # time may be over before anything is read
            with pytest.raises(TimeoutExpired) as caught:
                child.communicate(timeout=0.05)
            output = caught.value.output
        with pytest.raises(TimeoutExpired) as caught:
            child.communicate(timeout=0.05)
        assert caught.value.output == output
        grandchild = int(output)
        os.kill(grandchild, signal.SIGKILL)
        assert child.communicate() == (b"%d\n" % grandchild, None)


def test_what_was_not_sent_when_the_time_was_over_is_sent_by_the_next_call():
    text = os.urandom(3_000_000)
    gate, opener = os.pipe()
    with shell(
        f"read x </dev/fd/{gate}; cat", stdin=PIPE, stdout=PIPE, stderr=PIPE, pass_fds=[gate]
    ) as child:
        with pytest.raises(TimeoutExpired):
            child.communicate(text, timeout=0.01)  # some of it is in the pipe now
        with pytest.raises(TimeoutExpired):
            child.communicate(timeout=0.01)
        os.write(opener, b"\n")
        assert child.communicate() == (text, b"")
    os.close(gate)
    os.close(opener)


def test_a_child_of_one_thread_is_waited_for_in_another():
    child = in_thread(lambda: shell("read x; exit 4", stdin=PIPE))
    waiting = corolib.spawn(child.wait)
    corolib.sleep(0)
    assert not waiting.ready()
    child.stdin.write(b"\n")
    child.stdin.close()
    assert waiting.get() == 4
    second = shell("exit 6")
    assert in_thread(second.wait) == 6
    assert second.wait() == 6


def test_two_hubs_at_once():
    found = []

    def run() -> None:
        children = [
            corolib.spawn(subprocess.run, ["cat"], input=b"x" * 100_000, stdout=PIPE) for _ in range(5)
        ]
        found.extend(len(child.get().stdout) for child in children)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [100_000] * 10


def test_threads_that_wait_for_one_child_are_all_told_its_status():
    """Between the system call that takes the status and its being known, another thread may ask."""
    for _ in range(20):
        child = shell("read x; exit 9", stdin=PIPE)
        found = []

        def wait(child=child, found=found):
            found.append(child.wait())

        threads = [threading.Thread(target=wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        child.stdin.close()
        for thread in threads:
            thread.join()
        assert found == [9] * 8


def test_what_is_passed_to_a_child():
    reading, writing = os.pipe()
    with Popen(["sh", "-c", f"echo passed >/dev/fd/{writing}"], pass_fds=[writing]) as child:
        os.close(writing)
        assert os.read(reading, 100) == b"passed\n"
    os.close(reading)
    assert child.returncode == 0


@pytest.mark.parametrize("count", [2_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_a_child_inherits_none_of_many_descriptors(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        pytest.skip(f"this process may have {hard} descriptors, not {count}")
    done = run_isolated(
        """
        import os, resource, sys
        from corolib import subprocess
        count = int(sys.argv[1])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
        many = [os.dup(0) for _ in range(count)]
        for each in many:
            os.set_inheritable(each, True)
        print(subprocess.check_output(["ls", "/proc/self/fd"], text=True).split())
        """,
        count,
    )
    assert done.stdout == "['0', '1', '2', '3']\n"  # the last is the folder itself


@pytest.mark.parametrize(
    "arguments",
    [
        {"args": ["no-such-program"]},
        {"args": ["/etc"]},
        {"args": ["true"], "cwd": "/no/such/folder"},
        {"args": ["true"], "preexec_fn": lambda: 1 / 0},
        {"args": ["true"], "env": {"a=b": "c"}},
        {"args": ["tr\0ue"]},
        {"args": [7]},
        {"args": ["true"], "pass_fds": [-7]},
        {"args": ["true"], "user": "no such user"},
        {"args": ["true"], "stdin": object()},
    ],
    ids=lambda arguments: repr(list(arguments.items())[-1])[:40],
)
def test_a_start_that_fails_leaves_nothing(arguments):
    wait_for_a_child()
    count, others = descriptors(), all_children()
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    with pytest.raises(
        (OSError, ValueError, TypeError, LookupError, AttributeError, subprocess.SubprocessError)
    ):
        Popen(**{**pipes, **arguments})
    assert descriptors() == count
    assert all_children() <= others


@pytest.mark.parametrize("how", ["kill", "two kills", "Timeout", "in the hub"])
def test_a_start_that_is_ended_from_outside_ends_the_child(how):
    """The child stops before it runs its program, so that the start never ends by itself."""
    done = run_isolated(
        """
        import os, signal, sys
        import corolib
        from corolib.subprocess import PIPE, Popen
        from test_subprocess_faults import descriptors, no_child_is_left, wait_for_a_child

        how = sys.argv[1]
        wait_for_a_child()
        count = descriptors()
        near, far = os.pipe()  # the child has both ends, and reads from itself for ever
        pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}

        def stop():
            signal.alarm(60)  # should nobody end it
            os.read(near, 1)

        def start():
            try:
                with corolib.Timeout(0.01 if how == "Timeout" else None):
                    Popen(["true"], **pipes, preexec_fn=stop)
                print("started")
            except BaseException as error:
                print(type(error).__name__)

        if how == "in the hub":
            corolib.get_hub().run_callback(start)
            corolib.sleep(0)
        else:
            greenlet = corolib.spawn(start)
            corolib.sleep(0)
            if how == "two kills":
                greenlet.kill(block=False)
                corolib.sleep(0)
            if how != "Timeout":
                greenlet.kill()
            greenlet.join()
        assert no_child_is_left()
        os.close(far)
        assert os.read(near, 1) == b"", "nobody else has the other end: the child has ended"
        os.close(near)
        assert descriptors() == count
        """,
        how,
    )
    expected = {"Timeout": "Timeout", "in the hub": "BlockingSwitchOutError"}.get(how, "GreenletExit")
    assert done.stdout == f"{expected}\n"
    assert done.stderr == ""


def test_too_few_descriptors_at_each_point_of_a_start():
    """A limit that lets one more descriptor be opened each time, until the start succeeds."""
    done = run_isolated(
        """
        import os, resource
        from corolib import subprocess
        from corolib.subprocess import PIPE
        from test_subprocess_faults import wait_for_a_child
        wait_for_a_child()

        def opened():
            return len(os.listdir("/dev/fd"))

        before = opened()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/dev/fd")))
        for allowed in range(highest, highest + 40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            try:
                child = subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
            except OSError as error:
                failed = error
            else:
                failed = None
                # A wait without a descriptor to spare asks the kernel instead.
                out = child.communicate(b"text")
                assert (out, child.returncode) == ((b"text", b""), 0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            assert opened() == before, (allowed, failed)
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pass
            else:
                raise AssertionError(f"a child is left, {allowed} allowed")
            print("failed" if failed else "started")
        """
    )
    outcomes = done.stdout.split()
    assert outcomes[0] == "failed"
    assert outcomes[-1] == "started"
    assert outcomes == sorted(outcomes), "once it succeeds it goes on to succeed"


def test_a_wait_that_is_killed_leaves_the_child_to_others():
    with ExitStack() as stack:
        child = stack.enter_context(shell("read x; exit 2", stdin=PIPE, stdout=DEVNULL))
        first, second = corolib.spawn(child.wait), corolib.spawn(child.wait)
        corolib.sleep(0)
        count = descriptors()
        first.kill()
        assert descriptors() == count - 1
        child.stdin.close()
        assert second.get() == 2
    assert sys.exc_info() == (None, None, None)
