"""File objects: pipes that are waited for, closing under a waiter, the same answers as open() gives."""

import io
import os

import pytest
from ends import turns_before_others
from helpers import Recorder, run_isolated

import corolib
from corolib import fileobject
from corolib.errors import ConcurrentObjectUseError
from corolib.fileobject import DescriptorIO, FileObjectBlock, FileObjectPosix, FileObjectThread
from corolib.lock import Semaphore

KINDS = [FileObjectPosix, FileObjectThread, FileObjectBlock]


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    return FileObjectPosix(reading, "rb"), FileObjectPosix(writing, "wb", 0)


def test_others_run_while_one_reads_from_a_pipe(pipe):
    near, far = pipe
    record = Recorder()
    reader = corolib.spawn(lambda: record(near.read(5)))
    corolib.sleep(0)
    record("others")
    far.write(b"hel")
    far.write(b"lo")
    reader.join()
    record.check(["others", b"hello"])
    near.close()
    far.close()


def test_others_run_while_one_writes_to_a_full_pipe(pipe):
    near, far = pipe
    record = Recorder()

    def write():
        assert far.write(b"x" * 1_000_000) == 1_000_000
        record("written")
        far.close()

    writer = corolib.spawn(write)
    corolib.sleep(0)
    record("others")
    assert near.read() == b"x" * 1_000_000
    writer.join()
    record.check(["others", "written"])
    near.close()


def test_text_lines_and_the_end(pipe):
    near, far = pipe
    lines = FileObjectPosix(os.dup(near.fileno()), "r", encoding="utf-8")
    near.close()
    reader = corolib.spawn(list, lines)
    corolib.sleep(0)
    far.write("one\nzwölf\nlast".encode())
    far.close()
    assert reader.get() == ["one\n", "zwölf\n", "last"]
    lines.close()


@pytest.mark.parametrize("what", ["read", "write"])
def test_closing_ends_the_wait_of_others(pipe, what):
    near, far = pipe
    if what == "read":
        file = near
        waiting = corolib.spawn(DescriptorIO.readinto, near.io.raw, bytearray(1))
    else:
        file = far
        waiting = corolib.spawn(far.write, b"x" * 1_000_000)
    corolib.sleep(0)
    file.io.close() if what == "write" else file.io.raw.close()
    with pytest.raises(OSError, match=r"Bad file descriptor|was closed"):
        waiting.get()
    near.close()
    far.close()


def test_a_second_reader_is_told(pipe):
    near, far = pipe
    raw = near.io.raw
    first = corolib.spawn(raw.read, 1)
    corolib.sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        raw.read(1)
    far.write(b"x")
    assert first.get() == b"x"
    near.close()
    far.close()


def test_reader_and_writer_of_one_terminal_do_not_disturb_each_other():
    main, side = os.openpty()
    with DescriptorIO(main, "r+b") as both, FileObjectPosix(side, "wb", 0) as other:
        reader = corolib.spawn(both.read, 100)
        corolib.sleep(0)
        assert both.write(b"to the side\n") == 12
        other.write(b"back")
        assert reader.get().startswith((b"to the side", b"back"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_regular_file_is_as_open_makes_it(kind, tmp_path):
    path = tmp_path / "file"
    with kind(path, "w", encoding="latin-1", newline="\r\n") as file:
        assert file.write("käse\n") == 5
        file.writelines(["a\n", "b\n"])
        file.flush()
        assert file
        assert file.writable() and not file.readable() and file.seekable()
        assert file.encoding == "latin-1"
    assert path.read_bytes() == b"k\xe4se\r\na\r\nb\r\n"
    with kind(str(path), "rb") as file:
        assert file.readline() == b"k\xe4se\r\n"
        assert file.tell() == 6
        assert file.read(2) == b"a\r"
        assert file.read1(100) == b"\nb\r\n"
        assert file.seek(0) == 0
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4 and buffer == b"k\xe4se"
        assert file.readlines() == [b"\r\n", b"a\r\n", b"b\r\n"]
        assert list(file) == []
        assert os.fstat(file.fileno()).st_size == 12
    with kind(path, "r+b") as file:
        assert file.truncate(1) == 1
        assert file.read() == b"k"
        file.write(b"xyz")
    assert path.read_bytes() == b"kxyz"
    with kind(path, "ab") as file:
        file.writeall(b"!")
    assert path.read_bytes() == b"kxyz!"
    with pytest.raises(FileExistsError):
        kind(path, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_use_after_close_says_so(kind, tmp_path):
    file = kind(tmp_path / "file", "w")
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    for use in (file.fileno, file.flush, lambda: file.write("x"), lambda: file.io):
        with pytest.raises(fileobject.FileObjectClosed, match="FileObject was closed"):
            use()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("rw",), ValueError, "invalid mode: 'rw'"),
        (("rz",), ValueError, "invalid mode: 'rz'"),
        (("rbt",), ValueError, "text and binary"),
        ((7,), TypeError, "invalid mode: expected a str, found 7"),
        (("r", 0), ValueError, "can't have unbuffered text"),
        (("rb", -1, True, "utf-8"), ValueError, "binary mode doesn't take an encoding"),
        (("r", -1, False), ValueError, "closefd=False with file name"),
    ],
)
def test_bad_arguments(kind, arguments, error, text, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    kind(path).close()  # what it makes once per hub
    count = len(os.listdir("/dev/fd"))
    with pytest.raises(error, match=text):
        kind(path, *arguments)
    assert len(os.listdir("/dev/fd")) == count
    with pytest.raises(TypeError, match="expected a descriptor, a path or an object with fileno"):
        kind(object())


def test_what_fileno_came_from_is_closed_too_unless_asked_not_to(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    plain = path.open("rb")
    file = FileObjectPosix(plain, "rb")
    assert file.name == str(path)
    assert file.read() == b"content"
    file.close()
    assert plain.closed
    with pytest.raises(fileobject.FileObjectClosed):
        FileObjectPosix(plain)
    reading, writing = os.pipe()
    file = FileObjectPosix(reading, "rb", closefd=False)
    assert not os.get_blocking(reading)
    file.close()
    assert os.get_blocking(reading), "it is as it was before"
    os.close(reading)
    os.close(writing)


def test_threads_read_one_at_a_time_with_the_lock_that_is_given(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    lock = Semaphore()
    with FileObjectThread(path, "rb", lock=lock) as file:
        lock.acquire()
        reader = corolib.spawn(file.read)
        corolib.sleep(0.01)
        assert not reader.ready()
        lock.release()
        assert len(reader.get()) == 1000
    with pytest.raises(TypeError, match="expected a Semaphore or a bool for lock"):
        FileObjectThread(path, "rb", lock=object())


def test_a_file_that_is_forgotten_is_closed_with_a_warning():
    reading, writing = os.pipe()
    os.close(writing)
    raw = DescriptorIO(reading)
    with pytest.warns(ResourceWarning, match="unclosed file <corolib.fileobject.DescriptorIO name="):
        del raw
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


def test_raw_reading_and_writing_in_the_wrong_mode():
    reading, writing = os.pipe()
    with DescriptorIO(reading, "r") as near, DescriptorIO(writing, "w") as far:
        assert (near.readable(), near.writable(), far.readable(), far.writable()) == (
            True,
            False,
            False,
            True,
        )
        assert not near.seekable()
        assert near.mode == "rb"
        with pytest.raises(io.UnsupportedOperation, match="not open for writing"):
            near.write(b"x")
        with pytest.raises(io.UnsupportedOperation, match="not open for reading"):
            far.read(1)
    with pytest.raises(ValueError, match="closed file"):
        near.read(1)


def test_which_kind_it_is_is_a_setting():
    assert fileobject.FileObject is FileObjectPosix
    run_isolated(
        """
        from corolib.fileobject import FileObject, FileObjectThread
        assert FileObject is FileObjectThread
        """,
        env={"COROLIB_FILEOBJECT": "thread"},
    )


@pytest.mark.parametrize("way", ["read", "write"])
def test_others_run_now_and_then_where_there_is_always_something(pipe, way):
    near, far = pipe
    far.write(b"x\n" * 20)

    def operation():
        if way == "read":
            assert near.raw.readinto(bytearray(2)) == 2
        else:
            assert far.write(b"x") == 1

    assert 2 <= turns_before_others(operation, 0.002) <= 4
    near.close()
    far.close()
