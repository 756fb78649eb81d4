"""os.read() and os.write() as a patched program has them."""

import errno
import os
import select
import socket
from functools import partial

import pytest
from ends import turns_before_others
from helpers import Recorder, in_thread, run_isolated

from corolib import _descriptors
from corolib import os as green_os
from corolib.greenlet import Greenlet, joinall
from corolib.hub import get_hub, get_hub_if_exists, sleep
from corolib.timeout import Timeout


@pytest.fixture
def pipe():
    """A pipe of one page, the least there is: (what to read, what to write)."""
    ends = os.pipe()
    if hasattr(os, "sched_yield"):  # Linux
        import fcntl

        fcntl.fcntl(ends[1], getattr(fcntl, "F_SETPIPE_SZ", 1031), select.PIPE_BUF)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def test_others_run_while_there_is_nothing_to_read(pipe):
    rec = Recorder()

    def reads():
        rec(_descriptors.read(pipe[0], 10))

    reader = Greenlet.spawn(reads)
    sleep(0)
    rec("meanwhile")
    _descriptors.write(pipe[1], b"text")
    reader.join()
    os.close(pipe[1])
    rec(_descriptors.read(pipe[0], 10))
    rec.check(["meanwhile", b"text", b""])


def test_of_two_who_read_the_one_that_gets_nothing_waits_on(pipe):
    found = []
    readers = [Greenlet.spawn(lambda: found.append(_descriptors.read(pipe[0], 1))) for _ in range(2)]
    sleep(0)
    os.write(pipe[1], b"a")
    joinall(readers, count=1)
    assert found == [b"a"]
    os.write(pipe[1], b"b")
    joinall(readers)
    assert found == [b"a", b"b"]


@pytest.mark.parametrize("make", [os.pipe, lambda: [each.detach() for each in socket.socketpair()]])
def test_all_is_written_and_others_run_meanwhile(make):
    data = bytes(range(256)) * 2000
    near, far = make()
    writer = Greenlet.spawn(_descriptors.write, far, memoryview(data).cast("H"))
    sleep(0)
    assert not writer.ready()
    found = b""
    while len(found) < len(data):
        found += _descriptors.read(near, 10_000)
    assert writer.get() == len(data) and found == data
    os.close(near)
    with pytest.raises(BrokenPipeError):
        _descriptors.write(far, data)
    os.close(far)


def test_a_write_that_is_cut_off_says_how_much_was_written(pipe):
    writer = Greenlet.spawn(_descriptors.write, pipe[1], bytes(5 * select.PIPE_BUF))
    sleep(0)
    _descriptors.read(pipe[0], select.PIPE_BUF)
    sleep(0.001)
    os.close(pipe[0])
    assert writer.get() == 2 * select.PIPE_BUF


def test_a_wait_can_be_given_up(pipe):
    with Timeout(0.001, False):
        _descriptors.read(pipe[0], 1)
    _descriptors.write(pipe[1], bytes(select.PIPE_BUF))
    with Timeout(0.001, False):
        _descriptors.write(pipe[1], b"more")
    assert len(os.read(pipe[0], 9999)) == select.PIPE_BUF


def test_a_non_blocking_descriptor_is_not_waited_for(pipe):
    for end in pipe:
        os.set_blocking(end, False)
    with pytest.raises(BlockingIOError):
        _descriptors.read(pipe[0], 1)
    assert _descriptors.write(pipe[1], bytes(2 * select.PIPE_BUF)) == select.PIPE_BUF
    with pytest.raises(BlockingIOError):
        _descriptors.write(pipe[1], b"more")


def test_in_a_callback_of_the_loop_nothing_waits(pipe):
    rec = Recorder()
    os.write(pipe[1], b"text")
    get_hub().run_callback(lambda: rec(_descriptors.read(pipe[0], 10)))
    get_hub().run_callback(lambda: rec(_descriptors.write(pipe[1], b"four")))
    sleep(0)
    rec.check([b"text", 4])


def test_a_thread_without_a_hub_gets_none(pipe):
    def both():
        _descriptors.write(pipe[1], b"text")
        return _descriptors.read(pipe[0], 10), get_hub_if_exists()

    assert in_thread(both) == (b"text", None)


def test_regular_files_and_devices(tmp_path):
    data = bytes(100_000)
    with open(tmp_path / "file", "w+b") as file:
        assert _descriptors.write(file.fileno(), data) == len(data)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        assert _descriptors.read(file.fileno(), 200_000) == data
    with open(os.devnull, "r+b", 0) as null:
        assert _descriptors.write(null.fileno(), data) == len(data)
        assert _descriptors.read(null.fileno(), 1) == b""


@pytest.mark.parametrize("end", ["read", "write"])
def test_the_wrong_end_of_a_pipe_is_not_waited_for(pipe, end):
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        _descriptors.write(pipe[0], b"text") if end == "read" else _descriptors.read(pipe[1], 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda os: os.read(-1, 1),
        lambda os: os.read(99_999, 1),
        lambda os: os.read("1", 1),
        lambda os: os.read(10**30, 1),
        lambda os: os.read(0, -1),
        lambda os: os.write(-1, b""),
        lambda os: os.write(99_999, b"text"),
        lambda os: os.write(1, "text"),
        lambda os: os.write(1, None),
        lambda os: os.write("1", b""),
        lambda os: os.write(99_999, bytes(10_000)),
        lambda os: os.write(1, memoryview(b"abcd")[::2]),
    ],
)
def test_errors_are_those_of_the_standard_library(call):
    expected, found = [], []
    for module, errors in ((os, expected), (_descriptors, found)):
        with pytest.raises(Exception) as caught:
            call(module)
        errors.append((type(caught.value), str(caught.value)))
    assert found == expected


def test_a_patched_program_has_them_and_blocks_nobody():
    """A thread that forks or writes while the main thread reads what it does."""
    done = run_isolated(
        """
        from corolib import monkey
        monkey.patch_all()
        import os, threading
        from corolib import _descriptors
        assert (os.read, os.write) == (_descriptors.read, _descriptors.write)
        assert os.read.__module__ == "os"
        reader, writer = os.pipe()
        def forks():
            if os.fork() == 0:
                os.write(writer, b"from a child")
                os._exit(0)
        thread = threading.Thread(target=forks)
        threading.Thread(target=lambda: thread.start()).start()
        print(os.read(reader, 100))
        thread.join()
        os.wait()
        """,
        timeout=30,
        options=("-W", "ignore:This process:DeprecationWarning"),
    )
    assert (done.stdout, done.stderr) == ("b'from a child'\n", "")


def test_a_descriptor_that_is_closed_meanwhile(pipe):
    reader = Greenlet.spawn(_descriptors.read, pipe[0], 1)
    sleep(0)
    green_os.close(pipe[0])
    with pytest.raises(OSError, match="the descriptor was closed") as caught:
        reader.get()
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("way", ["read", "write"])
def test_others_run_now_and_then_where_there_is_always_something(way):
    pipe = os.pipe()  # with room for more than one page
    os.write(pipe[1], b"x" * 20)

    def operation():
        if way == "read":
            assert _descriptors.read(pipe[0], 1) == b"x"
        else:
            assert _descriptors.write(pipe[1], b"x") == 1

    assert 2 <= turns_before_others(operation, 0.002) <= 4
    for end in pipe:
        os.close(end)


def test_a_regular_file_and_a_non_blocking_descriptor_never_switch(pipe, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    regular = os.open(path, os.O_RDONLY)
    os.write(pipe[1], b"x" * 10)
    os.set_blocking(pipe[0], False)

    def operation(fd):
        assert _descriptors.read(fd, 1) == b"x"

    for fd in (regular, pipe[0]):
        assert turns_before_others(partial(operation, fd), 0.01) == 10
    os.close(regular)
