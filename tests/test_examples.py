"""The examples run, as a user would run them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from helpers import ROOT, run_isolated
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

EXAMPLES = ROOT / "examples"


@contextmanager
def server(name: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """An example that serves, and where it listens. Ctrl-C ends it."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        host, _, port = process.stdout.readline().split()[2].rstrip(",").rpartition(":")
        yield process, (host, int(port))
        process.send_signal(signal.SIGINT)
        process.wait(10)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_example_is_short_and_says_what_it_is_for(path) -> None:
    source = path.read_text()
    assert source.startswith('"""')
    assert "def main(" in source
    if path.stem != "demo":
        assert len(source.splitlines()) < 60


def test_echo_server() -> None:
    with server("echo_server.py") as (process, address):
        clients = [socket.create_connection(address, timeout=10) for _ in range(10)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.recv(10) == b"%d" % number
            client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == "good-bye\n"
        assert process.stderr.read() == ""


def test_web_server() -> None:
    with server("web_server.py") as (process, address):
        for target, expected in (("/", b"Hello\n"), ("/stream", b"3\n2\n1\n"), ("/metrics", b"# EOF\n")):
            with urlopen(f"http://127.0.0.1:{address[1]}{target}", timeout=10) as answer:
                assert answer.read().endswith(expected)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == "good-bye\n"
        assert '"GET /stream HTTP/1.1" 200 6' in process.stderr.read()


def test_chat_server() -> None:
    with server("chat_server.py") as (_, address):
        ann, bob = (socket.create_connection(address, timeout=10) for _ in range(2))
        with ann, bob, ann.makefile("r") as to_ann, bob.makefile("r") as to_bob:
            ann.sendall(b"Ann\n")
            bob.sendall(b"Bob\n")
            assert to_ann.readline() == "* Bob came\n"
            ann.sendall(b"hello\n")
            assert to_bob.readline() == "Ann: hello\n"
            bob.sendall("grüß dich\n".encode())
            assert to_ann.readline() == "Bob: grüß dich\n"
            with socket.create_connection(address, timeout=10) as twin, twin.makefile("r") as to_twin:
                twin.sendall(b"Ann\n")
                assert "nobody has yet" in to_twin.readline()
            bob.shutdown(socket.SHUT_RDWR)
            assert to_ann.readline() == "* Bob left\n"


def test_websocket_chat() -> None:
    with server("websocket_chat.py") as (process, (host, port)):
        with connect(f"ws://{host}:{port}/Ann") as ann, connect(f"ws://{host}:{port}/Bob") as bob:
            assert ann.recv(10) == "* Bob came"
            bob.send("grüß dich")
            assert ann.recv(10) == "Bob: grüß dich"
            bob.close()
            assert ann.recv(10) == "* Bob left"
            process.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                ann.recv(10)
            assert ann.protocol.close_code == 1001
        assert process.wait(10) == 0
        assert process.stdout.read() == "good-bye\n"
        assert process.stderr.read() == ""


def test_producer_consumer() -> None:
    lines = run_isolated(EXAMPLES / "producer_consumer.py", 5).stdout.splitlines()
    assert len(lines) == 2
    items = [item for line in lines for item in line.split(": ")[1].split()]
    assert sorted(items) == [f"{name}{number}" for name in "abc" for number in range(5)]


def test_concurrent_fetch() -> None:
    done = run_isolated(EXAMPLES / "concurrent_fetch.py")
    lines = done.stdout.splitlines()
    assert len(lines) == 51
    assert lines[-1].startswith("50 pages in ")
    assert done.stderr == ""


def test_deadlock() -> None:
    lines = run_isolated(EXAMPLES / "deadlock.py").stdout.splitlines()
    # On a busy machine the third may be ready to run at that moment, and so not wait.
    assert lines[0] in ("3 greenlets waiting, 2 deadlocked", "2 greenlets waiting, 2 deadlocked")
    assert lines[1] == "    a circle of 2:"
    assert "'there'" in lines[2] and "'back'" in lines[3]
    assert lines[-2:] == [
        "LoopExit: This operation would block forever",
        "all of them are deadlocked: True",
    ]


def table(output: str) -> dict[str, str]:
    return {line[:20].strip(): line[20:].strip() for line in output.splitlines()[1:]}


def test_demo_does_a_thousand_requests_in_one_thread() -> None:
    done = run_isolated(EXAMPLES / "demo.py")
    rows = table(done.stdout)
    assert rows["requests"] == "1,000"
    assert rows["errors"] == "0"
    assert rows["one after another"] == "100 s"
    assert rows["OS threads"] == "1"
    assert float(rows["wall time"].split()[0]) < 50
    assert done.stderr == ""


def test_demo_on_real_threads() -> None:
    rows = table(run_isolated(EXAMPLES / "demo.py", "--plain", "--requests", 20).stdout)
    assert (rows["requests"], rows["errors"]) == ("20", "0")
    assert int(rows["OS threads"]) > 1


def test_demo_says_what_is_wrong_with_its_arguments() -> None:
    done = run_isolated(EXAMPLES / "demo.py", "--requests", 0, check=False)
    assert done.returncode == 2
    assert "--requests must be at least 1, not 0" in done.stderr


def test_demo_can_be_interrupted() -> None:
    done = run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(EXAMPLES)!r})
        sys.argv = ["demo.py", "--requests", "20"]
        import demo, os, signal
        demo.DELAY = 1000
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        sys.exit(demo.main())
        """,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == "\ninterrupted after 0 of 20 requests\n"


def test_demo_shows_a_progress_bar_on_a_terminal() -> None:
    pytest.importorskip("rich")
    import pty

    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "demo.py", "--requests", "50"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stdout=far,
        stderr=far,
    )
    os.close(far)
    output = b""
    try:
        while data := os.read(near, 4096):
            output += data
    except OSError:
        pass  # the other side of the terminal is closed
    os.close(near)
    assert process.wait(10) == 0
    assert b"50/50" in output
    assert "wall time" in output.decode()
