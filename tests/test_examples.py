"""The examples run as a user would run them, end well at Ctrl-C, and say what is wrong with arguments."""

import ast
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from helpers import PATIENCE, ROOT, run_isolated
from resolver.nameserver import NameServer, Zone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

EXAMPLES = ROOT / "examples"
PATHS = sorted(EXAMPLES.glob("*.py"))
#: What this machine has set for its own network is not for servers of ours.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*", "no_proxy": "*"}
WAIT = 30 * PATIENCE


@contextmanager
def example(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """An example that runs, in a folder and session of its own choice; killed at the end if it still does."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def server(name: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """An example that serves, and where it listens."""
    with example(name, *arguments) as process:
        host, _, port = process.stdout.readline().split()[2].rstrip(",").rpartition(":")
        yield process, (host, int(port))


def ctrl_c(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Interrupt it. What it still writes; it ends with the status that says so, and without a traceback."""
    process.send_signal(signal.SIGINT)
    # Its input stays open meanwhile: an end of that may come before the signal does.
    with contextlib.nullcontext() if process.stdin is None else process.stdin:
        process.stdin = None
        stdout, stderr = process.communicate(timeout=WAIT)
    assert process.returncode == 130, (stdout, stderr)
    assert "Traceback" not in stderr
    return stdout, stderr


def opened(url: str) -> ClientConnection:
    """A WebSocket whose time limits only bound a hang."""
    return connect(url, open_timeout=WAIT, close_timeout=WAIT)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- what holds for all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_example_is_short_and_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    head = ast.get_docstring(ast.parse(source))
    assert head is not None
    first, blank, usage = head.splitlines()[:3]
    assert first[-1] in ".?" and not blank
    assert usage.strip().startswith(f"python examples/{path.name}") or path.stem == "demo"
    assert "argparse.ArgumentParser(" in source
    assert "def main(" in source
    if path.stem != "demo":
        assert len(source.splitlines()) <= 120


def test_the_gallery_lists_each_of_them_with_its_first_line() -> None:
    listed = dict(
        re.findall(r"^\| \[`(\w+\.py)`\]\(\./\1\) \| (.*) \|$", (EXAMPLES / "README.md").read_text(), re.M)
    )
    expected = {path.name: ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for path in PATHS}
    assert listed == expected


#: Arguments that are refused, and what is said about them.
REFUSED = [
    ("checksums.py", ["--threads", "0", "x"], "--threads must be at least 1, not 0"),
    ("chat_server.py", ["127.0.0.1:x"], "expected a port from 0 to 65535 in the address"),
    ("crawler.py", ["ftp://127.0.0.1/"], "expected an address that begins with http:// or https://"),
    ("crawler.py", ["http://127.0.0.1/", "--jobs", "0"], "--jobs and --pages must be at least 1"),
    ("deadlock.py", ["--patience", "-1"], "--patience must be at least 0, not -1.0"),
    ("demo.py", ["--requests", "0"], "--requests must be at least 1, not 0"),
    ("dns_benchmark.py", ["--jobs", "0", "x"], "--jobs and --repeat must be at least 1"),
    ("dns_benchmark.py", ["--server", "nonsense:x:y", "x"], "nonsense:x:y"),
    ("downloads.py", ["--jobs", "0", "x"], "--jobs must be at least 1, not 0"),
    ("downloads.py", ["--into", "/nonsense", "x"], "--into must be a folder, and /nonsense is none"),
    ("downloads.py", ["http://a/x", "http://b/x"], "two of the files would have the same name"),
    ("echo_server.py", ["127.0.0.1:65536"], "expected a port from 0 to 65535 in the address"),
    ("orderly_end.py", ["--grace", "-1"], "--grace must be at least 0, not -1.0"),
    ("periodic_jobs.py", ["1 date"], "expected 'SECONDS: COMMAND', found '1 date'"),
    ("periodic_jobs.py", ["0: date"], "expected 'SECONDS: COMMAND', found '0: date'"),
    ("periodic_jobs.py", ["1: 'date"], "No closing quotation"),
    ("periodic_jobs.py", ["1: date", "--grace", "-1"], "--seconds and --grace must be at least 0"),
    ("port_scanner.py", ["8.8.8.8"], "8.8.8.8 is not an address of loopback"),
    (
        "port_scanner.py",
        ["--ports", "0-5"],
        "expected a port or a range of ports within 1-65535, found '0-5'",
    ),
    ("port_scanner.py", ["--jobs", "0"], "--jobs must be at least 1"),
    ("rate_limiter.py", ["--rate", "0"], "expected a rate above 0"),
    ("rate_limiter.py", ["--workers", "0"], "--workers and --calls must be at least 1"),
    ("subprocess_pipeline.py", ["--top", "0", "x"], "--top and --jobs must be at least 1"),
    ("tcp_proxy.py", ["nonsense"], "expected HOST:PORT, found 'nonsense'"),
    ("tcp_proxy.py", ["a:1", "--connect-timeout", "0"], "--connect-timeout must be more than 0"),
    ("web_server.py", ["127.0.0.1:x"], "expected a port from 0 to 65535 in the address"),
    ("websocket_chat.py", ["::1:80"], "expected brackets around the IPv6 address"),
    ("websocket_echo.py", ["--max-message", "0"], "--max-message must be at least 1, not 0"),
    ("worker_pool.py", ["--room", "0"], "--workers and --room must be at least 1"),
    ("worker_pool.py", ["--seconds", "nan"], "--seconds at least 0"),
]
#: Those that listen where their last argument says, and what stands before that.
SERVERS = {
    "chat_server.py": [],
    "echo_server.py": [],
    "tcp_proxy.py": ["127.0.0.1:1"],
    "web_server.py": [],
    "websocket_chat.py": [],
    "websocket_echo.py": [],
}
#: Those of which tests/programs/test_examples.py asks the same: they need what may not be installed.
ELSEWHERE = {"postgres_load.py", "redis_load.py"}


def test_what_is_wrong_with_the_arguments_is_said() -> None:
    """All of them in one interpreter: what is refused is refused before anything begins."""
    assert {name for name, _, _ in REFUSED} | ELSEWHERE == {path.name for path in PATHS}
    run_isolated(
        """
        import contextlib, io, json, runpy, sys

        folder, refused = sys.argv[1:]
        for name, arguments, expected in json.loads(refused):
            sys.argv = [name, *arguments]
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    runpy.run_path(f"{folder}/{name}", run_name="__main__")
            except SystemExit as end:
                assert end.code == 2, (name, end.code)
            assert expected in said.getvalue(), (name, arguments, said.getvalue())
        """,
        EXAMPLES,
        json.dumps(REFUSED),
    )


# -- servers -------------------------------------------------------------------------------------------------


def test_servers_say_that_they_cannot_listen() -> None:
    """All of them in one interpreter, as above."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run_isolated(
            """
            import json, runpy, sys

            folder, servers, where = sys.argv[1:]
            for name, arguments in json.loads(servers).items():
                sys.argv = [name, *arguments, where]
                try:
                    runpy.run_path(f"{folder}/{name}", run_name="__main__")
                except SystemExit as end:
                    assert end.code.startswith("cannot listen: Address already in use: "), (name, end.code)
                else:
                    raise AssertionError(f"{name} listens")
            """,
            EXAMPLES,
            json.dumps(SERVERS),
            f"127.0.0.1:{taken.getsockname()[1]}",
        )


def test_echo_server() -> None:
    with server("echo_server.py") as (process, address):
        clients = [socket.create_connection(address, timeout=WAIT) for _ in range(10)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.recv(10) == b"%d" % number
            client.close()
        assert ctrl_c(process) == ("good-bye\n", "")


def test_web_server() -> None:
    with server("web_server.py") as (process, address):
        where = f"http://127.0.0.1:{address[1]}"
        for target, expected in (("/", b"Hello\n"), ("/metrics", b"# EOF\n")):
            with urlopen(where + target, timeout=WAIT) as answer:
                assert answer.read().endswith(expected)
        with pytest.raises(HTTPError) as caught:
            urlopen(where + "/nonsense", timeout=WAIT)
        caught.value.close()
        assert caught.value.code == 404
        # What is under way is answered to the end.
        with urlopen(where + "/stream", timeout=WAIT) as answer:
            assert answer.readline() == b"3\n"
            stdout, stderr = ctrl_c(process)
            assert answer.read() == b"2\n1\n"
        assert stdout == "good-bye\n"
        assert '"GET /stream HTTP/1.1" 200 6' in stderr


def test_chat_server() -> None:
    with server("chat_server.py") as (process, address):
        ann, bob = (socket.create_connection(address, timeout=WAIT) for _ in range(2))
        with ann, bob, ann.makefile("r") as to_ann, bob.makefile("r") as to_bob:
            ann.sendall(b"Ann\n")
            assert to_ann.readline() == "* here are Ann\n"
            bob.sendall(b"Bob\n")
            assert to_bob.readline() == "* here are Ann, Bob\n"
            assert to_ann.readline() == "* Bob came\n"
            ann.sendall(b"hello\n")
            assert to_bob.readline() == "Ann: hello\n"
            bob.sendall("grüß dich\n".encode())
            assert to_ann.readline() == "Bob: grüß dich\n"
            with socket.create_connection(address, timeout=WAIT) as twin, twin.makefile("r") as to_twin:
                twin.sendall(b"Ann\n")
                assert "nobody has yet" in to_twin.readline()
            bob.shutdown(socket.SHUT_RDWR)
            assert to_ann.readline() == "* Bob left\n"
            assert ctrl_c(process) == ("good-bye\n", "")
            assert to_ann.read() == "* the room closes\n"


def test_websocket_chat() -> None:
    with server("websocket_chat.py") as (process, (host, port)):
        where = f"ws://{host}:{port}"
        with opened(f"{where}/Ann") as ann, opened(f"{where}/Bob") as bob:
            assert ann.recv(WAIT) == "* Bob came"
            bob.send("grüß dich")
            assert ann.recv(WAIT) == "Bob: grüß dich"
            bob.close()
            assert ann.recv(WAIT) == "* Bob left"
            assert ctrl_c(process) == ("good-bye\n", "")
            with pytest.raises(ConnectionClosed):
                ann.recv(WAIT)
            assert ann.protocol.close_code == 1001


def test_websocket_echo() -> None:
    with server("websocket_echo.py", "--max-message", 1000) as (process, (host, port)):
        with opened(f"ws://{host}:{port}/") as ann, opened(f"ws://{host}:{port}/") as bob:
            for message in ("grüß dich", b"\0\xff", "x" * 1000):
                ann.send(message)
                assert ann.recv(WAIT) == message
            bob.send("x" * 1001)
            with pytest.raises(ConnectionClosed):
                bob.recv(WAIT)
            assert bob.protocol.close_code == 1009
            assert ctrl_c(process) == ("good-bye\n", "")
            with pytest.raises(ConnectionClosed):
                ann.recv(WAIT)
            assert ann.protocol.close_code == 1001


def test_tcp_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        where = f"127.0.0.1:{target.getsockname()[1]}"
        with server("tcp_proxy.py", where, "--grace", 0) as (process, address):
            with socket.create_connection(address, timeout=WAIT) as near:
                far, _ = target.accept()
                with far, far.makefile("rb") as from_near, near.makefile("rb") as from_far:
                    near.sendall(b"question")
                    near.shutdown(socket.SHUT_WR)
                    assert from_near.read() == b"question"  # the end arrives, and the other way stays open
                    far.sendall(b"an answer")
                    far.shutdown(socket.SHUT_WR)
                    assert from_far.read() == b"an answer"
            assert process.stdout.readline() == "1: 8 bytes there, 9 back\n"
            # One that breaks takes the other with it.
            with socket.create_connection(address, timeout=WAIT) as near:
                far, _ = target.accept()
                near.sendall(b"!")
                assert far.recv(1) == b"!"
                far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                far.close()
                assert near.recv(10) == b""
            assert process.stdout.readline() == "2: 1 bytes there, 0 back\n"
            # One that is open at the end is cut.
            with socket.create_connection(address, timeout=WAIT) as near:
                far, _ = target.accept()
                with far:
                    assert ctrl_c(process) == ("good-bye, 1 connections were cut\n", "")
                    assert near.recv(10) == far.recv(10) == b""
    with server("tcp_proxy.py", where) as (process, address):
        with socket.create_connection(address, timeout=WAIT) as near:
            assert near.recv(10) == b""
        assert process.stdout.readline().startswith(f"1: cannot reach {where}: ")


# -- clients -------------------------------------------------------------------------------------------------

#: What the test's server says: its status and its body; None never ends.
Pages = dict[str, tuple[int, str | None]]


@contextmanager
def site(pages: Pages) -> Iterator[str]:
    """A site in native threads of the test. A page that never ends is cut when the test does."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, (404, "no such page"))
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(100 if body is None else len(body)))
            self.end_headers()
            self.wfile.write(b"begun" if body is None else body.encode())
            if body is None:
                self.wfile.flush()
                over.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}/"
        finally:
            over.set()
            serving.shutdown()
            thread.join()


def test_downloads(tmp_path: Path) -> None:
    pages: Pages = {f"/{number}.txt": (200, "x" * number) for number in range(1, 21)}
    with site(pages) as where:
        urls = [where + name[1:] for name in pages]
        done = run_isolated(EXAMPLES / "downloads.py", "--into", tmp_path, *urls, env=ENVIRONMENT)
        assert len(done.stdout.splitlines()) == 21
        assert done.stdout.splitlines()[-1].startswith("20 of 20 files, 0.0 MB, ")
        assert done.stderr == ""
        assert {f"/{path.name}": (200, path.read_text()) for path in tmp_path.iterdir()} == pages
        done = run_isolated(
            EXAMPLES / "downloads.py", "--into", tmp_path, where + "no", env=ENVIRONMENT, check=False
        )
        assert done.returncode == 1
        assert f"failed  {where}no: HTTP Error 404" in done.stdout


def test_downloads_interrupted_keep_what_is_complete(tmp_path: Path) -> None:
    with site({"/all": (200, "all of it"), "/part": (200, None)}) as where:
        with example("downloads.py", "--into", tmp_path, where + "all", where + "part") as process:
            assert process.stdout.readline() == f"           9  {where}all\n"
            until((tmp_path / "part.part").exists)
            stdout, stderr = ctrl_c(process)
    assert stdout.startswith("1 of 2 files, ")
    assert stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def test_crawler() -> None:
    pages: Pages = {
        "/": (200, '<a href="a">a</a> <a href="/b#c">b</a> <a href="http://127.0.0.1:1/">elsewhere</a>'),
        "/a": (200, '<a href="/">home</a> <a href="gone">gone</a>'),
        "/b": (200, '<a name="x">no link</a>'),
    }
    with site(pages) as where:
        done = run_isolated(EXAMPLES / "crawler.py", where, env=ENVIRONMENT, check=False)
        assert done.returncode == 1
        assert done.stderr == ""
        *visited, broken, last = done.stdout.splitlines()
        assert sorted(visited) == [where, where + "a", where + "b"]
        assert broken.startswith(f"broken: {where}gone: HTTP Error 404")
        assert broken.endswith(f" (found in {where}a)")
        assert last == "3 pages, 1 broken links, 0 not looked at"


def test_crawler_interrupted_tells_what_it_has_found() -> None:
    with site(
        {"/": (200, '<a href="slow">s</a> <a href="b">b</a>'), "/b": (200, ""), "/slow": (200, None)}
    ) as where:
        with example("crawler.py", where) as process:
            assert process.stdout.readline() == where + "\n"
            assert process.stdout.readline() == where + "b\n"
            assert ctrl_c(process) == ("2 pages, 0 broken links, 1 not looked at\n", "")


def test_port_scanner() -> None:
    # A low one, so that much is left to do when it is found.
    with socket.socket() as listener:
        for port in range(2000, 3000):
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError:
                pass
        listener.listen()
        done = run_isolated(EXAMPLES / "port_scanner.py", "--ports", f"{port - 10}-{port + 10}")
        assert f"\n{port:5}  " in f"\n{done.stdout}"
        assert "21 ports of 127.0.0.1 were tried" in done.stdout
        with example("port_scanner.py", "--ports", f"{port}-65535", "--jobs", 1) as process:
            assert process.stdout.readline().startswith(f"{port:5}  ")
            stdout, stderr = ctrl_c(process)
        tried = int(stdout.splitlines()[-1].split()[0])
        assert 1 <= tried < 65535 - port
        assert stderr == ""


def test_dns_benchmark() -> None:
    with NameServer(Zone(["one.test. 60 A 192.0.2.1", "two.test. 60 A 192.0.2.2"])) as asked:
        where = f"127.0.0.1:{asked.port}"
        options = ("--resolver", "dns", "--server", where, "--repeat", 3)
        done = run_isolated(EXAMPLES / "dns_benchmark.py", *options, "one.test.", "two.test.")
        head, row = (line.split() for line in done.stdout.splitlines())
        assert head == ["resolver", "found", "not", "time", "p50", "p99"]
        assert row[:3] == ["dns", "6", "0"]
        # However often a name is wanted, it is asked for once.
        assert sum(kind == "A" for _, kind, _ in asked.asked) == 2
        options = ("--resolver", "dns", "--server", where, "--resolver", "thread")
        done = run_isolated(EXAMPLES / "dns_benchmark.py", *options, "three.test.", "localhost", check=False)
        assert done.returncode == 1
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["dns", "1"], ["thread", "1"]]
        assert done.stderr.startswith("three.test.: ")


def test_dns_benchmark_interrupted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(WAIT)
        options = ("--resolver", "dns", "--server", f"127.0.0.1:{silent.getsockname()[1]}")
        with example("dns_benchmark.py", *options, "one.test.") as process:
            silent.recv(1000)
            stdout, stderr = ctrl_c(process)
    assert stdout.splitlines()[-1].split()[:3] == ["dns", "0", "0"]
    assert stderr == ""


# -- work ----------------------------------------------------------------------------------------------------


def test_rate_limiter() -> None:
    done = run_isolated(EXAMPLES / "rate_limiter.py", "--rate", 200, "--burst", 5, "--calls", 25)
    *calls, last = done.stdout.splitlines()
    assert [int(call.split()[-1]) for call in calls] == list(range(25))
    assert re.fullmatch(r"25 calls in [\d.]+ s, 200 a second allowed", last)
    # 20 of them have to wait for their moment, one every 5 ms; later is allowed, earlier is not.
    for number, call in enumerate(calls[5:], 1):
        assert float(call.split()[0]) >= number * 0.005 - 0.001
    with example("rate_limiter.py", "--rate", 0.001, "--burst", 2, "--workers", 2) as process:
        for _ in range(2):
            process.stdout.readline()
        stdout, stderr = ctrl_c(process)
    assert stdout.startswith("2 calls in ")
    assert stderr == ""


def test_the_rate_limiter_lets_a_burst_through_after_a_pause_and_never_more() -> None:
    from corolib import joinall, sleep, spawn
    from corolib.testing import VirtualClock

    specification = spec_from_file_location("rate_limiter", EXAMPLES / "rate_limiter.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    with VirtualClock() as clock:
        limiter = module.RateLimiter(10, burst=3)
        moments = []

        def call() -> None:
            limiter.wait()
            moments.append(round(clock.elapsed, 6))

        joinall([spawn(call) for _ in range(5)])
        assert moments == [0, 0, 0, 0.1, 0.2]
        sleep(100)
        moments.clear()
        joinall([spawn(call) for _ in range(4)])
        assert [round(moment - 100.2, 6) for moment in moments] == [0, 0, 0, 0.1]


def test_worker_pool() -> None:
    with example("worker_pool.py", "--seconds", 0.001, "--room", 3) as process:
        stdout, stderr = process.communicate("".join(f"job {number}\n" for number in range(50)), WAIT)
    assert sorted(stdout.splitlines()) == sorted(f"JOB {number}" for number in range(50))
    assert stderr == "50 jobs, 50 done, 0 failed, at most 3 waiting\n"
    assert process.returncode == 0


def test_worker_pool_interrupted_does_what_it_has_read() -> None:
    with example("worker_pool.py", "--workers", 1, "--seconds", 0.1) as process:
        process.stdin.write("one\ntwo\nthree\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ONE\n"
        stdout, stderr = ctrl_c(process)
    assert stdout == "TWO\nTHREE\n"
    # The worker may have begun before the last of them was read.
    assert re.fullmatch(r"3 jobs, 3 done, 0 failed, at most [23] waiting\n", stderr)


def test_periodic_jobs() -> None:
    with example("periodic_jobs.py", "0.01: echo tick", "99: false", "99: /nonsense") as process:
        failed = [process.stderr.readline() for _ in range(2)]
        early = [process.stdout.readline() for _ in range(3)]
        stdout, stderr = ctrl_c(process)
    assert sorted(failed) == ["/nonsense: No such file or directory\n", "false: status 1\n"]
    assert stderr == ""
    *ticks, echo, false, nonsense = "".join([*early, stdout]).splitlines()
    assert set(ticks) == {"echo: tick"}
    assert echo.startswith(f"echo tick: {len(ticks)} runs, 0 failed, ")
    assert false == "false: 1 runs, 1 failed, 0 beats left out"
    assert nonsense == "/nonsense: 1 runs, 1 failed, 0 beats left out"
    done = run_isolated(EXAMPLES / "periodic_jobs.py", "--seconds", 0.01, "99: true")
    assert done.stdout == "true: 1 runs, 0 failed, 0 beats left out\n"


def test_periodic_jobs_interrupted_let_a_command_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with example("periodic_jobs.py", f"99: cat {gate}") as process:
        with gate.open("w") as opened:  # waits for the command
            process.send_signal(signal.SIGINT)
            opened.write("to the end\n")
        stdout, stderr = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert stdout == f"cat: to the end\ncat {gate}: 1 runs, 0 failed, 0 beats left out\n"
    assert stderr == ""


def test_subprocess_pipeline(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "-many; false"
    few.write_text("a\nb\nb\n")
    # More than a pipe holds, so that the stages before the last one hear of its end.
    many.write_text("".join(f"{number % 50_000}\n" for number in range(50_001)))
    done = run_isolated(
        EXAMPLES / "subprocess_pipeline.py", "--top", 2, few, many, tmp_path / "none", check=False
    )
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines() if not line.endswith(":")]
    assert lines == [["2", "b"], ["1", "a"], ["2", "0"], ["1", "9999"]]
    assert done.stderr.startswith(f"{tmp_path / 'none'}: sort: cannot read: ")


def name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the children")
def test_subprocess_pipeline_interrupted_ends_its_children(tmp_path: Path) -> None:
    source = tmp_path / "source"
    os.mkfifo(source)
    with example("subprocess_pipeline.py", source) as process:
        with source.open("w") as opened:  # waits for the first child
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            until(lambda: "head" in [name_of(child) for child in children.read_text().split()])
            assert ctrl_c(process) == ("", "")
            opened.write("nobody reads that")
            with pytest.raises(BrokenPipeError):
                opened.flush()
            opened.buffer.raw.close()  # what is left in the buffer has nowhere to go


def test_checksums(tmp_path: Path) -> None:
    contents = {str(tmp_path / str(number)): os.urandom(3_000_000 * number) for number in range(3)}
    for name, content in contents.items():
        Path(name).write_bytes(content)
    done = run_isolated(EXAMPLES / "checksums.py", *contents, tmp_path / "none", check=False)
    assert done.returncode == 1
    expected = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in contents.items()]
    assert done.stdout.splitlines() == expected
    missing, last = done.stderr.splitlines()
    assert missing == f"{tmp_path / 'none'}: No such file or directory"
    assert re.fullmatch(r"3 of 4 files; \d+ ticks meanwhile, the longest took \d+ ms", last)


def test_checksums_interrupted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    os.mkfifo(source)
    with example("checksums.py", source) as process, source.open("w"):  # waits for the thread
        stdout, stderr = ctrl_c(process)
    assert stdout == ""
    assert stderr.startswith("0 of 1 files; ")


def test_orderly_end() -> None:
    with example("orderly_end.py") as process:
        assert process.stdout.readline() == f"process {process.pid} works\n"
        assert process.stdout.readline() == "ann: job 1\n"
        stdout, stderr = ctrl_c(process)
    assert stdout.splitlines()[-3:] == [
        "no more jobs",
        "ann has put its tools away",
        "bob has put its tools away",
    ]
    assert stderr == ""


def test_deadlock() -> None:
    lines = run_isolated(EXAMPLES / "deadlock.py").stdout.splitlines()[1:]
    # On a busy machine the third may be ready to run at that moment, and so not wait.
    assert lines[0] in ("3 greenlets waiting, 2 deadlocked", "2 greenlets waiting, 2 deadlocked")
    assert lines[1] == "    a circle of 2:"
    assert "'there'" in lines[2] and "'back'" in lines[3]
    assert lines[-2:] == [
        "LoopExit: This operation would block forever",
        "all of them are deadlocked: True",
    ]
    with example("deadlock.py", "--patience", 1000) as process:
        assert process.stdout.readline() == "two transfers are under way\n"
        assert ctrl_c(process) == ("", "")


# -- the demonstration ---------------------------------------------------------------------------------------


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


def test_demo_can_be_interrupted() -> None:
    done = run_isolated(
        f"""
        import sys
        sys.path.insert(0, {str(EXAMPLES)!r})
        sys.argv = ["demo.py", "--requests", "20"]
        import demo, corolib, os, signal, time
        asked = []

        class Handler(demo.Handler):
            def do_GET(self):
                asked.append(self.path)
                if len(asked) == 20:
                    corolib.get_hub().loop.run_callback(os.kill, os.getpid(), signal.SIGINT)
                time.sleep(1000)

        demo.Handler = Handler
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
    assert process.wait(WAIT) == 0
    assert b"50/50" in output
    assert "wall time" in output.decode()
