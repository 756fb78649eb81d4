"""io.open() and os.fdopen() of a patched program, on the descriptors of pipes."""

import pytest
from helpers import run_isolated

BEGIN = """
from corolib import monkey
monkey.patch_all()
import io, os, pickle, threading, time

def others_run(function):
    "The result of function(), during which another thread has to run."
    ticks, over = [], []
    def tick():
        while not over:
            ticks.append(1)
            time.sleep(0)
    ticker = threading.Thread(target=tick)
    ticker.start()
    before = len(ticks)
    result = function()
    assert len(ticks) > before
    over.append(1)
    ticker.join()
    return result

def later(function, *args):
    def body():
        time.sleep(0.01)
        function(*args)
    threading.Thread(target=body).start()
"""


def run(script: str) -> None:
    done = run_isolated(BEGIN + script, options=("-W", "error"), timeout=60)
    assert done.stderr == ""


@pytest.mark.parametrize("opening", ["io.open", "os.fdopen"])
def test_reading_lets_others_run(opening: str) -> None:
    run(
        f"""
for kwargs, read, data, expected in (
    (dict(mode="rb"), lambda f: f.read(3), b"abcd", b"abc"),
    (dict(mode="rb"), lambda f: f.readline(), b"ab\\ncd", b"ab\\n"),
    (dict(mode="rb"), lambda f: f.read1(10), b"abc", b"abc"),
    (dict(mode="rb"), lambda f: next(f), b"a\\nb", b"a\\n"),
    (dict(mode="rb", buffering=0), lambda f: f.read(10), b"abc", b"abc"),
    (dict(mode="r"), lambda f: f.readline(), "ä\\n".encode(), "ä\\n"),
    (dict(mode="r", encoding="latin-1", newline=""), lambda f: f.readline(), b"\\xe4\\r\\n", "ä\\r\\n"),
):
    r, w = os.pipe()
    with {opening}(r, **kwargs) as file:
        later(os.write, w, data)
        assert others_run(lambda: read(file)) == expected, (kwargs, expected)
        assert file.mode == ("rb" if kwargs.get("buffering") == 0 else kwargs["mode"]) and file.fileno() == r
        os.close(w)
for kwargs in dict(mode="rb"), dict(mode="rb", buffering=0):
    r, w = os.pipe()
    with {opening}(r, **kwargs) as file:
        os.write(w, b"a" * 10000)
        later(os.close, w)
        assert others_run(file.read) == b"a" * 10000
"""
    )


def test_writing_lets_others_run_and_writes_all() -> None:
    run(
        """
data = bytes(range(256)) * 4096
for kwargs in dict(buffering=0), dict(), dict(buffering=100):
    r, w = os.pipe()
    got = []
    def read():
        while part := os.read(r, 100_000): got.append(part)
    reader = threading.Thread(target=read); reader.start()
    with os.fdopen(w, "wb", **kwargs) as file:
        assert others_run(lambda: file.write(data)) == len(data)
    reader.join()
    assert b"".join(got) == data
    os.close(r)
"""
    )


def test_two_at_one_file_take_turns() -> None:
    """A buffer in C refuses a second call in the same native thread."""
    run(
        """
r, w = os.pipe()
with os.fdopen(r, "rb") as reading, os.fdopen(w, "wb") as writing:
    seen = []
    readers = [threading.Thread(target=lambda: seen.append(reading.read(3))) for _ in range(3)]
    for each in readers: each.start()
    later(os.write, w, b"abcdefghi")
    for each in readers: each.join()
    assert seen == [b"abc", b"def", b"ghi"]
    size = 1 << 20
    def write(): writing.write(b"x" * size); writing.flush()
    writers = [threading.Thread(target=write) for _ in range(3)]
    for each in writers: each.start()
    assert reading.read(3 * size) == b"x" * 3 * size
    for each in writers: each.join()
"""
    )


def test_everything_else_is_opened_as_ever(tmp_path) -> None:
    run(
        f"""
plain = monkey.get_original("io", "open")
assert open is plain and io.open is not plain
path = {str(tmp_path / "file")!r}
with io.open(path, "w") as file: assert type(file.buffer.raw) is io.FileIO
with io.open(os.open(path, os.O_RDONLY), "rb") as file: assert type(file) is io.BufferedReader
class Keeps: open = io.open
with Keeps().open(path) as file: assert file.read() == ""
assert pickle.loads(pickle.dumps(io.open)) == io.open
def refusal(opening, *arguments):
    ends = os.pipe()
    try: opening(ends[0], *arguments).close()
    except Exception as error: refused = type(error)
    left = []
    for end in ends:
        try: os.close(end)
        except OSError: left.append("closed")
    return refused, left
for arguments in ("rw",), ("rb", -1, "utf-8"), ("r", 0), (1,), ("r+",), ("r", -1, "no such"), ("w", 0):
    assert refusal(io.open, *arguments) == refusal(plain, *arguments), arguments
try: io.open(10_000)
except OSError: pass
else: raise AssertionError
r, w = os.pipe()
with io.open(r, "rb", closefd=False) as file: pass
with io.open(r, "rb", buffering=0) as file:
    try: file.write(b"x")
    except io.UnsupportedOperation: pass
    else: raise AssertionError
    os.set_blocking(r, False)
    assert file.read(1) is None and file.readall() is None
os.set_blocking(w, False)
with io.open(w, "wb", 0) as file:
    signalled = 0
    try: file.write(b"x")
    except BrokenPipeError: signalled = 1
    assert signalled
"""
    )
