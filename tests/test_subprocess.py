"""Child processes: waiting for them, pipes both ways, statuses that others take, whose the signals are."""

import os
import signal
import sys

import pytest
from helpers import Recorder, run_isolated

import corolib
from corolib import subprocess
from corolib.subprocess import PIPE, Popen

PYTHON = sys.executable


def python(source: str, **kwargs: object) -> Popen:
    return Popen([PYTHON, "-S", "-E", "-c", source], **kwargs)


def test_others_run_while_one_waits_for_a_child():
    record = Recorder()
    with python("input()", stdin=PIPE) as child:
        waiting = corolib.spawn(lambda: record(child.wait()))
        corolib.sleep(0)
        record("others")
        child.stdin.write(b"\n")
        child.stdin.close()
        waiting.join()
    record.check(["others", 0])


def test_pipes_are_cooperative():
    record = Recorder()
    with python("print('hello', input())", stdin=PIPE, stdout=PIPE, text=True) as child:
        reading = corolib.spawn(lambda: record(child.stdout.readline()))
        corolib.sleep(0)
        record("others")
        child.stdin.write("you\n")
        child.stdin.flush()
        reading.join()
    record.check(["others", "hello you\n"])
    assert child.returncode == 0


def test_two_greenlets_at_one_pipe_take_turns():
    """A buffer in C refuses a second call in the same native thread (RuntimeError, "reentrant call")."""
    source = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    with python(source, stdin=PIPE, stdout=PIPE) as child:
        lines = []
        readers = [corolib.spawn(lambda: lines.append(child.stdout.readline())) for _ in range(3)]
        corolib.sleep(0)
        sent = [letter * (1 << 19) + b"\n" for letter in (b"a", b"b", b"c")]
        writers = [corolib.spawn(child.stdin.write, line) for line in sent]
        corolib.joinall(writers, raise_error=True)
        child.stdin.close()
        corolib.joinall(readers, raise_error=True)
    assert sorted(lines) == sent


def test_communicate_both_ways_with_more_than_pipes_hold():
    source = """if True:
        import sys
        sys.stdout.buffer.write(sys.stdin.buffer.read())
        sys.stderr.write('E' * 300000)
    """
    with python(source, stdin=PIPE, stdout=PIPE, stderr=PIPE) as child:
        other = corolib.spawn(int)
        out, err = child.communicate(b"x" * 3_000_000)
        assert other.ready()
    assert out == b"x" * 3_000_000
    assert err == b"E" * 300_000


@pytest.mark.parametrize("pipe", ["stdout", "stderr"])
def test_communicate_of_one_pipe(pipe):
    record = Recorder()
    text = f"import sys; sys.stdin.read(); sys.{pipe}.write('one')"
    reading, writing = os.pipe()
    with python(text, stdin=reading, **{pipe: PIPE}) as child:
        os.close(reading)
        talking = corolib.spawn(lambda: record(child.communicate()))
        corolib.sleep(0)
        record("others")
        os.close(writing)
        talking.join()
    record.check(["others", (b"one", None) if pipe == "stdout" else (None, b"one")])


def test_communicate_may_time_out_and_be_called_again_and_nothing_is_lost():
    text = "import sys; print('early', flush=True); sys.stdin.readline(); sys.stdin.readline(); print('late')"
    with python(text, stdin=PIPE, stdout=PIPE, text=True) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.communicate(timeout=0)
        assert child.poll() is None
        child.kill()
        out, _ = child.communicate()
    assert out in ("", "early\n")


def test_wait_with_a_timeout():
    with python("input()", stdin=PIPE) as child:
        with pytest.raises(subprocess.TimeoutExpired, match=r"timed out after 0\.01 seconds"):
            child.wait(0.01)
        assert child.poll() is None
        child.terminate()
        assert child.wait(60) == -signal.SIGTERM
        child.terminate()  # it is gone: nothing happens


def test_a_pipe_that_is_handed_to_another_child_blocks_there():
    look = "import os, sys; print(os.get_blocking(0), os.get_blocking(1), sys.stdin.read(), end='')"
    with python("print('one'); input(); print('two')", stdin=PIPE, stdout=PIPE) as first:
        assert first.stdout.raw.readline() == b"one\n"  # it has been used here
        with python(look, stdin=first.stdout, stdout=PIPE, text=True) as second:
            first.stdin.write(b"\n")
            first.stdin.close()
            first.stdout.close()
            assert second.communicate()[0] == "True True two\n"
    with python("print(input())", stdin=PIPE, stdout=PIPE) as last:
        with python(look, stdin=subprocess.DEVNULL, stdout=last.stdin) as first:
            last.stdin.close()
            assert first.wait() == 0
            assert last.stdout.read() == b"True True \n"


def test_a_pipe_that_was_lent_is_still_waited_for_here():
    record = Recorder()
    with python("print(len(input()))", stdin=PIPE, stdout=PIPE, bufsize=0) as child:
        reading = corolib.spawn(lambda: record(child.stdout.readline()))
        writing = corolib.spawn(child.stdin.write, b"x" * 1_000_000)
        corolib.sleep(0)
        # Both wait. Who asks for the number may do with it what needs blocking.
        assert os.get_blocking(child.stdin.fileno()) and os.get_blocking(child.stdout.fileno())
        record("others")
        writing.join()
        child.stdin.write(b"\n")
        reading.join()
    record.check(["others", b"1000000\n"])


def test_the_functions():
    command = [PYTHON, "-S", "-E", "-c", "import sys; print('out'); sys.exit(3)"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "")
    assert subprocess.call(command, stdout=subprocess.DEVNULL) == 3
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.check_call(command, stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.check_output(command)
    assert caught.value.output == b"out\n"
    assert subprocess.getstatusoutput("echo this; exit 2") == (2, "this")
    assert subprocess.getoutput("echo that") == "that"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([PYTHON, "-S", "-E", "-c", "import time; time.sleep(60)"], stdin=PIPE, timeout=0.01)


def test_ten_children_wait_at_the_same_time():
    children = [python(f"input(); raise SystemExit({number})", stdin=PIPE) for number in range(10)]
    waiting = [corolib.spawn(child.wait) for child in children]
    corolib.sleep(0)
    for child in children:
        child.stdin.close()
    corolib.joinall(waiting)
    # input() at the end of the file is an error: status 1.
    assert [each.value for each in waiting] == [1] * 10


def test_a_program_that_is_not_there_and_descriptors_are_not_lost():
    count = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            Popen(["no-such-program"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
    with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
        Popen([PYTHON, "-c", ""], stdout=PIPE, preexec_fn=lambda: 1 / 0)
    assert len(os.listdir("/dev/fd")) == count


def test_a_status_that_somebody_else_has_taken():
    with python("") as child:
        os.waitpid(child.pid, 0)
        assert child.wait() == 0


@pytest.mark.parametrize("action", ["SIG_IGN", "SIG_DFL", "a handler"])
def test_sigchld_is_the_programs(action):
    done = run_isolated(
        """
        import signal, sys
        from corolib import subprocess
        seen = []
        action = sys.argv[1]
        handler = (lambda *args: seen.append("handled")) if action == "a handler" else getattr(signal, action)
        signal.signal(signal.SIGCHLD, handler)
        for _ in range(3):
            code = subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"]).wait()
            assert code == (0 if action == "SIG_IGN" else 5), code  # ignored, the kernel forgets it
        assert signal.getsignal(signal.SIGCHLD) == handler
        print(len(seen) > 0)
        """,
        action,
    )
    assert done.stdout == f"{action == 'a handler'}\n"


def test_wait_and_iwait_take_it_and_links():
    record = Recorder()
    with python("input()", stdin=PIPE) as slow, python("") as quick:
        taken = record.add
        quick.rawlink(taken)
        quick.rawlink(record)
        quick.unlink(taken)
        assert corolib.wait([slow, quick], count=1) == [quick]
        assert not slow.ready()
        slow.kill()
        assert list(corolib.iwait([slow])) == [slow]
        corolib.sleep(0)
    assert all(item is quick for item in record.items)


def test_a_child_that_is_dropped_leaves_no_zombie_for_ever():
    child = python("")
    pid = child.pid
    with pytest.warns(ResourceWarning, match="still running"):
        del child
    os.waitpid(pid, 0)


def test_patched_with_threads():
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import subprocess, sys, threading, corolib.subprocess
        assert subprocess.Popen is corolib.subprocess.Popen
        order = []

        def run(number):
            command = [sys.executable, "-S", "-c", "print(input())"]
            child = subprocess.run(command, input=str(number), text=True, stdout=subprocess.PIPE)
            order.append(int(child.stdout))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
        for each in threads: each.start()
        for each in threads: each.join()
        assert sorted(order) == list(range(5))
        # multiprocessing and os.popen stand on it
        import os
        with os.popen("echo piped") as stream:
            print(stream.read(), end="")
        """
    )
    assert done.stdout == "piped\n"
